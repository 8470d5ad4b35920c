"""Contract of every source."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable

import numpy as np

from egomon.fusion.messages.envelope import SOURCE_NAME
from egomon.stream.frame import Grab, SourceInfo
from egomon.stream.source import Source
from egomon.testing.expect import expect

# As promised to authors: a `read` that waits returns within two seconds of `close`.
CLOSE_SECONDS = 2.0
OPEN_SECONDS = 30.0
# Long enough that a `read` which does not wait has returned.
WAITS_SECONDS = 0.3


def check_source(
    factory: Callable[[], Source],
    *,
    frames: int = 3,
    ends: bool | None = None,
    blocks: Callable[[Source], None] | None = None,
) -> list[tuple[float, int, int]]:
    """Read a source, close it in every way, and compare with what `Source` and `Grab` promise.

    Args:
        factory: opens the source anew; called several times.
        frames: so many are expected at least.
        ends: the source comes to an end by itself; None = it does if its kind is `file`.
        blocks: brings an open source to the point where its next `read` waits, so that `close` is
            tried while it does.

    Returns:
        (t_seconds, epoch, index) of the frames of the first reading.

    Raises:
        AssertionError: a promise is not kept.
    """
    seen = _check_order_and_pictures(factory, frames, ends)
    _check_closed_source_gives_nothing(factory)
    _check_close_ends_a_read(factory, blocks)
    return seen


def _check_order_and_pictures(
    factory: Callable[[], Source], frames: int, ends: bool | None
) -> list[tuple[float, int, int]]:
    seen: list[tuple[float, int, int]] = []
    made = factory()
    expect(
        isinstance(made, Source),
        f"an object of type {type(made).__name__} is no source: "
        "info, read, close or a `with` block is missing",
    )
    with made as source:
        if ends is None:
            ends = source.info.kind == "file"
        before: Grab | None = None
        while (ends or len(seen) < frames) and (grab := source.read()) is not None:
            _check_times(before, grab)
            seen.append((grab.t_seconds, grab.epoch, grab.index))
            if len(seen) % 3 == 1:
                _check_picture(grab)
            before = grab
        _check_info(source.info)
        if ends:
            again = [source.read() for _ in range(3)]
            expect(again == [None] * 3, "after its end a source gives None, again and again")
    expect(len(seen) >= frames, f"{frames} frames were expected, {len(seen)} came")
    return seen


def _check_info(info: SourceInfo) -> None:
    expect(
        re.fullmatch(SOURCE_NAME, info.name),
        f"info.name is {info.name!r}; it has to be the context's name, {SOURCE_NAME}",
    )
    expect(info.kind in ("file", "live"), f"info.kind is {info.kind!r}, not file or live")
    size = (info.width, info.height)
    expect(min(size) > 0, f"after a frame info.width and info.height are {size}, not above 0")
    expect(info.fps is None or info.fps > 0, f"info.fps is {info.fps}, neither above 0 nor None")


def _check_times(before: Grab | None, grab: Grab) -> None:
    place = f"frame {grab.index}"
    expect(math.isfinite(grab.t_seconds), f"{place}: t_seconds is {grab.t_seconds}")
    if before is None:
        expect(grab.t_seconds == 0.0, f"the first frame is at {grab.t_seconds} s, not at 0")
        return
    expect(grab.index > before.index, f"{place}: the index does not grow after {before.index}")
    expect(grab.epoch >= before.epoch, f"{place}: the epoch fell from {before.epoch}")
    expect(
        grab.epoch > before.epoch or grab.t_seconds > before.t_seconds,
        f"{place}: t_seconds goes from {before.t_seconds} to {grab.t_seconds} within one epoch",
    )
    expect(grab.mono_ns >= before.mono_ns, f"{place}: mono_ns goes back; use time.monotonic_ns()")


def _check_picture(grab: Grab) -> None:
    picture = grab.to_rgb()
    shape, kind = picture.shape, picture.dtype
    expect(kind == np.uint8, f"to_rgb gives {kind}, not uint8")
    expect(len(shape) == 3 and shape[2] == 3, f"to_rgb gives shape {shape}, not (H, W, 3)")
    expect(
        picture.flags.c_contiguous,
        "to_rgb gives an array that is not contiguous; use numpy.ascontiguousarray",
    )


def _check_closed_source_gives_nothing(factory: Callable[[], Source]) -> None:
    source = factory()
    source.close()
    source.close()
    expect(
        [source.read() for _ in range(3)] == [None] * 3,
        "a source that was closed still gives frames",
    )
    with factory() as other:
        other.read()
    expect(other.read() is None, "a source that its `with` block has closed still gives frames")


def _check_close_ends_a_read(
    factory: Callable[[], Source], blocks: Callable[[Source], None] | None
) -> None:
    opened: list[Source] = []
    is_reading = threading.Event()
    raised: list[BaseException] = []

    def read() -> None:
        try:
            source = factory()
            opened.append(source)
            if blocks is None:
                source.read()
            else:
                blocks(source)
            is_reading.set()
            while source.read() is not None:
                pass
        except BaseException as error:
            raised.append(error)
        finally:
            is_reading.set()

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    is_reading.wait(OPEN_SECONDS)
    if blocks is not None:
        reading.join(WAITS_SECONDS)
        expect(reading.is_alive(), "the source was expected to wait for a frame")
    for source in opened:
        source.close()
    reading.join(CLOSE_SECONDS)
    if raised:
        raise raised[0]
    expect(
        not reading.is_alive(),
        f"read goes on {CLOSE_SECONDS:g} s after close was called from another thread",
    )
