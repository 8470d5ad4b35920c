"""The synthetic source, and the wrapper that makes sources misbehave."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import numpy as np
import pytest
from fakes import RecordingListener

from egomon.errors import SourceLostError, UsageError
from egomon.stream.frame import Grab
from egomon.stream.source import Source
from egomon.stream.sources.chaos import ChaosSource, Fault
from egomon.stream.sources.open import is_live, open_source
from egomon.stream.sources.synthetic import read_index
from egomon.testing import check_source

TEN = "synthetic:seed=3,seconds=1,fps=10"


def run(*faults: Fault) -> tuple[list[tuple[Grab, np.ndarray]], RecordingListener]:
    listener = RecordingListener()
    waits: list[float] = []
    with ChaosSource(
        open_source(TEN), faults, listener=listener, wait=lambda stop, s: waits.append(s)
    ) as source:
        seen = [(grab, grab.to_rgb()) for grab in iter(source.read, None)]
    times = [(grab.epoch, grab.t_seconds) for grab, _ in seen]
    assert all(a < b for a, b in itertools.pairwise(times))
    indices = [grab.index for grab, _ in seen]
    assert all(a < b for a, b in itertools.pairwise(indices))
    return seen, listener


def numbers(seen: list[tuple[Grab, np.ndarray]]) -> list[int]:
    return [read_index(picture) for _, picture in seen]


def causes(listener: RecordingListener) -> list[tuple[str, int]]:
    return [(gap.cause, gap.count) for gap in listener.gaps]


def test_the_synthetic_source_keeps_the_contract_and_repeats() -> None:
    reference = "synthetic:seed=7,seconds=2,fps=10,size=96x64"
    seen = check_source(lambda: open_source(reference), frames=20)
    assert [t for t, _, _ in seen] == pytest.approx([i / 10 for i in range(20)])

    def pictures(seed: int) -> list[np.ndarray]:
        with open_source(f"synthetic:seed={seed},seconds=1,fps=5") as source:
            return [grab.to_rgb() for grab in iter(source.read, None)]

    first, again, other = pictures(1), pictures(1), pictures(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert [read_index(picture) for picture in first] == list(range(5))


def test_a_realtime_synthetic_source_is_live_and_close_unblocks_it() -> None:
    reference = "synthetic:seconds=60,fps=0.2,realtime=1"

    def waits(source: Source) -> None:
        assert source.read() is not None

    check_source(lambda: open_source(reference), frames=1, ends=False, blocks=waits)
    with open_source(reference) as source:
        assert source.info.kind == "live"
        assert source.info.duration_seconds is None
    assert is_live(reference)
    assert is_live(f"chaos:1:{reference}")
    assert not is_live("chaos:1:video.mp4")


def test_chaos_keeps_the_contract_and_repeats_for_a_seed() -> None:
    reference = "chaos:5:synthetic:seed=0,seconds=40,fps=30,size=48x32"
    first = check_source(lambda: open_source(reference), frames=1000)
    listener = RecordingListener()
    with open_source(reference, listener=listener) as source:
        again = [(g.t_seconds, g.epoch, g.index) for g in iter(source.read, None)]
        assert source.info.uri.startswith("chaos:synthetic:")
    assert again == first
    assert {"buffer_full", "out_of_order", "decode_error", "pts_jump"} <= set(
        Counter(gap.cause for gap in listener.gaps)
    )
    # Each frame is delivered, or lost with a cause; the second of two duplicates is one too many.
    lost = sum(gap.count for gap in listener.gaps if gap.cause != "out_of_order")
    late = sum(gap.count for gap in listener.gaps if gap.cause == "out_of_order")
    assert 1200 - late <= len(again) + lost <= 1200


def test_dropped_and_damaged_frames_are_missing_and_counted() -> None:
    seen, listener = run(Fault(2, "drop", count=3), Fault(7, "damage"))
    assert numbers(seen) == [0, 1, 5, 6, 8, 9]
    assert [grab.index for grab, _ in seen] == [0, 1, 5, 6, 8, 9]
    assert causes(listener) == [("buffer_full", 3), ("decode_error", 1)]


def test_duplicates_and_late_frames_never_go_back_in_time() -> None:
    seen, listener = run(Fault(2, "duplicate"), Fault(5, "reorder"))
    assert numbers(seen) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert causes(listener) == [("out_of_order", 1), ("out_of_order", 1)]


def test_a_jump_in_time_is_a_new_epoch() -> None:
    seen, listener = run(Fault(4, "jump", seconds=7.0))
    assert [grab.epoch for grab, _ in seen] == [0] * 4 + [1] * 6
    assert seen[4][0].t_seconds == pytest.approx(7.4)
    assert causes(listener) == [("pts_jump", 0)]


def test_pictures_change_size_or_become_noise() -> None:
    seen, _ = run(Fault(3, "resize"), Fault(6, "noise"))
    assert [picture.shape for _, picture in seen[2:5]] == [
        (240, 320, 3),
        (120, 160, 3),
        (240, 320, 3),
    ]

    def grain(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture[40:].astype(int), axis=0)).mean())

    assert grain(seen[6][1]) > 50
    assert grain(seen[5][1]) == 0
    assert all(picture.flags.c_contiguous for _, picture in seen)


def test_a_stall_is_reported_and_waits() -> None:
    waits: list[float] = []
    listener = RecordingListener()
    with ChaosSource(
        open_source(TEN),
        [Fault(1, "stall", seconds=3.0)],
        listener=listener,
        wait=lambda stop, seconds: waits.append(seconds),
    ) as source:
        assert len(list(iter(source.read, None))) == 10
    assert waits == [3.0]
    assert [change.state for change in listener.states] == ["stalled", "online"]


def test_close_cuts_a_stall_short() -> None:
    source = ChaosSource(open_source(TEN), [Fault(0, "stall", seconds=60.0)])
    thread = threading.Thread(target=source.read)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    source.close()
    thread.join(2)
    assert not thread.is_alive()


def test_it_ends_or_dies_when_told() -> None:
    seen, _ = run(Fault(4, "end"))
    assert numbers(seen) == [0, 1, 2, 3]
    with ChaosSource(open_source(TEN), [Fault(1, "die")]) as source:
        assert source.read() is not None
        with pytest.raises(SourceLostError, match="died"):
            source.read()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("ftp://host/x", "no source; give a camera number"),
        ("chaos:1", "chaos:SEED:SOURCE"),
        ("chaos:x:0", "chaos:SEED:SOURCE"),
        ("synthetic:colour=red", "unknown 'colour'; known: fps"),
        ("synthetic:size=big", "write synthetic:"),
        ("synthetic:fps=nan", "fps"),
        ("synthetic:size=9999999x9999999", "size"),
        ("pupil://phone:seven", "write pupil://ADDRESS:PORT"),
    ],
)
def test_a_wrong_reference_is_a_usage_error_that_says_what_to_write(
    reference: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_source(reference)
    assert caught.value.exit_code == 2
