"""`egomon evaluate --videos`: the real streaming path over labelled recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.progress import track
from rich.table import Table

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.config import Settings, load_settings
from egomon.errors import DataError
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.train.datasets.table import read_table
from egomon.train.features.encode_video import encode_video
from egomon.train.features.replay_vectors import VectorEncoder, VectorSource
from egomon.train.features.rows import SegmentRow
from egomon.train.features.vector_cache import VectorCache
from egomon.train.metrics.calibration import brier, ece
from egomon.train.metrics.curves import pr_auc, roc_auc
from egomon.train.metrics.events import AlertTime, EventReport, evaluate_events
from egomon.train.metrics.threshold import Confusion
from egomon.view.console import PlainConsole

SECONDS_PER_HOUR = 3600.0
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")


@dataclass(frozen=True, slots=True)
class VideosReport:
    """Scores of labelled segments, and of alerts against mistakes, as in live use."""

    model: str
    recordings: int
    n: int
    positives: int
    roc_auc: float
    pr_auc: float
    brier: float
    ece: float
    confusion: Confusion
    by_tag_auc: dict[str, float]
    """ROC-AUC of the mistakes with one tag against all correct segments."""
    out_of_domain_share: float
    """Share of scored segments on footage that the guard calls foreign."""
    events: EventReport
    trivial: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, object]:
        """One flat object, NaN-free."""
        return {**self._of_segments(), **self.events.to_json()}

    def _of_segments(self) -> dict[str, object]:
        return {
            "model": self.model,
            "recordings": self.recordings,
            "n": self.n,
            "positives": self.positives,
            "roc_auc": _finite(self.roc_auc),
            "pr_auc": _finite(self.pr_auc),
            "brier": self.brier,
            "ece": self.ece,
            "holoassist_f": self.confusion.holoassist_f,
            "macro_f1": self.confusion.macro_f1,
            "mistake_precision": self.confusion.mistake_precision,
            "mistake_recall": self.confusion.mistake_recall,
            "by_tag_auc": {tag: _finite(value) for tag, value in self.by_tag_auc.items()},
            "out_of_domain_share": self.out_of_domain_share,
            "trivial": self.trivial,
        }

    def table(self) -> Group:
        """Render the report as lines of text."""
        table = Table("score", "value", title=f"Labelled segments, {self.model}")
        for key, value in self._of_segments().items():
            if isinstance(value, float):
                table.add_row(key, f"{value:.3f}")
            elif isinstance(value, int):
                table.add_row(key, str(value))
        for tag, value in self.by_tag_auc.items():
            table.add_row(f"ROC-AUC of {tag}", f"{value:.3f}")
        return Group(table, self.events.table())


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recording as the monitor watched it."""

    recording: str
    seconds: float
    alerts: tuple[AlertData, ...]
    """First revisions of those that were not taken back."""
    segments: tuple[SegmentData, ...]


def evaluate_videos(
    model: str,
    folder: Path,
    *,
    engine: str = "auto",
    quiet: bool = False,
    cache: VectorCache | None = None,
) -> VideosReport:
    """Replay every video of a folder and compare with the segments beside them.

    With a cache, frames are encoded in batches and their vectors kept for the next time; a bundle
    with a large branch needs the pixels and goes without.

    A labelled segment's score is that of the scored segment that overlaps it most, and 0 where
    the monitor saw no activity: it reports nothing there.

    Raises:
        DataError: no videos, no labels, or labels of a video that is not there.
    """
    rows = [row for row in read_table(folder) if row.label is not None]
    videos = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES}
    if not videos:
        raise DataError(f"{folder} holds no video ({', '.join(VIDEO_SUFFIXES)})")
    missing = sorted({_stem(row) for row in rows} - set(videos))
    if missing:
        raise DataError(f"{folder}: a segment names {missing[0]!r}, but there is no such video")
    bundle = load_bundle(model, engine=engine)
    return _report(bundle, rows, replay_videos(bundle, model, videos, cache=cache, quiet=quiet))


def replay_videos(
    bundle: Bundle,
    model: str,
    videos: Mapping[str, Path],
    *,
    cache: VectorCache | None,
    quiet: bool = False,
) -> dict[str, Replayed]:
    """Let the monitor watch videos, as fast as it can.

    Args:
        bundle: loaded from `model`.
        model: its name or folder.
        videos: by the name that the result has.
        cache: see `evaluate_videos`.
        quiet: without a progress bar on stderr.
    """
    settings = load_settings(
        None, {"model": {"name": model}, "bus": {"publish": (), "control": "none"}}
    )
    console = PlainConsole(stderr=True, quiet=quiet)
    return {
        name: _replay(name, *_played(path, bundle, cache), settings)
        for name, path in track(list(videos.items()), "replaying", console=console)
    }


