"""A network camera that shows what it is told to: pictures as Motion JPEG, in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
from numpy.typing import NDArray


class FakeCamera:
    """Shows one picture until `play` gives others."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.url = ""
        self.closed = threading.Event()
        self._jpeg = self._encoded(np.full((224, 224, 3), 40, np.uint8))

    def play(self, pictures: Iterable[NDArray[np.uint8]]) -> None:
        """Show RGB pictures one after another; returns when the last one has been shown."""
        due = time.monotonic()
        for picture in pictures:
            self._jpeg = self._encoded(picture)
            due += 1 / self.fps
            self.closed.wait(max(0.0, due - time.monotonic()))

    def stream(self) -> Iterator[bytes]:
        """What a client gets."""
        while not self.closed.wait(1 / self.fps):
            head = (
                f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self._jpeg)}\r\n\r\n"
            )
            yield head.encode() + self._jpeg + b"\r\n"

    @staticmethod
    def _encoded(picture: NDArray[np.uint8]) -> bytes:
        return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


@contextmanager
def fake_camera(fps: float) -> Iterator[FakeCamera]:
    """Serve a camera on this machine."""
    camera = FakeCamera(fps)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            try:
                for part in camera.stream():
                    self.wfile.write(part)
            except OSError:
                return  # the reader went away

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    camera.url = f"http://127.0.0.1:{server.server_address[1]}/camera.mjpg"
    try:
        yield camera
    finally:
        camera.closed.set()
        server.shutdown()
        server.server_close()
