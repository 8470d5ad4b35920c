"""Opening through FFmpeg: errors as sentences, the right video stream, bounds on pictures."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import av
import av.error
import av.logging

from egomon.errors import SourceOpenError
from egomon.stream.redact import redact
from egomon.stream.sources.reference import printable

MOST_PIXELS = 32 << 20
"""Of one picture: 8K video is just below."""
# FFmpeg takes options by stream and before it knows how many there are.
MOST_STREAMS = 32


def silence_ffmpeg() -> None:
    """Turn FFmpeg's messages off; errors reach the user through exceptions.

    It would print addresses, passwords included. None, not PANIC: any level installs a callback
    that takes Python's lock in FFmpeg's own threads, and freeing a frame-threaded decoder, which
    waits for them with the lock held, then hangs for ever. torchvision 0.22 sets a level when it is
    imported, at whatever moment that is.
    """
    av.logging.set_level(None)


silence_ffmpeg()


def open_container(
    reference: str,
    *,
    timeout: tuple[float, float] | None = None,
    options: dict[str, str],
    format: str | None = None,
    file: Any = None,
    again: bool = False,
) -> Any:
    """Open for reading.

    Args:
        reference: address or path.
        timeout: seconds to open and to read.
        options: of FFmpeg's demuxer and protocol.
        format: FFmpeg's name; None = found out.
        file: object with `read`, which is read instead of the address.
        again: it may be opened twice, as a recording may: the size of pictures is then bounded
            before the first is decoded.

    Raises:
        SourceOpenError: with a code and a sentence; the address is redacted.
    """
    silence_ffmpeg()
    begin = time.monotonic()
    what = reference if file is None else file
    try:
        if again:
            # Analysing decodes, too. Formats that show their streams late refuse this.
            bounds: Any = [{"max_pixels": str(MOST_PIXELS)}] * MOST_STREAMS
            with suppress(ValueError):
                return av.open(what, timeout=timeout, options=options, stream_options=bounds)
        return av.open(what, format=format, timeout=timeout, options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        late = timeout is not None and time.monotonic() - begin >= 0.9 * timeout[0]
        # Not chained: FFmpeg's message holds the address with its password.
        shown = redact(printable(reference.removeprefix("file:")))
        raise _explain(error, shown, late) from None


def _explain(error: Exception, shown: str, late: bool) -> SourceOpenError:
    match error:
        case av.error.ProtocolNotFoundError():
            scheme = shown.partition(":")[0]
            text = (
                f"the FFmpeg inside PyAV cannot speak {scheme}; let MediaMTX receive {shown} and "
                "give its rtsp:// address"
            )
            return SourceOpenError(text, code="STREAM_CODEC_UNSUPPORTED")
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            text = f"{shown} refuses the user name or password"
            return SourceOpenError(text, code="STREAM_AUTH_FAILED")
        case av.error.PermissionError():
            text = f"{shown} may not be read by this user; check its permissions"
            return SourceOpenError(text, code="STREAM_AUTH_FAILED")
        case av.error.FileNotFoundError() | av.error.HTTPNotFoundError():
            return SourceOpenError(f"{shown} not found", code="STREAM_NOT_FOUND")
        case av.error.ConnectionRefusedError():
            text = f"nothing listens at {shown}; is the camera on?"
            return SourceOpenError(text, code="STREAM_NOT_FOUND")
    # A server that accepts and stays silent ends as "invalid data" when the time-out fires.
    if late or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        text = f"{shown} did not answer in time; is it the right address?"
        return SourceOpenError(text, code="STREAM_TIMEOUT")
    if isinstance(error, av.error.InvalidDataError):
        return SourceOpenError(f"{shown} is no video, or damaged", code="STREAM_DAMAGED")
    reason = redact(getattr(error, "strerror", None) or str(error))
    code = "STREAM_NOT_FOUND" if isinstance(error, OSError) else "STREAM_DAMAGED"
    return SourceOpenError(f"cannot open {shown}: {reason}", code=code)


def video_stream(container: Any, shown: str) -> Any:
    """The largest moving video stream, of equals the fastest; all other streams are not read.

    The first may be a preview (action cameras) or the smallest of several qualities (HLS); cover
    pictures do not count.

    Args:
        container: open.
        shown: redacted address.

    Raises:
        SourceOpenError: there is none, or no decoder for it.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & still]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise SourceOpenError(
            f"{shown} has no video, only {', '.join(kinds)}", code="STREAM_NO_VIDEO"
        )
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise SourceOpenError(
            f"{shown} uses a video codec that this build cannot decode",
            code="STREAM_CODEC_UNSUPPORTED",
        )
    best = max(decodable, key=_quality)
    context = best.codec_context
    if context.width * context.height > MOST_PIXELS:
        raise SourceOpenError(
            f"{shown} has pictures of {context.width}x{context.height}; the most are 32 megapixels",
            code="STREAM_CODEC_UNSUPPORTED",
        )
    context.options = {"max_pixels": str(MOST_PIXELS)}
    for stream in container.streams:
        if stream is not best:
            stream.discard = av.stream.Discard.all  # HLS then fetches one quality only
    return best


def _quality(stream: Any) -> tuple[int, int, float, int]:
    context = stream.codec_context
    # Where a playlist's variants have shown no picture yet, the playlist says what they need.
    bits = int(stream.metadata.get("variant_bitrate") or context.bit_rate or 0)
    return context.width * context.height, bits, float(stream.average_rate or 0), -stream.index
