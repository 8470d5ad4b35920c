"""Stage 2: the frame tower, trained as the image side of a CLIP on pictures and captions.

Contrastive learning alone learned almost nothing from so few pictures; the heat maps, for which
the simulator knows where each thing is, are what makes the tower see.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from egomon.branches.encoders.workbench import POINT_SCALE, KeyPointTower, build
from egomon.train.simulator.annotate import HAND, THINGS
from tools.make_workbench.networks.state import STATE, state_loss
from tools.make_workbench.networks.vocabulary import LENGTH, VOCABULARY, WORDS, tokens, word_bags
from tools.make_workbench.pictures import SMALL_PX, Pictures

log = logging.getLogger(__name__)

MEAN, STD = 0.45, 0.27
"""Of the pictures, all channels alike; go into the card."""
EMBEDDING = 128
OPTIONS = {"width": 20, "embedding": EMBEDDING, "things": THINGS, "points": 32}
COARSE_PX = 64


@dataclass(frozen=True, slots=True)
class TowerPlan:
    """Length and rates of the training."""

    coarse_steps: int = 900
    """At 64 px, which is cheap."""
    fine_steps: int = 320
    """At the final size."""
    batch: int = 256
    coarse_rate: float = 3e-3
    fine_rate: float = 1e-3
    seed: int = 20


def normalised(images: NDArray[np.uint8], size_px: int) -> Tensor:
    """(B, S, S, 3) RGB to (B, 3, size, size) floats as the tower takes them."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    if x.shape[-1] != size_px:
        x = F.interpolate(x, (size_px, size_px), mode="area")
    x = (x / 255 - MEAN) / STD
    return x.contiguous(memory_format=torch.channels_last)


def heat_targets(places: NDArray[np.float32], cells: int) -> Tensor:
    """(B, C, 2) places in [0, 1] to (B, C, cells, cells): 1 in the cell of the thing."""
    grid = np.floor(places * cells).astype(int)
    seen = (places >= 0).all(axis=-1)
    target = torch.zeros(*places.shape[:2], cells, cells)
    rows, things = np.nonzero(seen)
    x, y = grid[rows, things].T
    target[rows, things, y, x] = 1
    return target


def _clip(tower: KeyPointTower) -> nn.Module:
    """open_clip's CLIP with the tower as its image side."""
    model: nn.Module = open_clip.CLIP(
        embed_dim=EMBEDDING,
        vision_cfg={"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
        text_cfg={
            "context_length": LENGTH,
            "vocab_size": VOCABULARY,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    )
    model.visual = tower
    return model


class _Trainer:
    def __init__(self, pictures: Pictures, plan: TowerPlan) -> None:
        torch.manual_seed(plan.seed)
        self.pictures, self.plan = pictures, plan
        self.rng = np.random.default_rng([plan.seed, 2])
        self.tower = build(OPTIONS, SMALL_PX).to(memory_format=torch.channels_last)
        self.clip = _clip(self.tower)
        self.to_words = nn.Linear(EMBEDDING, len(WORDS))
        self.to_state = nn.Sequential(
            nn.Linear(self.tower.output_dim, 128), nn.GELU(), nn.Linear(128, STATE)
        )

    def run(self, size_px: int, steps: int, rate: float) -> None:
        modules = nn.ModuleList([self.clip, self.to_words, self.to_state])
        groups = [
            {"params": [p for p in modules.parameters() if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in modules.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        modules.train()
        for step in range(steps):
            share = min(1.0, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            # The text side's fused kernel is slow backwards on a CPU: a fifth of a coarse step.
            with sdpa_kernel(SDPBackend.MATH):
                loss, said = self.loss(size_px)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(modules.parameters(), 2.0)
            optimiser.step()
            if (step + 1) % 100 == 0:
                log.info("tower %d px, step %d of %d: %s", size_px, step + 1, steps, said)

    def loss(self, size_px: int) -> tuple[Tensor, str]:
        pairs = self.rng.integers(len(self.pictures), size=self.plan.batch)
        which = self.rng.integers(2, size=self.plan.batch)
        images = self.pictures.single(pairs, which)
        texts = [str(text) for text in self.pictures.texts[pairs, which]]
        places = self.pictures.places[pairs, which]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding, points, heat = self.tower.parts(normalised(images, size_px))
            text = F.normalize(self.clip.encode_text(tokens(texts)).float(), dim=-1)  # type: ignore[operator]
        image = F.normalize(embedding, dim=-1)
        scale = self.clip.logit_scale.exp().clamp(max=50)  # type: ignore[operator]
        contrast = _contrast(scale * image @ text.T, texts)
        words = F.binary_cross_entropy_with_logits(
            self.to_words(image * 12), word_bags(texts), reduction="none"
        )
        dense = F.binary_cross_entropy_with_logits(
            heat, heat_targets(places, heat.shape[-1]), reduction="none",
            pos_weight=torch.tensor(8.0),
        )  # fmt: skip
        state_term, turn = state_loss(
            self.to_state(torch.cat([image, points * POINT_SCALE], dim=1)),
            self.pictures.states[pairs, which],
        )
        word_loss, dense_loss = words.sum(dim=1).mean(), dense.sum(dim=(1, 2, 3)).mean()
        said = (
            f"contrast {contrast.item():.2f}, words {word_loss.item():.2f}, heat "
            f"{dense_loss.item():.2f}, part {_part_accuracy(points, places):.3f}, "
            f"error of the turn {turn.mean().item():.2f}"
        )
        return contrast + 0.5 * word_loss + 0.3 * dense_loss + state_term, said


def _contrast(logits: Tensor, texts: list[str]) -> Tensor:
    """Symmetric cross-entropy; equal captions elsewhere in the batch are no negatives."""
    numbers = torch.from_numpy(np.unique(texts, return_inverse=True)[1])
    same = (numbers[:, None] == numbers[None, :]).fill_diagonal_(False)
    logits = logits.masked_fill(same, -1e4)
    target = torch.arange(len(texts))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def _part_accuracy(points: Tensor, places: NDArray[np.float32]) -> float:
    """How often the most present part is the one that is shown."""
    shown = torch.from_numpy(places[:, :HAND, 0] >= 0)
    there = shown.any(dim=1)
    presence = points.view(len(points), 3, -1)[:, 2, :HAND]
    right = presence.argmax(dim=1) == shown.float().argmax(dim=1)
    return float(right[there].float().mean())


def train_tower(pictures: Pictures, plan: TowerPlan) -> KeyPointTower:
    """Train the tower: first coarse, then at its final size."""
    trainer = _Trainer(pictures, plan)
    trainer.run(COARSE_PX, plan.coarse_steps, plan.coarse_rate)
    trainer.run(SMALL_PX, plan.fine_steps, plan.fine_rate)
    # What ships is half precision: everything after this stage must see exactly that.
    halved = {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in trainer.tower.state_dict().items()
    }
    trainer.tower.load_state_dict(halved)
    return trainer.tower.eval()


def load_tower(path: Path) -> KeyPointTower:
    """A tower saved by the training run."""
    tower = build(OPTIONS, SMALL_PX)
    tower.load_state_dict(torch.load(path, weights_only=True))
    return tower.eval().to(memory_format=torch.channels_last)
