"""`egomon evaluate --videos`: the real streaming path over labelled recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egomon.branches.bundle import load_bundle
from egomon.config import load_settings
from egomon.errors import DataError
from egomon.fusion.wire import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest

SECONDS_PER_HOUR = 3600.0
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """One line of segments.jsonl."""

    recording: str
    start: float
    end: float
    label: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordingRun:
    """What the monitor said about one recording."""

    recording: str
    seconds: float
    alerts: tuple[AlertData, ...]
    """First revision of each alert that was not retracted."""
    segments: tuple[SegmentData, ...]
    truth: tuple[LabelledSpan, ...]


def read_labels(folder: Path) -> dict[str, list[LabelledSpan]]:
    """Labelled segments of `folder/segments.jsonl` by recording; unknown labels are left out.

    Raises:
        DataError: missing or malformed; names the line.
    """
    path = folder / "segments.jsonl"
    if not path.is_file():
        raise DataError(f"{folder} has no segments.jsonl; `egomon simulate` shows the layout")
    labels: dict[str, list[LabelledSpan]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, label = Path(str(row["recording"])).stem, row["label"]
            span = (float(row["start"]), float(row["end"]))
            tags = tuple(str(tag) for tag in row.get("tags") or ())
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: expected recording, start, end and label ({error})"
            ) from error
        if label in (0, 1):
            labels.setdefault(name, []).append(LabelledSpan(name, *span, int(label), tags))
    return labels


def run_recordings(model: str, folder: Path) -> list[RecordingRun]:
    """Replay every labelled video of a folder, with both branches and the gate.

    Raises:
        DataError: no videos, or labels of a video that is not there.
    """
    labels = read_labels(folder)
    videos = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES}
    missing = sorted(set(labels) - set(videos))
    if missing:
        raise DataError(f"{folder}/segments.jsonl names {missing[0]!r}, but there is no such video")
    if not videos:
        raise DataError(f"{folder} holds no video ({', '.join(VIDEO_SUFFIXES)})")
    bundle = load_bundle(model)
    settings = load_settings(
        None, {"model": {"name": model}, "bus": {"publish": (), "control": "none"}}
    )
    runs = []
    for name, path in videos.items():
        events: list[Data] = []
        monitor = Monitor(
            [SourceRequest("video", str(path), False)],
            settings,
            bundle=bundle,
            listeners=[lambda source, data, events=events: events.append(data)],  # type: ignore[misc]
        )
        summary = monitor.run()
        runs.append(_run_of(name, summary.media_seconds, events, labels.get(name, [])))
    return runs


def _run_of(
    name: str, seconds: float, events: Sequence[Data], truth: Sequence[LabelledSpan]
) -> RecordingRun:
    alerts = [event for event in events if isinstance(event, AlertData)]
    retracted = {alert.alert_id for alert in alerts if alert.phase == "retract"}
    return RecordingRun(
        recording=name,
        seconds=seconds,
        alerts=tuple(a for a in alerts if a.rev == 1 and a.alert_id not in retracted),
        segments=tuple(event for event in events if isinstance(event, SegmentData)),
        truth=tuple(sorted(truth, key=lambda span: span.start)),
    )
