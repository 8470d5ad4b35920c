from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from fakes import BrightnessBranch, BrightnessEncoder, frame

from egomon.branches.bundle.card import GuardCard, StreamCard
from egomon.branches.interfaces import Float32
from egomon.branches.out_of_domain.detector import OutOfDomainDetector
from egomon.branches.segment_scorer import Progress, ScoredSegment, ScoringModels, SegmentScorer
from egomon.stream.frame import Detail, Frame, Gaze
from egomon.stream.segmenter import FixedWindows

CARD = StreamCard(fps=4.0, length_seconds=2.0, stride_seconds=1.0, context_until="segment_start")


class BrightGuard:
    """Bright frames are foreign."""

    limit = 0.5

    def distance(self, vectors: Float32) -> float:
        return float(vectors[:, 0].mean())


def make(
    branch: BrightnessBranch, *, guard: bool = False, reset_gap: float | None = None
) -> SegmentScorer:
    parts = ScoringModels(
        small=branch,
        stream=CARD,
        dim=2,
        guard=BrightGuard() if guard else None,
        guard_card=GuardCard(limit=0.5) if guard else None,
        pixel_frames=4,
    )
    segmenter = FixedWindows(length_seconds=2.0, stride_seconds=1.0, period_seconds=0.25)
    held: list[Frame] = []
    scorer = SegmentScorer(
        "cam",
        parts,
        segmenter,
        window=lambda a, b, e: [f for f in held if a <= f.t_seconds < b and f.epoch == e],
        reset_gap_seconds=reset_gap,
    )
    scorer.held = held  # type: ignore[attr-defined]
    return scorer


def feed(scorer: SegmentScorer, frames: Sequence[Frame], batch: int = 3) -> list[ScoredSegment]:
    encoder = BrightnessEncoder()
    out: list[ScoredSegment] = []
    for i in range(0, len(frames), batch):
        part = frames[i : i + batch]
        scorer.held.extend(part)  # type: ignore[attr-defined]
        vectors = encoder.encode(np.stack([f.image for f in part]))
        out += [e for e in scorer.feed(part, vectors) if isinstance(e, ScoredSegment)]
    return out


def frames(n: int, *, start: float = 0.0, epoch: int = 0, value: int = 0) -> list[Frame]:
    return [frame(start + i / 4, epoch=epoch, index=i, value=value) for i in range(n)]


def test_segments_carry_their_clip_and_the_context_before_them() -> None:
    branch = BrightnessBranch(steps=("take part",))
    found = feed(make(branch), frames(20))
    assert [(s.segment.t_start, s.segment.t_end) for s in found] == [
        (0.0, 2.0),
        (1.0, 3.0),
        (2.0, 4.0),
        (3.0, 5.0),
    ]
    clip, context = branch.seen[2]
    assert clip.times.tolist() == [2.0 + i / 4 for i in range(8)]
    assert context.times.tolist() == [i / 4 for i in range(8)]
    assert [s.step.text for s in context.steps] == ["take part", "take part"]
    assert found[0].segment.dropped == 0
    assert len(found[0].segment.frames) == 4


def test_a_segment_has_the_gaze_of_all_its_frames_also_of_those_whose_pixels_it_drops() -> None:
    looks = [Gaze(i / 10, 0.5, worn=True) for i in range(8)]
    seen = [replace(f, gaze=looks[f.index] if f.index % 2 else None) for f in frames(8)]
    (found,) = feed(make(BrightnessBranch()), seen)
    assert found.segment.gaze == tuple(looks[1::2])
    assert feed(make(BrightnessBranch()), frames(8))[0].segment.gaze == ()


def test_batch_size_changes_nothing() -> None:
    one = feed(make(BrightnessBranch()), frames(40), batch=1)
    eight = feed(make(BrightnessBranch()), frames(40), batch=8)
    assert [(s.segment.t_start, s.score.log_odds) for s in one] == [
        (s.segment.t_start, s.score.log_odds) for s in eight
    ]


def test_no_clip_spans_a_gap_and_a_long_hole_begins_a_new_workflow() -> None:
    branch = BrightnessBranch()
    scorer = make(branch, reset_gap=10.0)
    found = feed(scorer, [*frames(6), *frames(12, start=30.0, epoch=1)])
    assert [(s.segment.t_start, s.segment.t_end, s.segment.epoch) for s in found] == [
        (0.0, 1.5, 0),
        (30.0, 32.0, 1),
        (31.0, 33.0, 1),
    ]
    assert branch.seen[2][1].t_start >= 30.0


def test_a_frame_after_a_gap_may_finish_what_was_open_before_it() -> None:
    scorer = make(BrightnessBranch())
    feed(scorer, frames(2))
    (same,) = frames(1, start=0.5)
    (other,) = frames(1, start=0.5, epoch=1)
    assert not scorer.may_finish(same)
    assert scorer.may_finish(other)


def test_missing_grid_points_are_counted() -> None:
    kept = [f for f in frames(8) if f.index not in (2, 3, 4)]
    (found,) = feed(make(BrightnessBranch()), kept)
    assert found.segment.dropped == 3


def test_progress_tells_how_far_everything_is_scored() -> None:
    scorer = make(BrightnessBranch())
    assert scorer.progress() == Progress("cam", 0.0, 0, "unknown", None)
    feed(scorer, frames(4))
    assert scorer.progress().t_seconds == 1.0
    assert scorer.progress().frames == 4


def test_foreign_footage_is_marked_before_it_can_raise_an_alert() -> None:
    scorer = make(BrightnessBranch(), guard=True)
    found = feed(scorer, frames(12, value=255))
    assert all(s.out_of_domain for s in found)
    assert scorer.progress().domain == "out_of_domain"


def test_domain_changes_only_after_several_windows_in_a_row() -> None:
    watch = OutOfDomainDetector(BrightGuard(), enter=2, leave=2)
    states = []
    for t in range(60):
        level = 1.0 if 20 <= t < 24 or t >= 40 else 0.0
        watch.push(np.array([t / 4]), np.full((1, 2), level, dtype=np.float32))
        states.append(watch.state)
    assert states[0] == "unknown"
    assert "out_of_domain" not in states[8:40], "one short flash must not change the state"
    assert states[-1] == "out_of_domain"


def test_a_segment_has_the_source_s_own_frames_where_the_large_branch_takes_them() -> None:
    scorer = make(BrightnessBranch())
    parts = replace(scorer._parts, clip_frames=6)
    scorer._parts = parts
    dense = [
        replace(
            each,
            detail=each.image,
            between=tuple(Detail(each.t_seconds - 0.25 + 0.05 * k, each.image) for k in range(1, 5))
            if each.t_seconds
            else (),
        )
        for each in frames(20)
    ]
    found = feed(scorer, dense)
    assert [len(s.segment.clip) for s in found] == [6] * len(found)
    times = [round(d.t_seconds, 3) for d in found[0].segment.clip]
    assert times == [0.0, 0.35, 0.7, 1.0, 1.35, 1.7]
    assert feed(make(BrightnessBranch()), frames(20))[0].segment.clip == ()
