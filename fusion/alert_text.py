"""Converts a verdict to the text and the numbers of messages."""

from __future__ import annotations

from statistics import fmean

from egomon.fusion.decision import Verdict
from egomon.fusion.messages.types import BranchScores, GateWeights, Scores, SegmentGaze, SegmentRef
from egomon.stream.frame import Segment


def segment_ref(verdict: Verdict) -> SegmentRef:
    """Build the reference to a verdict's segment, rounded to milliseconds."""
    segment = verdict.scored.segment
    return SegmentRef(
        id=segment.index,
        epoch=segment.epoch,
        media_start=round(segment.t_start, 3),
        media_end=round(segment.t_end, 3),
        frames=len(segment.times),
        dropped=segment.dropped,
        complete=segment.dropped == 0,
    )


def scores_of(verdict: Verdict) -> Scores:
    """Collect the numbers behind a verdict; six digits are far below what the models resolve."""

    def branch(p: float, logits: object) -> BranchScores:
        correct, mistake = (round(float(z), 6) for z in logits)  # type: ignore[attr-defined]
        return BranchScores(p=round(p, 6), logits=(correct, mistake))

    large, weights = verdict.large, verdict.gate_weights
    return Scores(
        small=branch(verdict.p_small, verdict.scored.score.logits),
        large=None if large is None else branch(verdict.p_large or 0.0, large.logits),
        gate=None
        if weights is None
        else GateWeights(small=round(weights[0], 6), large=round(weights[1], 6)),
        fused=round(verdict.p_mistake, 6) if verdict.stage == "fused" else None,
        threshold=verdict.threshold,
        t_off=round(verdict.t_off, 6),
    )


def gaze_of(segment: Segment) -> SegmentGaze | None:
    """Summarise the gaze of a segment, four digits; None without gaze."""
    if not segment.gaze:
        return None
    worn = [gaze for gaze in segment.gaze if gaze.worn]
    return SegmentGaze(
        frames=len(segment.gaze),
        worn=round(len(worn) / len(segment.gaze), 4),
        x=round(fmean(gaze.x for gaze in worn), 4) if worn else None,
        y=round(fmean(gaze.y for gaze in worn), 4) if worn else None,
    )


def explain(verdict: Verdict) -> str:
    """Give the reason of an alert in one sentence; its numbers are fields of their own."""
    score = verdict.scored.score
    if score.reason:
        what = score.reason
    elif score.step is not None:
        what = f"{score.step.text!r} looks wrong"
    else:
        what = "this part of the work looks wrong"
    return f"{what[0].upper()}{what[1:]}."
