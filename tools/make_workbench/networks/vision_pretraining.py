"""Stage 4: the large branch's vision tower learns to see, on the picture pairs.

A transformer on raw patches learns little from a few thousand labelled clips. Here every pair
tells where things are (heat maps on the patches) and in which state the part is (on the visual
tokens): which part, how it is turned, how deep, how far from the port.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from egomon.train.simulator.annotate import THINGS
from tools.make_workbench.networks.qwen import (
    CELLS,
    TOKENS_PER_PAIR,
    WIDTH,
    VisionTower,
    cell_order,
    patches,
)
from tools.make_workbench.networks.state import StateHead, state_loss
from tools.make_workbench.networks.tower import heat_targets
from tools.make_workbench.pictures import Pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VisionPlan:
    """Length and rates of the training."""

    cycles: tuple[int, ...] = (500, 800)
    """Steps of each warm restart; every cycle begins with fresh reading heads."""
    batch: int = 160
    rate: float = 1.5e-3
    seed: int = 20


def train_vision(model: Any, pictures: Pictures, plan: VisionPlan, cycle: int) -> None:
    """Train `model.visual` in place for one cycle."""
    torch.manual_seed(plan.seed + cycle)
    rng = np.random.default_rng([plan.seed, 4, cycle])
    steps = plan.cycles[cycle]
    vision = VisionTower(model.visual)
    heat = nn.Linear(model.visual.config.hidden_size, 2 * THINGS)
    nn.init.constant_(heat.bias, -4.0)
    state = StateHead(TOKENS_PER_PAIR * WIDTH)
    modules = nn.ModuleList([model.visual, heat, state])
    optimiser = torch.optim.AdamW(modules.parameters(), lr=plan.rate, weight_decay=0.03)
    order = torch.from_numpy(cell_order())
    modules.train()
    for step in range(steps):
        share = min(1.0, (step + 1) / 80) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * share
        pairs = rng.integers(len(pictures), size=plan.batch)
        pixels = patches(pictures.images(pairs))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cells, tokens = vision(pixels)
            maps, said = heat(cells).float(), state(tokens.flatten(1)).float()
        places = pictures.places[pairs].reshape(plan.batch, 2 * THINGS, 2)
        target = heat_targets(places, CELLS).flatten(2).transpose(1, 2)[:, order]
        dense = F.binary_cross_entropy_with_logits(
            maps, target, reduction="none", pos_weight=torch.tensor(8.0)
        )
        dense_loss = dense.sum(dim=(1, 2)).mean()
        states = pictures.states[pairs].reshape(2 * plan.batch, -1)
        told_loss, turn = state_loss(said.flatten(0, 1), states)
        loss = 0.1 * dense_loss + told_loss
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 100 == 0:
            log.info(
                "eyes, step %d of %d: heat %.2f, state %.2f, error of the turn %.2f",
                step + 1, steps, dense_loss.item(), told_loss.item(), turn.mean().item(),
            )  # fmt: skip
    modules.eval()
