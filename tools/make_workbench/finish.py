"""Gate, calibration and thresholds of the trained branches, with their figures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon.branches.bundle.card import BundleCard, Calibration, DecisionCard, GateCard
from egomon.train.fitting.calibration import probabilities
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate
from tools.make_workbench import fuse
from tools.make_workbench.decide import (
    FALSE_ALARMS_PER_MINUTE,
    calibrate,
    threshold,
)
from tools.make_workbench.encode_recordings import BankedRecording
from tools.make_workbench.fuse import GateInputs
from tools.make_workbench.pack import LargePart
from tools.make_workbench.run import WorkbenchTraining
from tools.make_workbench.score_recordings import score_recordings
from tools.make_workbench.scores import ScoreArray, auc_table, one_line
from tools.make_workbench.stream import boundary_report, find

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Calibration and threshold of one kind of score."""

    calibration: Calibration
    threshold: float


def operating_point(
    scores: ScoreArray, gate_inputs: GateInputs, recordings: list[BankedRecording]
) -> OperatingPoint:
    """Calibrate and choose the threshold on recordings that no branch was trained on."""
    wrong = gate_inputs.kinds > 0
    calibration = calibrate(scores, wrong)
    per_minute = len(wrong) / sum(recording.seconds for recording in recordings) * 60
    return OperatingPoint(
        calibration, threshold(probabilities(scores, calibration), wrong, per_minute)
    )


def decision(small: OperatingPoint, both: OperatingPoint | None) -> DecisionCard:
    """The decision card; with a large branch every segment is shown to it."""
    card = DecisionCard(
        threshold_small=small.threshold,
        calibration_small=small.calibration,
        threshold_fused=small.threshold,
        calibration_fused=small.calibration,
        cooldown_seconds=0.5,
        flag_low=0.0,
        false_alarms_per_hour=60 * FALSE_ALARMS_PER_MINUTE,
    )
    if both is None:
        return card
    return msgspec.structs.replace(
        card, threshold_fused=both.threshold, calibration_fused=both.calibration
    )


def finish_small(training: WorkbenchTraining, folder: Path) -> BundleCard:
    """A bundle of the small branch alone."""
    _, gate, val = training.recordings
    recordings = gate + val
    found = [find(training.activity, recording) for recording in recordings]
    log.info("segments: %s", boundary_report(recordings, found))
    gate_inputs = score_recordings(training.small, None, None, None, recordings, found)
    table = auc_table(gate_inputs.small(), gate_inputs.kinds)
    log.info("small, streamed: %s", one_line(table))
    card = decision(operating_point(gate_inputs.small(), gate_inputs, recordings), None)
    return training.bundle(folder, card, {"validation/roc_auc_small": table["all"]}, None)


def choose_gate(gate_set: GateInputs, seed: int) -> tuple[AdaptiveGate, GateCard, ScoreArray]:
    """The gate, unless the plain mean ranks better; with cross-fitted scores of its set."""
    learned = fuse.cross_fitted(gate_set, seed)
    others = {"mean": gate_set.mean(), "small": gate_set.small(), "large": gate_set.large()}
    for name, scores in others.items():
        gain, low, high = fuse.paired(learned, scores, gate_set, seed)
        log.info("gate - %s: AUC %+.4f [%+.4f, %+.4f]", name, gain, low, high)
    if fuse.paired(learned, gate_set.mean(), gate_set, seed)[0] >= 0:
        return fuse.fit_gate(gate_set, seed), fuse.CARD, learned
    card = GateCard(kind="mean", width=fuse.CARD.width)
    return fuse.fit_gate(gate_set, seed, card), card, gate_set.mean()


def finish(training: WorkbenchTraining, folder: Path) -> BundleCard:
    """The whole bundle.

    Gate, calibration and thresholds come from recordings that trained neither branch, and every
    score of the gate that counts is of a gate that never saw its recording.
    """
    _, gate_recordings, val_recordings = training.recordings
    recordings = gate_recordings + val_recordings
    held_out = training.gate_inputs(recordings)
    gate, gate_card, crossed = choose_gate(held_out, training.seed)
    gate.load_state_dict({k: v.half().float() for k, v in gate.state_dict().items()})
    scores = {
        "small": held_out.small(),
        "large": held_out.large(),
        "mean": held_out.mean(),
        "gate": crossed,
    }
    metrics = {}
    for name, values in scores.items():
        table = auc_table(values, held_out.kinds)
        log.info("validation, %s: %s", name, one_line(table))
        metrics[f"validation/roc_auc_{name}"] = table["all"]
    small = operating_point(scores["small"], held_out, recordings)
    fused = operating_point(crossed, held_out, recordings)
    model, _, head = training.qwen
    part = LargePart(training.save_large(), model.state_dict(), head, gate, gate_card)
    return training.bundle(folder, decision(small, fused), metrics, part)
