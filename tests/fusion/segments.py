"""Scored segments for tests of fusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from fakes import NS_PER_SECOND, score

from egomon.branches.interfaces import StepGuess
from egomon.branches.segment_scorer import Progress, ScoredSegment
from egomon.stream.frame import Segment


def scored(
    index: int,
    log_odds: float,
    *,
    start: float | None = None,
    length: float = 2.0,
    out_of_domain: bool = False,
    step: StepGuess | None = None,
    missing_steps: tuple[str, ...] = (),
    source: str = "cam",
) -> ScoredSegment:
    """Segment `index` starts at `index` seconds and is two seconds long, so neighbours overlap."""
    t_start = float(index) if start is None else start
    t_end = t_start + length
    return ScoredSegment(
        segment=Segment(
            index=index,
            source=source,
            t_start=t_start,
            t_end=t_end,
            epoch=0,
            times=np.array([t_start]),
        ),
        score=replace(score("small", log_odds, step=step), missing_steps=missing_steps),
        out_of_domain=out_of_domain,
        guard_distance=None,
        capture_start_wall_ns=int(t_start * NS_PER_SECOND),
        capture_end_wall_ns=int(t_end * NS_PER_SECOND),
        capture_end_mono_ns=int(t_end * NS_PER_SECOND),
    )


def progress(t_seconds: float, source: str = "cam") -> Progress:
    return Progress(source, t_seconds, 0, "unknown", None)
