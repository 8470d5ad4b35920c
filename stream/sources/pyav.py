"""What all PyAV sources share: opening, picking the video stream, conversion, error words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

from egomon.errors import SourceOpenError
from egomon.stream.frame import UInt8Image
from egomon.stream.redact import redact

# FFmpeg prints addresses, passwords included, on stderr: errors reach the user through exceptions.
av.logging.set_level(av.logging.PANIC)


class Converter:
    """Decoded frame to upright RGB; one reformatter for all frames saves a third of the cost."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def deferred(self, frame: av.VideoFrame) -> Callable[[], UInt8Image]:
        """A conversion to be done only if the frame is sampled."""
        return lambda: self(frame)

    def __call__(self, frame: av.VideoFrame) -> UInt8Image:
        """RGB uint8 (H, W, 3), contiguous."""
        rgb = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(rgb, turns) if turns else rgb)


def open_container(
    reference: str, *, timeout: tuple[float, float] | None = None, options: dict[str, str]
) -> Any:
    """Open for reading.

    Raises:
        SourceOpenError: with a code and a sentence; the address is redacted.
    """
    shown = redact(reference)
    try:
        return av.open(reference, timeout=timeout, options=options)
    except av.error.FileNotFoundError as error:
        raise SourceOpenError(f"{shown} not found", code="STREAM_NOT_FOUND") from error
    except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError) as error:
        raise SourceOpenError(
            f"{shown} refuses the user name or password", code="STREAM_AUTH_FAILED"
        ) from error
    except av.error.HTTPNotFoundError as error:
        raise SourceOpenError(f"{shown} not found", code="STREAM_NOT_FOUND") from error
    except av.error.ConnectionRefusedError as error:
        raise SourceOpenError(
            f"nothing listens at {shown}; is the camera on?", code="STREAM_NOT_FOUND"
        ) from error
    except (av.error.ExitError, av.error.TimeoutError) as error:
        raise SourceOpenError(f"{shown} did not answer in time", code="STREAM_TIMEOUT") from error
    except av.error.FFmpegError as error:
        if timeout is not None and "Invalid data" in str(error):
            # A server that accepts and stays silent ends like this when the time-out fires.
            raise SourceOpenError(
                f"{shown} sent no video within {timeout[0]:g} s", code="STREAM_TIMEOUT"
            ) from error
        reason = redact(error.strerror or str(error))
        raise SourceOpenError(
            f"{shown} is no video that can be read ({reason})", code="STREAM_DAMAGED"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceOpenError(
            f"cannot open {shown}: {redact(str(error))}", code="STREAM_NOT_FOUND"
        ) from error


def video_stream(container: Any, reference: str) -> Any:
    """The first video stream, by type: audio may come first, cover pictures do not count.

    Raises:
        SourceOpenError: there is none, or no decoder for it.
    """
    shown = redact(reference)
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise SourceOpenError(
            f"{shown} has no video, only {', '.join(kinds)}", code="STREAM_NO_VIDEO"
        )
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise SourceOpenError(
            f"{shown} uses a video codec that this build cannot decode",
            code="STREAM_CODEC_UNSUPPORTED",
        )
    return stream
