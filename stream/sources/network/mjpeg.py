"""Motion JPEG over HTTP, and addresses that give one picture for each request."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import UInt8Image
from egomon.stream.sources.decoding.jpeg import JpegDecoder, JpegSplitter, jpeg_size
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.http import HttpBytes

logger = logging.getLogger(__name__)

REQUESTS_PER_SECOND = 5.0
"""Of single pictures, where the user names no rate."""
MOST_SILENT_BYTES = 64 << 20
"""So much without one whole picture is no camera."""


class JpegReader:
    """JPEG pictures of one address; see `FrameReader`. They are decoded only if sampled.

    An answer that ends after its first picture was a snapshot: the address is asked again and
    again, at a rate that is said once.

    Args:
        body: the first answer.
        again: asks once more.
        fps: requests a second, at most; None = `REQUESTS_PER_SECOND`.
        shown: redacted address.
        clock: monotonic seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        body: HttpBytes,
        again: Callable[[], HttpBytes],
        fps: float | None,
        shown: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._again, self._shown = again, shown
        self._clock, self._sleep = clock, sleep
        self._request_seconds = 1 / (fps or REQUESTS_PER_SECOND)
        self._decode = JpegDecoder()
        self._last: UInt8Image | None = None
        self._lost = self._before = 0
        self.fps: float | None = None
        self.size = (0, 0)
        self._begin(body)

    @property
    def packets(self) -> int:
        """See `FrameReader`."""
        return self._before + self._body.nbytes

    def next(self) -> RawFrame | None:
        """See `FrameReader`."""
        while (data := self._next_data()) is not None:
            size = jpeg_size(data)
            if size is None:
                self._lost += 1
                continue
            lost, self._lost = self._lost, 0
            to_rgb = partial(self._to_rgb, data, size)
            return RawFrame(None, time.monotonic_ns(), time.time_ns(), to_rgb, lost, size=size)
        return None

    def close(self) -> None:
        """See `FrameReader`."""
        self._body.close()

    def _begin(self, body: HttpBytes) -> None:
        self._body, self._splitter = body, JpegSplitter()
        self._asked_at, self._count, self._bytes_then = self._clock(), 0, 0
        self._found = deque(self._splitter.feed(body.rest()))

    def _next_data(self) -> bytes | None:
        while not self._found:
            body = self._body
            if body.nbytes - self._bytes_then > MOST_SILENT_BYTES:
                text = f"{self._shown} sends data without whole pictures"
                raise SourceLostError(text, code="STREAM_DAMAGED")
            whole = self._count == 1 and 0 < body.size <= body.nbytes
            piece = b"" if whole else body.piece()
            if piece:
                self._found.extend(self._splitter.feed(piece))
            elif self._count == 1:
                self._ask_again()
            else:
                return None
            self._lost += self._splitter.damaged
            self._splitter.damaged = 0
        self._count += 1
        self._bytes_then = self._body.nbytes
        return self._found.popleft()

    def _ask_again(self) -> None:
        if self.fps is None:
            self.fps = 1 / self._request_seconds
            logger.warning(
                "%s gives one picture for each request; it is asked at most %g times a second "
                "(source.fps)",
                self._shown,
                self.fps,
            )
        self._sleep(max(0.0, self._asked_at + self._request_seconds - self._clock()))
        self._before += self._body.nbytes
        self._body.close()
        try:
            self._begin(self._again())
        except SourceOpenError as error:
            raise SourceLostError(str(error), code=error.code) from None

    def _to_rgb(self, data: bytes, size: tuple[int, int]) -> UInt8Image:
        """Decoded only if sampled; a damaged picture is shown as the one before, and counted."""
        picture = self._decode(data)
        if picture is not None:
            self._last = picture
            return picture
        self._lost += 1
        if self._last is None:
            return np.zeros((size[1], size[0], 3), dtype=np.uint8)
        return self._last.copy()