def _played(path: Path, bundle: Bundle, cache: VectorCache | None) -> tuple[SourceRequest, Bundle]:
    """The video as the monitor watches it: from frame vectors, unless a branch needs pixels."""
    encoder, fps = bundle.encoder, bundle.card.stream.fps
    if cache is None or encoder is None or bundle.card.large is not None:
        return SourceRequest("video", str(path), False), bundle
    recording = encode_video(path, encoder, fps, cache=cache)
    source = VectorSource(recording, "video", fps)
    return (
        SourceRequest("video", str(path), False, source),
        replace(bundle, encoder=VectorEncoder(recording)),
    )


def _replay(name: str, request: SourceRequest, bundle: Bundle, settings: Settings) -> Replayed:
    events: list[Data] = []

    def keep(source: str, data: Data) -> None:
        events.append(data)

    summary = Monitor([request], settings, bundle=bundle, listeners=[keep]).run()
    alerts = [event for event in events if isinstance(event, AlertData)]
    taken_back = {alert.alert_id for alert in alerts if alert.phase == "retract"}
    return Replayed(
        recording=name,
        seconds=summary.media_seconds,
        alerts=tuple(a for a in alerts if a.rev == 1 and a.alert_id not in taken_back),
        segments=tuple(event for event in events if isinstance(event, SegmentData)),
    )


def _report(
    bundle: Bundle, rows: Sequence[SegmentRow], runs: Mapping[str, Replayed]
) -> VideosReport:
    y = np.array([row.label for row in rows], dtype=np.int64)
    found = [_best(row, runs[_stem(row)].segments) for row in rows]
    p = np.array([0.0 if s is None or s.out_of_domain else s.p for s in found])
    flagged = np.array(
        [s is not None and not s.out_of_domain and s.p >= s.scores.threshold for s in found],
        dtype=bool,
    )
    scored = [segment for run in runs.values() for segment in run.segments]
    foreign = sum(segment.out_of_domain for segment in scored)
    return VideosReport(
        model=bundle.model_id,
        recordings=len(runs),
        n=len(rows),
        positives=int(y.sum()),
        roc_auc=_auc(y, p),
        pr_auc=pr_auc(y, p) if 0 < y.sum() < len(y) else float("nan"),
        brier=brier(y, p) if len(y) else 0.0,
        ece=ece(y, p) if len(y) else 0.0,
        confusion=Confusion.of(y, flagged),
        by_tag_auc=_by_tag(rows, y, p),
        out_of_domain_share=foreign / len(scored) if scored else 0.0,
        events=events_of(rows, runs),
        trivial={
            "always": _trivial(y, np.ones(len(y), dtype=bool)),
            "never": _trivial(y, np.zeros(len(y), dtype=bool)),
        },
    )


def events_of(rows: Sequence[SegmentRow], runs: Mapping[str, Replayed]) -> EventReport:
    """Alerts against the mistakes that rows label."""
    alerts = [
        AlertTime(run.recording, alert.media_opened)
        for run in runs.values()
        for alert in run.alerts
    ]
    hours = sum(run.seconds for run in runs.values()) / SECONDS_PER_HOUR
    return evaluate_events(alerts, [_with_stem(row) for row in rows], hours)


def _best(row: SegmentRow, segments: Sequence[SegmentData]) -> SegmentData | None:
    def overlap(segment: SegmentData) -> float:
        ref = segment.segment
        return min(row.end, ref.media_end) - max(row.start, ref.media_start)

    best = max(segments, key=overlap, default=None)
    return best if best is not None and overlap(best) > 0 else None


def _by_tag(
    rows: Sequence[SegmentRow], y: NDArray[np.int64], p: NDArray[np.float64]
) -> dict[str, float]:
    tags = sorted({tag for row in rows if row.label == 1 for tag in row.tags})
    has = {tag: np.array([tag in row.tags for row in rows]) for tag in tags}
    return {tag: _auc(y[(y == 0) | has[tag]], p[(y == 0) | has[tag]]) for tag in tags}


def _auc(y: NDArray[np.int64], p: NDArray[np.float64]) -> float:
    return roc_auc(y, p) if 0 < y.sum() < len(y) else float("nan")


def _trivial(y: NDArray[np.int64], flagged: NDArray[np.bool_]) -> dict[str, float]:
    row = Confusion.of(y, flagged)
    return {
        "holoassist_f": row.holoassist_f,
        "macro_f1": row.macro_f1,
        "mistake_precision": row.mistake_precision,
        "mistake_recall": row.mistake_recall,
        "roc_auc": 0.5,
    }


def _stem(row: SegmentRow) -> str:
    return Path(row.recording).stem


def _with_stem(row: SegmentRow) -> SegmentRow:
    return msgspec.structs.replace(row, recording=_stem(row))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
