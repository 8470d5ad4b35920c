"""Makes `examples/session.jsonl`: ten minutes of a monitor's messages, every phase and state.

`python -m tools.make_session OUT.jsonl` renders bench work, serves it as a network camera that
stalls, is cut off, shows something else and at last goes away, and lets `egomon live` watch it,
all in real time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

from egomon.stream.pictures.jpeg import jpeg_of

FPS = 8.0
"""As many as the demonstration bundle looks at."""
SCHEDULE = (
    ("work", 200.0),
    ("stall", 3.0),
    ("work", 100.0),
    ("cut", 0.0),
    ("work", 100.0),
    ("noise", 60.0),
    ("work", 100.0),
    ("gone", 0.0),
)
"""What the camera does, and for how many seconds."""
GIVE_UP_SECONDS = 20.0


def main(out: Path) -> None:
    """Record the session."""
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        _egomon("simulate", "-o", videos, "--seed", 41, "--minutes", 9, "--mistakes", 0.3)
        camera = _Camera(videos)
        server = ThreadingHTTPServer(("127.0.0.1", 0), camera.handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = Path(folder) / "egomon.toml"
        settings.write_text(f"[source]\ngive_up_seconds = {GIVE_UP_SECONDS}\n")
        device = f"http://127.0.0.1:{server.server_port}/bench.mjpg"
        options = ["--device", device, "--name", "bench", "--config", settings, "--snapshot"]
        options += ["--emit", "provisional", "--sink", f"file:{out.resolve()}"]
        _egomon("live", *options, "--pub", "tcp://127.0.0.1:*", "--control", "none", "--quiet")
        server.shutdown()


def _egomon(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "egomon", *map(str, arguments)], check=False)


class _Camera:
    """Plays the schedule once, whoever connects."""

    def __init__(self, videos: Path) -> None:
        self._frames = _frames(videos)
        self._plan = iter(SCHEDULE)
        self.gone = False

    def handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.gone:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for jpeg in camera.play():
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                    self.wfile.write(f"{head}\r\n\r\n".encode() + jpeg + b"\r\n")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler

    def play(self) -> Iterator[bytes]:
        """Pictures until the connection is to be cut."""
        noise = np.random.default_rng(0)
        for what, seconds in self._plan:
            if what in ("cut", "gone"):
                self.gone = what == "gone"
                return
            if what == "stall":
                time.sleep(seconds)
                continue
            for _ in range(int(seconds * FPS)):
                time.sleep(1 / FPS)
                odd = noise.integers(0, 255, (12, 16, 3), np.uint8).repeat(30, 0).repeat(30, 1)
                yield jpeg_of(odd if what == "noise" else next(self._frames))


def _frames(videos: Path) -> Iterator[np.ndarray]:
    for path in sorted(videos.glob("*.mp4")):
        with av.open(str(path)) as container:
            step = max(1, round(float(container.streams.video[0].average_rate or FPS) / FPS))
            for number, frame in enumerate(container.decode(video=0)):
                if number % step == 0:
                    yield frame.to_ndarray(format="rgb24")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
