"""A source of one's own: anything with `info`, `read` and `close`; here a folder of pictures.

python examples/custom_source.py FOLDER
"""

import sys
import time
from pathlib import Path

import cv2

from egomon.stream.frame import Grab, SourceInfo


class PictureFolder:
    """Pictures in order of name, ten a second."""

    def __init__(self, folder: str) -> None:
        self._paths = sorted(Path(folder).glob("*.jpg"))
        height, width = cv2.imread(str(self._paths[0])).shape[:2]
        seconds = len(self._paths) / 10
        self.info = SourceInfo("pictures", folder, "file", width, height, 10.0, seconds)
        self._next = 0

    def read(self) -> Grab | None:
        """Next picture; decoded only if the monitor wants it."""
        if self._next >= len(self._paths):
            return None
        index, path = self._next, self._paths[self._next]
        self._next += 1
        return Grab(
            t_seconds=index / 10,
            mono_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            index=index,
            epoch=0,
            to_rgb=lambda: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB),
        )

    def close(self) -> None:
        """No more pictures."""
        self._next = len(self._paths)

    def __enter__(self) -> "PictureFolder":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


if __name__ == "__main__":
    with PictureFolder(sys.argv[1]) as source:
        for grab in iter(source.read, None):
            print(f"{grab.t_seconds:.1f} s  {grab.to_rgb().shape}")
