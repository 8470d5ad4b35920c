"""Made-up wire data for views and reports."""

from __future__ import annotations

import math
from typing import Any

from egomon.fusion.messages.types import (
    AlertData,
    BranchScores,
    Data,
    GateWeights,
    Scores,
    SegmentData,
    SegmentRef,
    StatsData,
    Step,
)


def scores(p: float, *, fused: bool = False, threshold: float = 0.7) -> Scores:
    branch = BranchScores(p=p, logits=(1.0 - p, p))
    return Scores(
        small=branch,
        large=branch if fused else None,
        gate=GateWeights(small=0.4, large=0.6) if fused else None,
        fused=p if fused else None,
        threshold=threshold,
        t_off=threshold / 2,
    )


def ref(index: int, *, start: float | None = None, length: float = 2.0) -> SegmentRef:
    begin = float(index) if start is None else start
    return SegmentRef(id=index, epoch=0, media_start=begin, media_end=begin + length, frames=16)


def segment(index: int, p: float, *, fused: bool = False, **fields: Any) -> SegmentData:
    fields.setdefault("segment", ref(index))
    fields.setdefault("step", Step(id="bolt", text="tighten the bolt", conf=0.8))
    fields.setdefault("stage", "fused" if fused else "small")
    return SegmentData(p=p, scores=scores(p, fused=fused), flagged=fused, **fields)


def alert(alert_id: str = "a1", **fields: Any) -> AlertData:
    p = fields.setdefault("p", 0.91)
    fields.setdefault("rev", 1)
    fields.setdefault("phase", "new")
    fields.setdefault("state", "confirmed")
    fields.setdefault("reason", "refined")
    fields.setdefault("explanation", "The bolt is loose (small 0.91 x 0.40, large 0.91 x 0.60).")
    fields.setdefault("segment", ref(10))
    fields.setdefault("media_opened", fields["segment"].media_end)
    fields.setdefault("step", Step(id="bolt", text="tighten the bolt", conf=0.8))
    fields.setdefault("source", "cam0")
    return AlertData(alert_id=alert_id, scores=scores(p, fused=True), model="toy@0", **fields)


def stats(**fields: Any) -> StatsData:
    frames = fields.pop("frames", {"decoded": 900, "sampled": 240, "encoded": 239})
    return StatsData(
        media_seconds=75.25,
        fps=29.97,
        frames=frames,
        segments=30,
        alerts_open=0,
        alerts_total=0,
        queues={"buffer": 2, "refine": 1, "pending": 0},
        refine={"ok": 3},
        latency_ms={"encode_frame": 4.0},
        **fields,
    )


def workday(segments: int = 3600, alerts: int = 40, source: str = "cam0") -> list[tuple[str, Data]]:
    """A long recording with alerts spread over it, each opened and closed."""
    every = max(1, segments // max(1, alerts))
    events: list[tuple[str, Data]] = []
    for index in range(segments):
        near = index % every >= every - 3
        p = 0.85 if near else 0.3 + 0.2 * math.sin(index / 9)
        text = ("fetch the frame", "mount the wheel", "tighten the bolt")[index // 40 % 3]
        step = Step(id=text[:5], text=text, conf=0.8)
        events.append((source, segment(index, p, fused=p > 0.45, step=step)))
        number = index // every
        if index % every == every - 1 and number < alerts:
            common = {"segment": ref(index), "step": step, "source": source}
            severity = "alert" if number % 2 else "notice"
            opened = alert(f"a{number:03}", severity=severity, **common)
            closed = alert(
                f"a{number:03}",
                severity=severity,
                rev=2,
                phase="retract" if number % 7 == 6 else "end",
                state="retracted" if number % 7 == 6 else "closed",
                reason="below_t_off",
                media_end=index + 4.0,
                **common,
            )
            events += [(source, opened), (source, closed)]
    return events
