"""From what the user wrote to a source: camera number, path, URL, `synthetic:` or `chaos:`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from egomon.errors import SourceOpenError, UsageError
from egomon.stream.frame import SourceKind
from egomon.stream.redact import redact
from egomon.stream.source import SilentListener, Source, SourceListener
from egomon.stream.source_options import SourceOptions

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
FORMS = (
    "a camera number, a /dev path, a video file, a stream URL, zmq+tcp://host:port, pupil://host, "
    "synthetic:"
)


def is_live(reference: str) -> bool:
    """Whether a reference means something that does not wait for its reader.

    What an `http` address is, only opening it can tell: see `kind_of`.

    >>> is_live("0"), is_live("rtsp://camera/1"), is_live("video.mp4")
    (True, True, False)
    """
    if reference.startswith("chaos:"):
        return is_live(_split_chaos(reference)[1])
    if reference.startswith("synthetic:"):
        return _parameters(reference).get("realtime", "0") not in ("0", "")
    if reference.isdigit() or reference.startswith("/dev/"):
        return True
    return "://" in reference and not reference.startswith("file://")


def kind_of(reference: str, options: SourceOptions | None = None) -> SourceKind:
    """What a reference is; an HTTP address is opened and closed again to find out.

    Raises:
        SourceOpenError: it is an HTTP address that cannot be opened, and `options` do not say to
            wait for it.
    """
    if reference.startswith("chaos:"):
        return kind_of(_split_chaos(reference)[1], options)
    if reference.startswith(("http://", "https://")):
        with open_source(reference, options=options) as source:
            return source.info.kind
    return "live" if is_live(reference) else "file"


def open_source(
    reference: str,
    *,
    name: str | None = None,
    kind: SourceKind | None = None,
    options: SourceOptions | None = None,
    listener: SourceListener | None = None,
    clock: Callable[[], float] = time.monotonic,
    stop: threading.Event | None = None,
) -> Source:
    """Open a source, in the thread that will read it.

    Args:
        reference: see `FORMS`.
        name: topic name; default `source`.
        kind: override what it is taken for: a stream that is a recording, or the other way round.
        options: time-outs and camera modes.
        listener: hears about state changes and losses.
        clock: monotonic seconds.
        stop: set from another thread, it cuts a slow opening short (within 0.2 s).

    Raises:
        SourceOpenError: it cannot be opened; code and sentence say why.
        UsageError: the reference has no known form.
        MissingExtraError: `pupil://` without its package.
    """
    options = options or SourceOptions()
    listener = listener or SilentListener()
    stop = stop or threading.Event()
    label = name or "source"
    if reference.startswith("chaos:"):
        from egomon.stream.sources.chaos import ChaosSource

        seed, inner = _split_chaos(reference)
        source = open_source(
            inner,
            name=name,
            kind=kind,
            options=options,
            listener=listener,
            clock=clock,
            stop=stop,
        )
        return ChaosSource.random(source, seed=seed, listener=listener)
    if reference.startswith("synthetic:"):
        return _synthetic(reference, label, listener, clock)
    if reference.isdigit() or reference.startswith("/dev/"):
        from egomon.stream.sources.camera import open_camera

        return open_camera(reference, label, options, listener, clock, stop)
    scheme = urlsplit(reference).scheme if "://" in reference else ""
    if scheme == "zmq+tcp":
        from egomon.stream.sources.zmq_frames import ZmqFrames

        return ZmqFrames(
            reference, name=label, options=options, listener=listener, clock=clock, stop=stop
        )
    if scheme == "pupil":
        from egomon.stream.sources.pupil.camera import open_pupil

        return open_pupil(reference, label, options, listener, clock, stop)
    if scheme in NETWORK_SCHEMES:
        from egomon.stream.sources.network import open_stream

        return open_stream(reference, label, kind, options, listener, clock, stop)
    if scheme not in ("", "file"):
        raise UsageError(f"{redact(reference)!r} is no source; give {FORMS}")
    from egomon.stream.sources.file import VideoFile

    path = reference.removeprefix("file://")
    return VideoFile(path, name=label, listener=listener, packets=options.packets)


def _split_chaos(reference: str) -> tuple[int, str]:
    _, seed, inner = (*reference.split(":", 2), "", "")[:3]
    if not seed.isdecimal() or not inner:
        raise UsageError(f"{redact(reference)!r}: write chaos:SEED:SOURCE")
    return int(seed), inner


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


__all__ = ["FORMS", "SourceOpenError", "SourceOptions", "is_live", "kind_of", "open_source"]
