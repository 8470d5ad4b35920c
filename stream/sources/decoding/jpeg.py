"""JPEG pictures from outside: measured before they are decoded, decoded without trust."""

from __future__ import annotations

import re

import av
import av.error

from egomon.stream.frame import UInt8Image
from egomon.stream.sources.decoding.container import MOST_PIXELS
from egomon.stream.sources.decoding.decode import Converter

# No camera sends larger ones: whoever does may be filling the memory.
MOST_BYTES = 16 * 1024 * 1024
START, END = b"\xff\xd8", b"\xff\xd9"
_SOF = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; the others FFmpeg cannot decode
# Start of scan: what follows has no length, and ends at the next marker.
_SOS = 0xDA
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the header; None for what is no whole JPEG of up to 32 megapixels.

    >>> jpeg_size(b"GIF89a") is None
    True
    """
    if data[:2] != START or not data.rstrip(b"\0").endswith(END):
        return None
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SOF:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            width = int.from_bytes(data[at + 7 : at + 9], "big")
            return (width, height) if 0 < width * height <= MOST_PIXELS else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


class JpegSplitter:
    """Whole JPEG pictures out of a stream of bytes, whatever stands between them.

    Cameras write boundaries, lengths and part headers that contradict each other (ESP32, Tasmota);
    the pictures themselves say where they end. Their segments are walked, so that a thumbnail
    inside a picture is not taken for one. At most `MOST_BYTES` are held.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        """Up to here the picture at the start of the data has been walked; 0 = none begun."""
        self._in_scan = False
        self.damaged = 0
        """Pictures that were cut off, or too large, so far."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return len(self._data)

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that end in these bytes."""
        self._data += data
        found = []
        while (picture := self._next()) is not None:
            found.append(picture)
        return found

    def _next(self) -> bytes | None:
        while self._begin():
            end = self._walk()
            if end > 0:
                picture = bytes(self._data[:end])
                self._forget(end)
                return picture
            if end == 0:  # more bytes are needed
                if len(self._data) > MOST_BYTES:
                    self._give_up(len(self._data))
                return None
        return None

    def _begin(self) -> bool:
        """Whether the data begin with a picture, once what is before it is dropped."""
        if self._at:
            return True
        start = self._data.find(START + b"\xff")
        if start < 0:
            del self._data[:-2]
            return False
        del self._data[:start]
        self._at = 2
        return True

    def _walk(self) -> int:
        """Where the picture ends; 0 = not yet known, -1 = it was no whole picture."""
        data = self._data
        while True:
            if self._in_scan:
                found = _AFTER_SCAN.search(data, self._at)
                if found is None:
                    self._at = max(self._at, len(data) - 1)
                    return 0
                self._at, self._in_scan = found.end() - 2, False
            if self._at + 2 > len(data):
                return 0
            marker = data[self._at + 1]
            if data[self._at] != 0xFF or marker == 0xD8:  # cut off; the next one may begin here
                return self._give_up(self._at)
            if marker == 0xD9:
                return self._at + 2
            if marker == 0xFF or marker in _ALONE:
                self._at += 1 if marker == 0xFF else 2
                continue
            if self._at + 4 > len(data):
                return 0
            length = int.from_bytes(data[self._at + 2 : self._at + 4], "big")
            if self._at + 2 + length > len(data):
                return 0
            self._at += 2 + max(length, 2)
            self._in_scan = marker == _SOS

    def _give_up(self, end: int) -> int:
        self.damaged += 1
        self._forget(end)
        return -1

    def _forget(self, end: int) -> None:
        del self._data[:end]
        self._at, self._in_scan = 0, False


class JpegDecoder:
    """JPEG to RGB with FFmpeg: a third of OpenCV's cost, and quiet about damaged data."""

    def __init__(self) -> None:
        self._convert = Converter()

    def __call__(self, data: bytes) -> UInt8Image | None:
        """RGB uint8 (H, W, 3); None if damaged."""
        decoder = av.CodecContext.create("mjpeg", "r")
        decoder.thread_count = 1
        # Do not paint over damage.
        decoder.options = {"err_detect": "explode", "max_pixels": str(MOST_PIXELS)}
        try:
            frames = decoder.decode(av.Packet(data))
            return self._convert(frames[0]) if frames else None
        except (av.error.FFmpegError, ValueError):
            return None
