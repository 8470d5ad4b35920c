"""What an HTTP address sends, told from its first bytes over one connection.

Cheap cameras allow one connection and contradict themselves in their headers, so the content
decides, and the connection that showed it goes on to be read. FFmpeg speaks HTTP (passwords,
redirections, TLS); its `data` format hands the bytes over as they come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import av.error

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.sources.decoding.container import open_container

# Enough for a page's or playlist's first words, and for the first boundary of MJPEG.
HEAD_BYTES = 4096
PIECE_BYTES = 32768

Content = Literal["pictures", "playlist", "page", "other"]
_TEXT_THEN_JPEG = re.compile(rb"[\t\n\r\x20-\x7e]*\xff\xd8\xff")
_ONLY_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*\xff?\xd8?")


class HttpBytes:
    """The body of one answer, as it comes; a file object that can be read, but not sought.

    Args:
        reference: address.
        shown: redacted address.
        timeout: seconds to open and to read.

    Raises:
        SourceOpenError: it does not answer, or refuses.
    """

    def __init__(self, reference: str, shown: str, timeout: tuple[float, float]) -> None:
        self._shown = shown
        self._container = open_container(
            reference,
            timeout=timeout,
            options={"probesize": "32", "raw_packet_size": str(PIECE_BYTES)},
            format="data",
        )
        self._pieces = self._read_pieces()
        self._held = bytearray()
        self.ended = False
        self.nbytes = 0
        """Received so far."""

    @property
    def size(self) -> int:
        """Bytes announced; 0 = without end."""
        return max(0, int(self._container.size))

    def head(self) -> bytes:
        """The first bytes, which stay to be read: as many as tell what they are."""
        while not self.ended and len(self._held) < HEAD_BYTES:
            if content_of(bytes(self._held), ended=False) is not None:
                break
            self._held += self.piece()
        return bytes(self._held)

    def piece(self) -> bytes:
        """What came next; empty at the end.

        Raises:
            SourceLostError: nothing came in time.
        """
        piece = next(self._pieces, b"")
        self.ended = not piece
        self.nbytes += len(piece)
        return piece

    def rest(self) -> bytes:
        """What was received and not read; `read` and `piece` go on behind it."""
        held, self._held = bytes(self._held), bytearray()
        return held

    def read(self, nbytes: int) -> bytes:
        """At most so many bytes, for PyAV."""
        held = self.rest() or self.piece()
        self._held += held[nbytes:]
        return held[:nbytes]

    def close(self) -> None:
        """End the connection."""
        self._container.close()

    def _read_pieces(self) -> Iterator[bytes]:
        demuxed: Iterator[Any] = self._container.demux()
        while True:
            try:
                packet = next(demuxed, None)
            except (av.error.ExitError, av.error.TimeoutError):
                text = f"{self._shown} stopped sending"
                raise SourceLostError(text, code="STREAM_TIMEOUT") from None
            except (av.error.FFmpegError, OSError):
                return  # an end, also one that FFmpeg finds premature
            if packet is None:
                return
            if packet.size:
                yield bytes(packet)


def content_of(head: bytes, *, ended: bool) -> Content | None:
    """What begins so; None while more bytes are needed.

    Args:
        head: the first bytes.
        ended: there are no more.

    >>> content_of(b"--frame", ended=False), content_of(b"#EXTM3U", ended=False)
    (None, 'playlist')
    """
    text = head.lstrip()
    if text.startswith((b"#EXTM3U", b"<MPD", b"<?xml")):
        return "playlist"
    if text[:14].lower().startswith((b"<html", b"<!doctype html")):
        return "page"
    if _TEXT_THEN_JPEG.match(head):
        return "pictures"
    if _ONLY_TEXT.fullmatch(head) and len(head) < HEAD_BYTES and not ended:
        return None
    return "other"


def refuse_page(shown: str) -> SourceOpenError:
    """What to say of an address that shows a web page."""
    text = f"{shown} is a web page; give the address of the camera's stream or picture itself"
    return SourceOpenError(text, code="STREAM_NO_VIDEO")
