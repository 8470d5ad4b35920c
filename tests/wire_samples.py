"""Messages for tests outside tests/fusion."""

from __future__ import annotations

import msgspec

from egomon.fusion.messages.types import AlertData, BranchScores, Scores, SegmentRef


def alert(**changes: object) -> AlertData:
    """Alert `a-1` of `cam0`, just opened."""
    base = AlertData(
        alert_id="a-1",
        rev=1,
        phase="new",
        state="confirmed",
        reason="small_score",
        explanation="This is a step that looks wrong.",
        source="cam0",
        p=0.9,
        segment=SegmentRef(id=3, epoch=0, media_start=6.0, media_end=8.0, frames=8),
        media_opened=8.0,
        scores=Scores(small=BranchScores(p=0.9, logits=(-1.1, 1.1)), threshold=0.5, t_off=0.4),
        model="tiny@00000000",
    )
    return msgspec.structs.replace(base, **changes)


def closed() -> AlertData:
    """The end of `a-1`."""
    return alert(rev=2, phase="end", state="closed", reason="below_t_off", media_end=8.0)
