"""One labelled segment, as `segments.jsonl` holds it."""

from __future__ import annotations

import msgspec


class SegmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled segment: the half-open span [start, end) in seconds."""

    recording: str
    start: float
    end: float
    label: int | None = None
    """0 correct, 1 mistake, None unknown."""
    context_start: float = 0.0
    """Where the workflow began: the context is [context_start, end)."""
    split: str = ""
    tags: tuple[str, ...] = ()
    """Kinds of the mistake; never an input."""
    text: str = ""
    """Name of the step; an auxiliary target, never an input."""
    workflow: str = ""
    """Name of the workflow; an auxiliary target, never an input."""
