"""From what the user wrote to a source: camera number, path, URL, `synthetic:`, plug-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from egomon.errors import SourceOpenError, UsageError
from egomon.plugins import Plugin, PluginRegistry
from egomon.stream.frame import SourceKind
from egomon.stream.redact import redact
from egomon.stream.source import SilentListener, Source, SourceListener
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.reference import is_pipe, local_path

if TYPE_CHECKING:
    from egomon.stream.sources.network.stream import Stream

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
FORMS = (
    "a camera number, a /dev path, a video file, - for a pipe, a stream URL, "
    "rtmp+listen://host:port/key, phone, zmq+tcp://host:port, pupil://host, synthetic:"
)

PHONE = "phone"
HERE = "egomon.stream.sources"
SOURCES = PluginRegistry(
    "egomon.sources",
    "source",
    {
        "/dev": f"{HERE}.webcam.camera:open_camera",
        "chaos": f"{HERE}.open:open_chaos",
        "file": f"{HERE}.file:open_file",
        "phone": f"{HERE}.webrtc.source:open_phone",
        "pupil": f"{HERE}.pupil.camera:open_pupil",
        "rtmp+listen": f"{HERE}.rtmp.source:open_rtmp",
        "synthetic": f"{HERE}.open:open_synthetic",
        "zmq+tcp": f"{HERE}.zmq_frames:ZmqFrames",
        **dict.fromkeys(NETWORK_SCHEMES, f"{HERE}.network.stream:open_stream"),
    },
)
"""name -> function (reference, OpenContext) -> Source; the name is what stands before `://`."""


def is_live(reference: str) -> bool:
    """Whether a reference means something that does not wait for its reader.

    What an `http` address is, only opening it can tell: see `kind_of`.

    >>> is_live("0"), is_live("rtsp://camera/1"), is_live("video.mp4")
    (True, True, False)
    """
    path = local_path(reference)
    if path is not None:
        return is_pipe(path)
    if reference.startswith("chaos:"):
        return is_live(_split_chaos(reference)[1])
    if reference.startswith("synthetic:"):
        return _parameters(reference).get("realtime", "0") not in ("0", "")
    is_word = reference.isdigit() or reference == PHONE
    return is_word or reference.startswith("/dev/") or "://" in reference


def kind_of(reference: str, options: SourceOptions | None = None) -> SourceKind:
    """What a reference is; an HTTP address is opened and closed again to find out.

    Raises:
        SourceOpenError: it is an HTTP address that cannot be opened, and `options` do not say to
            wait for it.
    """
    kind, opened = examine(reference, options or SourceOptions())
    if opened is not None:
        opened.close()
    return kind


def examine(reference: str, options: SourceOptions) -> tuple[SourceKind, Stream | None]:
    """What a reference is, and the connection that told it, for `SourceOptions.opened`.

    Raises:
        SourceOpenError: see `kind_of`.
    """
    if local_path(reference) is None:
        if reference.startswith("chaos:"):
            return examine(_split_chaos(reference)[1], options)
        if _scheme(reference) in ("http", "https"):
            from egomon.stream.sources.network.stream import open_now

            stream = open_now(reference, OpenContext(options=options))
            return "file" if stream is not None and stream.is_finite else "live", stream
    return "live" if is_live(reference) else "file", None


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
        reference: see `FORMS`, or `NAME://...` of a plug-in.
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
        PluginError: its plug-in cannot be used.
    """
    options = options or SourceOptions()
    context = OpenContext(
        name=name or "source",
        options=options if kind is None else replace(options, kind=kind),
        listener=listener or SilentListener(),
        clock=clock,
        stop=stop or threading.Event(),
    )
    return open_in(reference, context)


def open_in(reference: str, context: OpenContext) -> Source:
    """`open_source` with everything in one object."""
    source: Source = SOURCES.make(find_source(reference), Source, reference, context)
    return source


def find_source(reference: str) -> Plugin:
    """What opens a reference; nothing is opened or imported.

    Raises:
        UsageError: the reference has no known form.
        PluginError: several packages bring what it names.
    """
    plugin = SOURCES.find(_scheme(reference))
    if plugin is None:
        own = [each.name for each in SOURCES.installed()]
        more = "".join(f", {name}://" for name in own)
        raise UsageError(f"{redact(reference)!r} is no source; give {FORMS}{more}")
    return plugin


def _scheme(reference: str) -> str:
    """The name under which a reference is opened.

    >>> [_scheme(text) for text in ("0", "a.mp4", "chaos:1:0", "RTSP://camera/1", "phone")]
    ['/dev', 'file', 'chaos', 'rtsp', 'phone']
    """
    if local_path(reference) is not None:
        return "file"
    if reference.startswith(("chaos:", "synthetic:")):
        return reference.partition(":")[0]
    if reference == PHONE:
        return PHONE
    if reference.isdigit() or reference.startswith("/dev/"):
        return "/dev"
    return reference.partition("://")[0].lower() if "://" in reference else "file"


def open_chaos(reference: str, context: OpenContext) -> Source:
    """Open the source behind `chaos:SEED:` and let it misbehave."""
    from egomon.stream.sources.chaos import ChaosSource

    seed, inner = _split_chaos(reference)
    source = open_in(inner, context)
    return ChaosSource.random(source, seed=seed, listener=context.listener)


def _split_chaos(reference: str) -> tuple[int, str]:
    _, seed, inner = (*reference.split(":", 2), "", "")[:3]
    if not seed.isdecimal() or not inner:
        raise UsageError(f"{redact(reference)!r}: write chaos:SEED:SOURCE")
    return int(seed), inner


def open_synthetic(reference: str, context: OpenContext) -> Source:
    """Draw what `synthetic:` asks for."""
    from egomon.stream.sources.synthetic import SyntheticSource

    given = _parameters(reference)
    known = {"seed", "seconds", "fps", "size", "realtime"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"synthetic: unknown {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        width, height = (int(part) for part in given.get("size", "320x240").split("x"))
        return SyntheticSource(
            name=context.name,
            seed=int(given.get("seed", "0")),
            seconds=float(given.get("seconds", "10")),
            fps=float(given.get("fps", "30")),
            width=width,
            height=height,
            realtime=given.get("realtime", "0") not in ("0", ""),
            listener=context.listener,
            clock=context.clock,
        )
    except ValueError as error:
        raise UsageError(
            f"{reference!r}: {error}; write synthetic:seed=0,seconds=10,fps=30,size=320x240"
        ) from error


def _parameters(reference: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in reference.split(":", 1)[1].split(",") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


__all__ = [
    "FORMS",
    "SOURCES",
    "SourceOpenError",
    "SourceOptions",
    "examine",
    "find_source",
    "is_live",
    "kind_of",
    "open_in",
    "open_source",
]
