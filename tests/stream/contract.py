"""What every source promises; each kind of source runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from egomon.stream.frame import Grab
from egomon.stream.source import Source

CLOSE_SECONDS = 2.0


def check_source(
    factory: Callable[[], Source],
    *,
    frames: int,
    ends: bool = True,
    blocks: Callable[[Source], None] | None = None,
) -> list[tuple[float, int, int]]:
    """Run all checks.

    Args:
        factory: opens the source anew.
        frames: read so many at least.
        ends: the source comes to an end by itself.
        blocks: brings an open source to the point where the next `read` waits; None = it never
            waits.

    Returns:
        (t_seconds, epoch, index) of the frames read.
    """
    seen = _check_order_and_pictures(factory, frames, ends)
    _check_closed_source_gives_nothing(factory)
    if blocks is not None:
        _check_close_unblocks(factory, blocks)
    return seen


def _check_order_and_pictures(
    factory: Callable[[], Source], frames: int, ends: bool
) -> list[tuple[float, int, int]]:
    seen: list[tuple[float, int, int]] = []
    with factory() as source:
        assert isinstance(source, Source)
        before: Grab | None = None
        while (ends or len(seen) < frames) and (grab := source.read()) is not None:
            if before is not None:
                assert grab.index > before.index
                assert grab.epoch >= before.epoch
                assert grab.epoch > before.epoch or grab.t_seconds > before.t_seconds
                assert grab.mono_ns >= before.mono_ns
            else:
                assert grab.t_seconds == 0.0
            seen.append((grab.t_seconds, grab.epoch, grab.index))
            if len(seen) % 3 == 1:
                _check_picture(grab)
            before = grab
        info = source.info
        assert info.width > 0
        assert info.height > 0
        if ends:
            assert [source.read() for _ in range(3)] == [None] * 3
    assert len(seen) >= frames
    return seen


def _check_picture(grab: Grab) -> None:
    picture = grab.to_rgb()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert picture.flags.c_contiguous


def _check_closed_source_gives_nothing(factory: Callable[[], Source]) -> None:
    source = factory()
    source.close()
    source.close()
    assert [source.read() for _ in range(3)] == [None] * 3
    with factory() as other:
        other.read()
    assert other.read() is None


def _check_close_unblocks(factory: Callable[[], Source], blocks: Callable[[Source], None]) -> None:
    source = factory()
    blocks(source)
    answers: list[Grab | None] = []
    reading = threading.Thread(target=lambda: answers.append(source.read()))
    reading.start()
    reading.join(0.3)
    assert reading.is_alive(), "the source was expected to wait for a frame"
    begin = time.monotonic()
    source.close()
    reading.join(CLOSE_SECONDS + 1)
    assert not reading.is_alive()
    assert time.monotonic() - begin < CLOSE_SECONDS
    assert answers == [None]
