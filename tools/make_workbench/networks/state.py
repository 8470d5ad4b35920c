"""Auxiliary task of the encoders: read the state of the visible part from a vector."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from egomon.train.simulator.motion import PHASES
from egomon.train.simulator.shapes import PARTS

NUMBERS = 4
"""Turned, depth, distance, lifted."""
STATE = len(PARTS) + 1 + len(PHASES) + NUMBERS


class StateHead(nn.Module):
    """Reads part, phase and numbers of both pictures from a vector; training only."""

    def __init__(self, inputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, 2 * STATE))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, 2, STATE)."""
        out: Tensor = self.net(x)
        return out.view(*x.shape[:-1], 2, STATE)


def state_loss(predicted: Tensor, states: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Loss of `StateHead`'s output (N, STATE) on states (N, 7); also the turn errors seen."""
    target = torch.from_numpy(states)
    phase, part = target[:, 0].long(), target[:, 1].long()
    classes = len(PARTS) + 1
    part_logits, rest = predicted[:, :classes], predicted[:, classes:]
    phase_logits, numbers = rest[:, : len(PHASES)], rest[:, len(PHASES) :]
    there = part >= 0
    loss = F.cross_entropy(part_logits, torch.where(there, part, len(PARTS)))
    loss = loss + 0.5 * F.cross_entropy(phase_logits, phase)
    wanted = torch.stack([target[:, 3], target[:, 4], 4 * target[:, 5], target[:, 6]], dim=1)
    weights = torch.tensor([2.0, 1.0, 2.0, 0.5])
    errors = F.smooth_l1_loss(numbers, wanted, reduction="none", beta=0.3)
    if there.any():
        loss = loss + (errors[there] * weights).sum(dim=1).mean()
    held = there & (target[:, 5] < 0.3)
    return loss, (numbers[held, 0] - wanted[held, 0]).abs().detach()
