"""Stage 5: the context branch, on spliced bank recordings.

Without the step supervision (which step this is, which are done, which workflow) workflow
mistakes stay at chance: the label alone is too weak a teacher for what the context means.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egomon.branches.bundle.card import SmallCard
from egomon.branches.uemcm.heads import ContextBranch, SmallOutput
from egomon.train.losses import class_weights, uemcm_loss
from egomon.train.simulator.plan import SEEN
from egomon.train.simulator.shapes import PARTS
from egomon.train.simulator.write import step_text
from tools.make_workbench.augment import Samples, Splicer, real_samples
from tools.make_workbench.encode_recordings import KINDS, BankedRecording
from tools.make_workbench.scores import auc_table, one_line

log = logging.getLogger(__name__)

CARD = SmallCard(
    header="seqTransf-light",
    header_layers=3,
    header_heads=5,
    header_width=160,
    width=160,
    steps=tuple(step_text(part) for part in range(len(PARTS))),
    workflows=tuple(workflow.name for workflow in SEEN),
)


@dataclass(frozen=True, slots=True)
class SmallPlan:
    """Length and rates of the training."""

    steps: int = 1000
    batch: int = 96
    rate: float = 1.5e-3
    step_weight: float = 1.0
    """Weight of the step supervision; 0 shows what happens without."""
    context: bool = True
    seed: int = 20


def train_small(
    bank: list[BankedRecording], held_out: list[BankedRecording], plan: SmallPlan
) -> ContextBranch:
    """Train; `held_out` is only looked at for the log."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng([plan.seed, 5])
    branch = ContextBranch(bank[0].vectors.shape[1], _card(plan))
    kind_head = nn.Linear(CARD.width, len(KINDS))  # training only: what kind of mistake
    splicer = Splicer(bank)
    modules = nn.ModuleList([branch, kind_head])
    optimiser = torch.optim.AdamW(modules.parameters(), lr=plan.rate, weight_decay=0.02)
    for step in range(plan.steps):
        share = min(1.0, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * step / plan.steps))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * share
        modules.train()
        samples = splicer.sample(plan.batch, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = _run(branch, samples)
        loss = _loss(out, samples, plan, kind_head(out.feature.float()))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 200 == 0:
            scores, kinds = score_oracle(branch, held_out)
            log.info(
                "small, step %d of %d: %s", step + 1, plan.steps, one_line(auc_table(scores, kinds))
            )
    # What ships is half precision: the gate and the thresholds must see exactly that.
    branch.load_state_dict({k: v.half().float() for k, v in branch.state_dict().items()})
    return branch.eval()


def _card(plan: SmallPlan) -> SmallCard:
    import msgspec

    return msgspec.structs.replace(CARD, context=plan.context)


def _run(branch: ContextBranch, samples: Samples) -> SmallOutput:
    output: SmallOutput = branch(
        samples.coarse, samples.coarse_mask, samples.fine, samples.fine_mask
    )
    return output


def _loss(out: SmallOutput, samples: Samples, plan: SmallPlan, kinds: Tensor) -> Tensor:
    label = samples.label
    wrong = int(label.sum())
    counts = [len(label) - wrong, max(wrong, 1)]
    prior = torch.tensor(counts, dtype=torch.float32) / sum(counts)
    loss = uemcm_loss(out.logits.float(), label, class_weights(counts, 1.0), prior)
    loss = loss + 0.5 * F.cross_entropy(kinds, samples.kind)
    if out.step is not None:
        loss = loss + plan.step_weight * F.cross_entropy(out.step.float(), samples.part)
    if out.done is not None and out.workflow is not None:
        done = F.binary_cross_entropy_with_logits(out.done.float(), samples.done)
        workflow = F.cross_entropy(out.workflow.float(), samples.workflow)
        loss = loss + plan.step_weight * (3 * done + workflow)
    return loss


@torch.inference_mode()
def score_oracle(
    branch: ContextBranch, recordings: list[BankedRecording], jitter_seconds: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Log odds (N,) and kinds (N,) of all steps, boundaries given but a little off."""
    branch.eval()
    rng = np.random.default_rng(0)
    scores, kinds = [], []
    for recording in recordings:
        spans = recording.spans + rng.uniform(
            -jitter_seconds, jitter_seconds, recording.spans.shape
        )
        samples = real_samples(recording, spans, recording.kinds, recording.parts)
        logits = _run(branch, samples).logits
        scores.append((logits[:, 1] - logits[:, 0]).double().numpy())
        kinds.append(recording.kinds)
    return np.concatenate(scores), np.concatenate(kinds)
