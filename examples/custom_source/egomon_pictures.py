"""A folder of pictures as a source, ten a second: `egomon replay pictures://FOLDER`."""

import time
from pathlib import Path
from typing import Self

import av
import numpy as np

from egomon import Grab, OpenContext, SourceInfo
from egomon.errors import SourceOpenError


class PictureFolder:
    """Pictures in order of name; each is decoded only if the monitor wants it."""

    def __init__(self, reference: str, context: OpenContext) -> None:
        folder = Path(reference.removeprefix("pictures://"))
        self._paths = sorted(folder.glob("*.jpg"))
        if not self._paths:
            raise SourceOpenError(f"{folder} holds no .jpg; give another folder")
        height, width = rgb_of(self._paths[0]).shape[:2]
        seconds = len(self._paths) / 10
        self.info = SourceInfo(context.name, reference, "file", width, height, 10.0, seconds)
        self._next, self._is_closed = 0, False

    def read(self) -> Grab | None:
        if self._is_closed or self._next == len(self._paths):
            return None
        index, self._next = self._next, self._next + 1
        path, now = self._paths[index], (time.monotonic_ns(), time.time_ns())
        return Grab(index / 10, *now, index=index, epoch=0, to_rgb=lambda: rgb_of(path))

    def close(self) -> None:
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def rgb_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")
