"""Plots of an evaluation as PNG: ROC, precision-recall, reliability and scores over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from egomon.errors import MissingExtraError
from egomon.train.evaluation.evaluate import EvaluationReport
from egomon.train.metrics.calibration import reliability
from egomon.train.metrics.curves import pr_curve, roc_curve

# Recordings in the plot of scores over time.
_MOST_RECORDINGS = 6


def write_plots(report: EvaluationReport, folder: Path, suffix: str = "png") -> list[Path]:
    """Write roc, pr, reliability and timeline; `suffix` is png or svg.

    Raises:
        MissingExtraError: without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("--plots", "train") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in (
        ("roc", _roc),
        ("pr", _pr),
        ("reliability", _reliability),
        ("timeline", _timeline),
    ):
        figure = Figure(figsize=(5, 4), layout="constrained")
        draw(figure, report)
        path = folder / f"{name}.{suffix}"
        figure.savefig(path, dpi=150)
        written.append(path)
    return written


def _roc(figure: Any, report: EvaluationReport) -> None:
    axes = figure.subplots()
    false_rate, true_rate, _ = roc_curve(report.y, report.p)
    axes.plot(false_rate, true_rate)
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    axes.set(
        xlabel="false-positive rate",
        ylabel="recall of mistakes",
        title=f"ROC, area {report.scores['roc_auc']:.3f}",
    )


def _pr(figure: Any, report: EvaluationReport) -> None:
    axes = figure.subplots()
    precision, recall, _ = pr_curve(report.y, report.p)
    axes.plot(recall, precision)
    axes.axhline(float(report.y.mean()), linestyle="--", color="grey", linewidth=1)
    axes.set(
        xlabel="recall of mistakes",
        ylabel="precision",
        ylim=(0, 1.02),
        title=f"Precision-recall, area {report.scores['pr_auc']:.3f}",
    )


def _reliability(figure: Any, report: EvaluationReport) -> None:
    axes = figure.subplots()
    bins = reliability(report.y, report.p)
    axes.plot([b.mean_probability for b in bins], [b.mistake_share for b in bins], "o-")
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    axes.set(
        xlabel="predicted probability",
        ylabel="share of mistakes",
        title=f"Reliability, ECE {report.scores['ece']:.3f}",
    )


def _timeline(figure: Any, report: EvaluationReport) -> None:
    names = sorted({name for name, _, _ in report.times})[:_MOST_RECORDINGS]
    panes = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, name in zip(panes, names, strict=True):
        for (recording, start, end), p, y in zip(report.times, report.p, report.y, strict=True):
            if recording == name:
                axes.plot([start, end], [p, p], color="tab:red" if y else "tab:blue", linewidth=3)
        axes.axhline(report.threshold, linestyle="--", color="grey", linewidth=1)
        axes.set(ylim=(0, 1), ylabel=name)
    panes[0].set_title("Score over time (red: mistakes)")
    panes[-1].set_xlabel("seconds")
