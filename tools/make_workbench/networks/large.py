"""Stage 6: the tiny Qwen3-VL learns to judge a step by its pixels alone.

Its vision tower has learned to see by now and is frozen, so its tokens are computed once; the
language model and the head learn from bank steps, with the state of the part at each pair of
frames as a second task.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from egomon.branches.frame_sampling import span_indices
from egomon.branches.uemcm.heads import LargeHead
from egomon.train.losses import class_weights, uemcm_loss
from tools.make_workbench.augment import JITTER_SECONDS
from tools.make_workbench.encode_recordings import KINDS, BankedRecording
from tools.make_workbench.networks.qwen import FRAMES, PAIRS, WIDTH, Reader, VisionTower, patches
from tools.make_workbench.networks.state import StateHead, state_loss

log = logging.getLogger(__name__)

HEAD_WIDTH = 64
VARIANTS = 3
"""Boundaries drawn for each bank step."""


@dataclass(frozen=True, slots=True)
class LargePlan:
    """Length and rates of the training."""

    steps: int = 500
    batch: int = 48
    rate: float = 1.5e-3
    seed: int = 20


@dataclass(frozen=True, slots=True, eq=False)
class VisualTokens:
    """Visual tokens of segments."""

    tokens: NDArray[np.float16]
    """(N, PAIRS, 16, WIDTH)."""
    times: NDArray[np.float64]
    """(N, FRAMES) seconds from the segment's start."""
    states: NDArray[np.float32]
    """(N, FRAMES, 7)."""
    kinds: NDArray[np.int64]
    """(N,)."""


@torch.inference_mode()
def visual_tokens(
    vision: VisionTower,
    recording: BankedRecording,
    spans: NDArray[np.float64],
    kinds: NDArray[np.int64],
) -> VisualTokens:
    """Visual tokens of the segments `spans` (K, 2) of one recording."""
    pixels = recording.pixels()
    tokens, times, states = [], [], []
    for t_start, t_end in spans.tolist():
        chosen = span_indices(recording.times, t_start, t_end, FRAMES)
        # A shorter clip repeats frames, as the stream does.
        chosen = chosen[np.linspace(0, len(chosen) - 1, num=FRAMES).astype(int)]
        frames = np.stack([pixels[i] for i in chosen.tolist()])
        pairs = patches(frames.reshape(PAIRS, 2, *frames.shape[1:]))
        tokens.append(vision(pairs)[1].half().numpy())
        times.append(recording.times[chosen] - t_start)
        states.append(recording.states[chosen])
    return VisualTokens(np.stack(tokens), np.maximum(np.stack(times), 0), np.stack(states), kinds)


def all_visual_tokens(
    vision: VisionTower, recordings: list[BankedRecording], variants: int, seed: int
) -> VisualTokens:
    """All steps of all recordings, each with `variants` differently jittered boundaries."""
    rng = np.random.default_rng([seed, 6])
    found = []
    for recording in recordings:
        for _ in range(variants):
            spans = recording.spans + rng.uniform(-1, 1, recording.spans.shape) * JITTER_SECONDS
            found.append(visual_tokens(vision, recording, spans, recording.kinds))
    return VisualTokens(
        np.concatenate([c.tokens for c in found]),
        np.concatenate([c.times for c in found]),
        np.concatenate([c.states for c in found]),
        np.concatenate([c.kinds for c in found]),
    )


def train_large(
    model: Any, processor: Any, clips: VisualTokens, held_out: VisualTokens, plan: LargePlan
) -> LargeHead:
    """Train `model.language_model` in place; gives the head. `held_out` is only for the log."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng([plan.seed, 7])
    reader, head = Reader(model, processor), LargeHead(WIDTH, HEAD_WIDTH)
    kind_head, state_head = nn.Linear(WIDTH, len(KINDS)), StateHead(WIDTH)
    modules = nn.ModuleList([model.language_model, head, kind_head, state_head])
    optimiser = torch.optim.AdamW(modules.parameters(), lr=plan.rate, weight_decay=0.05)
    texts = [reader.text(times) for times in clips.times]
    for step in range(plan.steps):
        share = min(1.0, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * step / plan.steps))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * share
        modules.train()
        rows = rng.integers(len(clips.kinds), size=plan.batch)
        tokens = F.dropout(torch.from_numpy(clips.tokens[rows]).float(), 0.1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            feature, pairs = reader(tokens, [texts[row] for row in rows.tolist()])
            said = state_head(pairs)
        kinds = torch.from_numpy(clips.kinds[rows])
        states = clips.states[rows].reshape(plan.batch * FRAMES, -1)
        told_loss, _ = state_loss(said.float().flatten(0, 2), states)
        loss = _loss(head(feature), kinds) + 0.3 * told_loss
        loss = loss + F.cross_entropy(kind_head(feature * 12), kinds)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 100 == 0:
            _report(reader, head, held_out, f"large, step {step + 1} of {plan.steps}")
    modules.eval()
    return head


def _loss(logits: Tensor, kinds: Tensor) -> Tensor:
    label = (kinds > 0).long()
    wrong = int(label.sum())
    counts = [max(len(label) - wrong, 1), max(wrong, 1)]
    prior = torch.tensor(counts, dtype=torch.float32) / sum(counts)
    return uemcm_loss(logits.float(), label, class_weights(counts, 1.0), prior)


@torch.inference_mode()
def score_clips(reader: Reader, head: LargeHead, clips: VisualTokens) -> tuple[Tensor, Tensor]:
    """h_l (N, WIDTH) and logits (N, 2)."""
    reader.model.eval()
    head.eval()
    features = []
    for first in range(0, len(clips.kinds), 64):
        tokens = torch.from_numpy(clips.tokens[first : first + 64]).float()
        texts = [reader.text(times) for times in clips.times[first : first + 64]]
        features.append(reader(tokens, texts)[0])
    found = torch.cat(features)
    return found, head(found)


def _report(reader: Reader, head: LargeHead, clips: VisualTokens, when: str) -> None:
    from tools.make_workbench.scores import auc_table, one_line

    logits = score_clips(reader, head, clips)[1]
    scores = (logits[:, 1] - logits[:, 0]).double().numpy()
    log.info("%s: %s", when, one_line(auc_table(scores, clips.kinds)))
