"""From what the user wrote to a source: camera number, path, URL, `synthetic:` or `chaos:`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from egomon.errors import SourceOpenError, UsageError
from egomon.stream.frame import SourceKind
from egomon.stream.redact import redact
from egomon.stream.source import SilentListener, Source, SourceListener

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
FORMS = "a camera number, a /dev path, a video file, a stream URL, zmq+tcp://host:port, synthetic:"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened; what does not apply to its kind is ignored."""

    open_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 5.0
    stall_seconds: float = 2.0
    """Live: no frame for this long (and five periods) is a stall."""
    wait_source: bool = False
    """Live: keep trying if the first opening fails."""
    size: tuple[int, int] | None = None
    """Camera: width and height."""
    fps: float | None = None
    """Camera: frame rate."""


def is_live(reference: str) -> bool:
    """Whether a reference means something that does not wait for its reader.

    >>> is_live("0"), is_live("rtsp://camera/1"), is_live("video.mp4")
    (True, True, False)
    """
    if reference.startswith("chaos:"):
        return is_live(reference.split(":", 2)[2])
    if reference.startswith("synthetic:"):
        return _parameters(reference).get("realtime", "0") not in ("0", "")
    if reference.isdigit() or reference.startswith("/dev/"):
        return True
    return "://" in reference and not reference.startswith("file://")


def open_source(
    reference: str,
    *,
    name: str | None = None,
    kind: SourceKind | None = None,
    options: SourceOptions | None = None,
    listener: SourceListener | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Source:
    """Open a source, in the thread that will read it.

    Args:
        reference: see `FORMS`.
        name: topic name; default `source`.
        kind: override what it is taken for: a stream that is a recording, or the other way round.
        options: time-outs and camera modes.
        listener: hears about state changes and losses.
        clock: monotonic seconds.

    Raises:
        SourceOpenError: it cannot be opened; code and sentence say why.
        UsageError: the reference has no known form.
    """
    options = options or SourceOptions()
    listener = listener or SilentListener()
    label = name or "source"
    if reference.startswith("chaos:"):
        from egomon.stream.sources.chaos import ChaosSource

        _, seed, inner = (*reference.split(":", 2), "", "")[:3]
        if not seed.isdigit() or not inner:
            raise UsageError(f"{reference!r}: write chaos:SEED:SOURCE")
        source = open_source(
            inner, name=name, kind=kind, options=options, listener=listener, clock=clock
        )
        return ChaosSource.random(source, seed=int(seed), listener=listener)
    if reference.startswith("synthetic:"):
        return _synthetic(reference, label, listener, clock)
    if reference.isdigit() or reference.startswith("/dev/"):
        from egomon.stream.sources.camera import open_camera

        return open_camera(reference, label, options, listener, clock)
    scheme = urlsplit(reference).scheme if "://" in reference else ""
    if scheme == "zmq+tcp":
        from egomon.stream.sources.zmq_frames import ZmqFrames

        return ZmqFrames(reference, name=label, options=options, listener=listener, clock=clock)
    if scheme == "pupil":
        from egomon.stream.sources.pupil import open_pupil

        return open_pupil(reference, label, options, listener, clock)
    if scheme in NETWORK_SCHEMES:
        return _network(reference, label, kind, options, listener, clock)
    if scheme not in ("", "file"):
        raise UsageError(f"{redact(reference)!r} is no source; give {FORMS}")
    from egomon.stream.sources.file import VideoFile

    return VideoFile(reference.removeprefix("file://"), name=label, listener=listener)


def _network(
    reference: str,
    name: str,
    kind: SourceKind | None,
    options: SourceOptions,
    listener: SourceListener,
    clock: Callable[[], float],
) -> Source:
    if kind == "file":
        from egomon.stream.sources.file import VideoFile

        timeout = (options.open_timeout_seconds, options.read_timeout_seconds)
        return VideoFile(reference, name=name, listener=listener, timeout=timeout)
    from egomon.stream.sources.network import open_stream

    return open_stream(reference, name, options, listener, clock)


def _synthetic(
    reference: str, name: str, listener: SourceListener, clock: Callable[[], float]
) -> Source:
    from egomon.stream.sources.synthetic import SyntheticSource

    given = _parameters(reference)
    known = {"seed", "seconds", "fps", "size", "realtime"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"synthetic: unknown {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        width, height = (int(part) for part in given.get("size", "320x240").split("x"))
        return SyntheticSource(
            name=name,
            seed=int(given.get("seed", "0")),
            seconds=float(given.get("seconds", "10")),
            fps=float(given.get("fps", "30")),
            width=width,
            height=height,
            realtime=given.get("realtime", "0") not in ("0", ""),
            listener=listener,
            clock=clock,
        )
    except ValueError as error:
        raise UsageError(
            f"{reference!r}: {error}; write synthetic:seed=0,seconds=10,fps=30,size=320x240"
        ) from error


def _parameters(reference: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in reference.split(":", 1)[1].split(",") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


__all__ = ["FORMS", "SourceOpenError", "SourceOptions", "is_live", "open_source"]
