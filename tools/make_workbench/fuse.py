"""Stage 8: the gate, fitted on recordings that neither branch was trained on.

Where a branch was fitted it is nearly always right, and a gate fitted there learns nothing about
when to trust it. The scores that the gate is judged by are cross-fitted by recording.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egomon.branches.bundle.card import GateCard
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate
from egomon.train.losses import class_weights, uemcm_loss
from tools.make_workbench.scores import ScoreArray, auc

CARD = GateCard(kind="learned", width=8)
FOLDS = 5
_STEPS, _RATE, _DECAY = 300, 3e-3, 10.0
# Few mistakes are held out: with little decay the gate learns them by heart and ranks no better
# than the plain mean.


@dataclass(frozen=True, slots=True, eq=False)
class GateInputs:
    """Outputs of both branches on segments: the gate's inputs."""

    h_s: Tensor
    z_s: Tensor
    h_l: Tensor
    z_l: Tensor
    kinds: NDArray[np.int64]
    steps: NDArray[np.int64]
    """True step number, -1 = a segment without one."""
    recording: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64]) -> GateInputs:
        r = torch.from_numpy(rows)
        return GateInputs(
            self.h_s[r], self.z_s[r], self.h_l[r], self.z_l[r], self.kinds[rows],
            self.steps[rows], self.recording[rows],
        )  # fmt: skip

    def small(self) -> ScoreArray:
        """Log odds of the small branch."""
        return log_odds(self.z_s)

    def large(self) -> ScoreArray:
        """Log odds of the large branch."""
        return log_odds(self.z_l)

    def mean(self) -> ScoreArray:
        """Log odds of the plain mean of both branches' logits: the baseline of the gate."""
        return log_odds((self.z_s + self.z_l) / 2)


def log_odds(logits: Tensor) -> ScoreArray:
    """(N, 2) to (N,)."""
    return np.asarray((logits[:, 1] - logits[:, 0]).double().numpy())


def fit_gate(gate_inputs: GateInputs, seed: int, card: GateCard = CARD) -> AdaptiveGate:
    """Fit the gate on frozen branches; the plain mean has nothing to fit."""
    torch.manual_seed(seed)
    gate = AdaptiveGate(gate_inputs.h_s.shape[1], gate_inputs.h_l.shape[1], card)
    if card.kind == "mean":
        return gate.eval()
    label = torch.from_numpy((gate_inputs.kinds > 0).astype(np.int64))
    counts = [int((label == 0).sum()), int(label.sum())]
    prior = torch.tensor(counts, dtype=torch.float32) / sum(counts)
    optimiser = torch.optim.AdamW(gate.parameters(), lr=_RATE, weight_decay=_DECAY)
    gate.train()
    for step in range(_STEPS):
        optimiser.param_groups[0]["lr"] = _RATE * (0.5 + 0.5 * math.cos(math.pi * step / _STEPS))
        fused, _ = gate(gate_inputs.h_s, gate_inputs.h_l, gate_inputs.z_s, gate_inputs.z_l)
        loss = uemcm_loss(fused, label, class_weights(counts, 1.0), prior)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return gate.eval()


@torch.inference_mode()
def fused(gate: AdaptiveGate, gate_inputs: GateInputs) -> tuple[ScoreArray, NDArray[np.float64]]:
    """Log odds (N,) and the weight of the large branch (N,)."""
    logits, weights = gate(gate_inputs.h_s, gate_inputs.h_l, gate_inputs.z_s, gate_inputs.z_l)
    return log_odds(logits), np.asarray(weights[:, 1].double().numpy())


def cross_fitted(gate_inputs: GateInputs, seed: int) -> ScoreArray:
    """Log odds of gates that never saw the recording they score."""
    scores = np.zeros(len(gate_inputs.kinds))
    for fold in range(FOLDS):
        inside = gate_inputs.recording % FOLDS == fold
        gate = fit_gate(gate_inputs[np.flatnonzero(~inside)], seed)
        scores[inside] = fused(gate, gate_inputs[np.flatnonzero(inside)])[0]
    return scores


def paired(
    first: ScoreArray, second: ScoreArray, gate_inputs: GateInputs, seed: int, draws: int = 1000
) -> tuple[float, float, float]:
    """AUC(first) - AUC(second) and its 95 % interval; bootstrap over recordings."""
    rng = np.random.default_rng([seed, 9])
    wrong = gate_inputs.kinds > 0
    numbers = np.unique(gate_inputs.recording)
    rows = {n: np.flatnonzero(gate_inputs.recording == n) for n in numbers.tolist()}
    found = []
    for _ in range(draws):
        drawn = np.concatenate([rows[n] for n in rng.choice(numbers, len(numbers)).tolist()])
        found.append(auc(first[drawn], wrong[drawn]) - auc(second[drawn], wrong[drawn]))
    low, high = np.nanquantile(found, (0.025, 0.975))
    return auc(first, wrong) - auc(second, wrong), float(low), float(high)
