"""Verdicts on alerts become labels: `true` a mistake, `false` correct, `unsure` nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from egomon.errors import DataError
from egomon.fusion.messages.types import AlertData
from egomon.fusion.store.reader import EventReader
from egomon.fusion.store.tables import alert_in
from egomon.stream.source import topic_name
from egomon.train.features.feature_set import FeatureSet
from egomon.train.features.rows import SegmentRow

SAME_IOU = 0.5
"""Overlap (IoU) from which an alert's span and a segment are the same."""


@dataclass(frozen=True, slots=True)
class FeedbackUse:
    """Use of the verdicts."""

    relabelled: int
    """Segments whose label a verdict set or changed."""
    confirmed: int
    """Segments that had the verdict's label already."""
    added: int
    """New segments, where none was marked."""
    unused: int
    """Verdicts on other recordings or alerts that are no longer stored."""

    def to_json(self) -> dict[str, int]:
        """Return the object of `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Judged:
    recording: str
    start: float
    end: float
    label: int
    step: str


def apply_feedback(data: FeatureSet, store: Path) -> tuple[FeatureSet, FeedbackUse]:
    """Set labels from the latest verdict on each alert.

    An alert belongs to the recording of its source's name, as `egomon replay` names it. Its span
    is that of the segment that opened it: where a segment of the set overlaps it by half (as
    intersection over union) that segment gets the label, else a new one is added.

    Raises:
        StoreError: the store cannot be read.
        DataError: two recordings have the source's name.
    """
    rows = list(data.segments)
    changed = confirmed = added = 0
    judged, unused = _read(store, data)
    for verdict in judged:
        number = _same(rows, verdict)
        if number is None:
            rows.append(_new(rows, verdict))
            added += 1
        elif rows[number].label == verdict.label:
            confirmed += 1
        else:
            rows[number] = msgspec.structs.replace(rows[number], label=verdict.label)
            changed += 1
    return replace(data, segments=tuple(rows)), FeedbackUse(changed, confirmed, added, unused)


def _read(store: Path, data: FeatureSet) -> tuple[list[_Judged], int]:
    by_source: dict[str, list[str]] = {}
    for name in data.recordings:
        by_source.setdefault(topic_name(name), []).append(name)
    judged, unused = [], 0
    with EventReader(store) as events:
        latest = {row.alert_id: row.verdict for row in events.feedback_rows()}
        for alert_id, verdict in latest.items():
            row = events.alert(alert_id)
            if verdict == "unsure":
                continue
            if row is None or row.source not in by_source:
                unused += 1
                continue
            names = by_source[row.source]
            if len(names) > 1:
                raise DataError(
                    f"{data.where}: recordings {names[0]!r} and {names[1]!r} are both called "
                    f"{row.source!r} in {store}; rename one of them and replay it again"
                )
            first = next((alert_in(event) for event in events.revisions(alert_id)), None)
            judged.append(_judged(names[0], first or row.data, verdict))
    return judged, unused


def _judged(recording: str, alert: AlertData, verdict: str) -> _Judged:
    span = alert.segment
    step = "" if alert.step is None else alert.step.text
    return _Judged(
        recording, max(0.0, span.media_start), span.media_end, int(verdict == "true"), step
    )


def _same(rows: list[SegmentRow], verdict: _Judged) -> int | None:
    best, best_iou = None, SAME_IOU
    for number, row in enumerate(rows):
        if row.recording == verdict.recording:
            both = min(row.end, verdict.end) - max(row.start, verdict.start)
            either = max(row.end, verdict.end) - min(row.start, verdict.start)
            if both / either >= best_iou:
                best, best_iou = number, both / either
    return best


def _new(rows: list[SegmentRow], verdict: _Judged) -> SegmentRow:
    """Of the same split and workflow as its recording's other segments, so nothing leaks."""
    like = next(row for row in rows if row.recording == verdict.recording)
    return SegmentRow(
        recording=verdict.recording,
        start=verdict.start,
        end=verdict.end,
        label=verdict.label,
        context_start=min(like.context_start, verdict.start),
        split=like.split,
        text=verdict.step or like.text,
        workflow=like.workflow,
    )
