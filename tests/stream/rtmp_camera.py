"""A camera that pushes RTMP, in a process of its own: PyAV holds the GIL while it connects.

Call: python rtmp_camera.py URL FRAMES; exit code 1 if it was refused or cut off.
"""

from __future__ import annotations

import sys
from typing import Any

import av
import av.error
from videos import pictures


def main(url: str, frames: int) -> int:
    try:
        with av.open(url, "w", format="flv", timeout=10) as out:
            stream: Any = out.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
            for image in pictures(frames):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
