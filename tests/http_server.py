"""An HTTP server for one recording, and for what a cheap network camera sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class VideoServer(BaseHTTPRequestHandler):
    """Serves `body`; `/secret` wants a password, `/mjpeg` is a camera."""

    body = b""
    jpeg = b""
    hang_up_after: int | None = None
    """So many bytes of an answer are sent, then the connection ends."""
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/mjpeg":
            self._send_pictures()
        elif self.path == "/secret":
            self.send_error(401)
        elif self.path == "/missing":
            self.send_error(404)
        else:
            self._send_body()

    def _send_body(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        total = len(self.body)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        end = total if self.hang_up_after is None else start + self.hang_up_after
        try:
            self.wfile.write(self.body[start:end])
        except OSError:
            return

    def _send_pictures(self) -> None:
        """No times, no end, here at 10 pictures a second, and a length that means nothing."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.send_header("Content-Length", "99999999")
        self.end_headers()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self.jpeg)}\r\n\r\n"
        try:
            while True:
                self.wfile.write(head.encode() + self.jpeg + b"\r\n")
                time.sleep(0.1)
        except OSError:
            return  # the reader went away

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serving(
    body: bytes, *, jpeg: bytes = b"", hang_up_after: int | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The server's address, and the paths it was asked for so far."""
    requests: list[str] = []
    names = {"body": body, "jpeg": jpeg, "hang_up_after": hang_up_after, "requests": requests}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (VideoServer,), names))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
