"""Events as rows for the page: report and live page read the same shapes."""

from __future__ import annotations

from typing import Any

import msgspec

from egomon.fusion.messages.types import AlertData, GapData, SegmentData, StatsData, StatusData

OUT_OF_DOMAIN, FLAGGED, INCOMPLETE = 1, 2, 4
ROW_FIELDS = (
    "id",
    "epoch",
    "start",
    "end",
    "p",
    "stage",
    "small",
    "large",
    "gate_large",
    "fused",
    "threshold",
    "off",
    "step",
    "conf",
    "flags",
    "dropped",
    "guard",
)
"""Columns of a segment's row, in order; `assets/store.js` names the same."""


def segment_row(data: SegmentData) -> list[Any]:
    """Convert a segment to an array: an hour of them is 0.4 MB instead of 1.6 MB."""
    ref, scores, step = data.segment, data.scores, data.step
    flags = (
        OUT_OF_DOMAIN * data.out_of_domain
        + FLAGGED * data.flagged
        + INCOMPLETE * (not ref.complete)
    )
    return [
        ref.id,
        ref.epoch,
        _short(ref.media_start),
        _short(ref.media_end),
        _short(data.p),
        data.stage,
        _short(scores.small.p),
        None if scores.large is None else _short(scores.large.p),
        None if scores.gate is None else _short(scores.gate.large),
        _short(scores.fused),
        _short(scores.threshold),
        _short(scores.t_off),
        None if step is None else step.text,
        None if step is None else _short(step.conf),
        flags,
        ref.dropped,
        _short(data.guard_distance),
    ]


def alert_revision(data: AlertData) -> dict[str, Any]:
    """Convert one revision of an alert: the fields that change between revisions."""
    return {
        "rev": data.rev,
        "phase": data.phase,
        "state": data.state,
        "reason": data.reason,
        "p": _short(data.p),
        "explanation": data.explanation,
    }


def plain(data: AlertData | StatusData | StatsData | GapData) -> dict[str, Any]:
    """Convert to built-in types."""
    built: dict[str, Any] = msgspec.to_builtins(data)
    return built


def _short(value: float | None) -> float | None:
    """Round to four digits: more than a screen can show."""
    return None if value is None else round(value, 4)
