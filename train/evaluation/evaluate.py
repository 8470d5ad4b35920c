"""Evaluation of a bundle on labelled vectors, always beside the trivial rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from egomon.branches.bundle.large_weights import check_large_weights
from egomon.branches.encoders.registry import check_weights
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.train.datasets.open import open_data
from egomon.train.evaluation.bootstrap import FEWEST, by_recording
from egomon.train.evaluation.scoring import check_mode, mode_of
from egomon.train.evaluation.stage_scores import StageScores, score_stages
from egomon.train.evaluation.trivial import row_of, trivial_scores
from egomon.train.features.feature_set import FeatureSet
from egomon.train.fitting.calibration import recall_at_budget
from egomon.train.fitting.fitted_on import seen
from egomon.train.metrics.calibration import brier, ece
from egomon.train.metrics.curves import ScoreArray, aurc, pr_auc, roc_auc
from egomon.train.metrics.events import AlertTime, EventReport, evaluate_events
from egomon.train.metrics.segmental import ScoredFrames, eda, micro_auc
from egomon.train.metrics.threshold import Confusion, Labels

__all__ = ["AlertTime", "EvaluationReport", "EventReport", "evaluate_events", "evaluate_features"]

Flags = NDArray[np.bool_]

BUDGETS = (1.0, 2.0, 6.0)
"""False alarms an hour at which recall is reported."""
# Scores that every row has, with their headings.
_COLUMNS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "holoassist_f": "Holo F",
    "macro_f1": "macro F1",
    "mistake_precision": "prec.",
    "mistake_recall": "recall",
}


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Every score of one bundle on one data set."""

    model: str
    data: str
    context: str
    scores: dict[str, float]
    trivial: dict[str, dict[str, float]]
    branches: dict[str, dict[str, float]]
    """Small, large and gate on every segment; empty where the small branch is alone. The scores
    above are as live: the gate where the large branch is asked, else the small branch."""
    by_tag: dict[str, float]
    """Recall of each tag at the bundle's threshold."""
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals by recording."""
    n: int
    positives: int
    recordings: int
    hours: float
    threshold: float
    y: Labels = field(repr=False)
    p: ScoreArray = field(repr=False)
    """Calibrated probabilities."""
    times: list[tuple[str, float, float]] = field(repr=False)
    """Recording, start and end of each segment, for plots."""
    fitted_on: int = 0
    """Recordings among these that the bundle was fitted on, as its card notes."""

    def to_json(self) -> dict[str, Any]:
        """One flat object; a score that one class makes undefined is null."""
        return {
            "model": self.model,
            "data": self.data,
            "context": self.context,
            "n": self.n,
            "positives": self.positives,
            "recordings": self.recordings,
            "recordings_fitted_on": self.fitted_on,
            "hours": self.hours,
            "threshold": self.threshold,
            **_clean(self.scores),
            "by_tag": _clean(self.by_tag),
            "intervals": {k: [_null(a), _null(b)] for k, (a, b) in self.intervals.items()},
            "trivial": {name: _clean(row) for name, row in self.trivial.items()},
            "branches": {name: _clean(row) for name, row in self.branches.items()},
        }

    def table(self) -> Table:
        """Render model and trivial rows as lines of text."""
        title = f"{self.model} on {self.data}: {self.n} segments, {self.positives} mistakes"
        caption = ", ".join(
            f"{name} [{low:.3f}, {high:.3f}]" for name, (low, high) in self.intervals.items()
        )
        caption = f"95 % intervals: {caption}"
        if self.recordings < FEWEST:
            caption = "No interval: a single recording does not tell how recordings differ"
        if self.fitted_on:
            caption += (
                f"\nFitted on {self.fitted_on} of these {self.recordings} recordings: the figures "
                "flatter. Those of the card are on recordings left out."
            )
        table = Table(title=title, caption=caption)
        table.add_column("row", no_wrap=True)  # the others fold: 80 columns are enough
        for heading in _COLUMNS.values():
            table.add_column(heading)
        rows = {f"{self.model} ({self.context})": self.scores, **self.branches, **self.trivial}
        for name, row in rows.items():
            table.add_row(name, *(_text(row[column]) for column in _COLUMNS))
        table.add_section()
        for name, value in self.scores.items():
            if name not in _COLUMNS:
                table.add_row(name, _text(value))
        for tag, recall in self.by_tag.items():
            table.add_row(f"recall of {tag}", _text(recall))
        return table


def evaluate_features(
    model: Bundle | str | Path,
    data: FeatureSet | Path,
    *,
    context: str | None = None,
    split: str | None = None,
    seed: int = 0,
) -> EvaluationReport:
    """Score every labelled segment and compare with the labels.

    Args:
        model: a bundle, or its name, folder or hub id.
        data: a feature set, or a folder that `open_data` reads.
        context: causal (as live), offline (the whole recording) or none; None = as trained.
        split: only segments of this split.
        seed: of the bootstrap.

    Raises:
        BundleError: if the bundle cannot be loaded.
        DataError: if the data is broken or made with another encoder; names file and row.
    """
    mode = check_mode(context)
    bundle = model if isinstance(model, Bundle) else load_bundle(model, with_encoder=False)
    mode = mode or mode_of(bundle.card.stream)
    if not isinstance(data, FeatureSet):
        data = open_data(data, bundle.card.frame_encoder)
    check_weights(bundle.card.frame_encoder, bundle.folder)
    check_large_weights(bundle.card.large, bundle.folder)
    data = data.labelled() if split is None else data.split(split).labelled()
    found = report(bundle.model_id, data, score_stages(bundle, data, mode), context=mode, seed=seed)
    return replace(found, fitted_on=seen(bundle.card, data.recordings))


def report(
    model: str,
    data: FeatureSet,
    judged: StageScores,
    *,
    context: str = "causal",
    seed: int = 0,
) -> EvaluationReport:
    """Compare scores with the labels of a labelled feature set."""
    y, hours = data.labels, data.stream_hours()
    p, flagged = judged.p, judged.flagged
    scores = {**row_of(y, p, flagged), **_more_scores(data, p, flagged)}
    return EvaluationReport(
        model=model,
        data=data.card.name,
        context=context,
        scores=scores,
        trivial={name: row_of(y, p, p >= 0.5) for name, p in trivial_scores(data).items()},
        branches={name: row_of(y, p, p >= at) for name, (p, at) in judged.branches.items()},
        by_tag=_recall_by_tag(data, flagged),
        intervals=_intervals(data, p, flagged, seed),
        n=len(y),
        positives=int(y.sum()),
        recordings=len(data.recordings),
        hours=hours,
        threshold=judged.main_threshold,
        y=y,
        p=p,
        times=[(row.recording, row.start, row.end) for row in data.segments],
    )


def _more_scores(data: FeatureSet, p: ScoreArray, flagged: Flags) -> dict[str, float]:
    y, hours = data.labels, data.stream_hours()
    frames = _frames(data, p)
    confusion = Confusion.of(y, flagged)
    scores = {
        "mistake_f1": confusion.mistake_f1,
        "correct_precision": confusion.correct_precision,
        "correct_recall": confusion.correct_recall,
        "ece": ece(y, p),
        "brier": brier(y, p),
        "brier_of_prior": float(y.mean() * (1 - y.mean())),
        "aurc": aurc(y, p),
        "eda": eda(frames),
        "micro_auc": micro_auc(frames),
        "flagged_correct_per_hour": confusion.fp / hours if hours else 0.0,
    }
    for budget in BUDGETS:
        scores[f"recall_at_{budget:g}_per_hour"] = recall_at_budget(p, y, hours, budget)
    return scores


def _frames(data: FeatureSet, p: ScoreArray) -> list[ScoredFrames]:
    """Convert to EgoPER's metrics: each frame of a segment has the segment's log odds."""
    log_odds = np.log(np.clip(p, 1e-9, 1) / np.clip(1 - p, 1e-9, 1))
    by_recording: dict[str, list[int]] = {}
    for number, row in enumerate(data.segments):
        by_recording.setdefault(row.recording, []).append(number)
    found = []
    for numbers in by_recording.values():
        spans = [data.segments[k].end - data.segments[k].start for k in numbers]
        times = [max(1, round(span * data.card.fps)) for span in spans]
        each = np.repeat(np.array(numbers), times)
        found.append(ScoredFrames(log_odds[each], data.labels[each], each))
    return found


def _intervals(
    data: FeatureSet, p: ScoreArray, flagged: Flags, seed: int
) -> dict[str, tuple[float, float]]:
    y, names = data.labels, [row.recording for row in data.segments]
    metrics = {
        "roc_auc": lambda i: roc_auc(y[i], p[i]),
        "pr_auc": lambda i: pr_auc(y[i], p[i]),
        "holoassist_f": lambda i: Confusion.of(y[i], flagged[i]).holoassist_f,
        "mistake_recall": lambda i: Confusion.of(y[i], flagged[i]).mistake_recall,
    }
    return {name: by_recording(names, metric, seed=seed) for name, metric in metrics.items()}


def _recall_by_tag(data: FeatureSet, flagged: Flags) -> dict[str, float]:
    hits: dict[str, list[bool]] = {}
    for row, flag in zip(data.segments, flagged, strict=True):
        if row.label == 1:
            for tag in row.tags:
                hits.setdefault(tag, []).append(bool(flag))
    return {tag: float(np.mean(hits[tag])) for tag in sorted(hits)}


def _clean(row: dict[str, float]) -> dict[str, float | None]:
    return {name: _null(value) for name, value in row.items()}


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
