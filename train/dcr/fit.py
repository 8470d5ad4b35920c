"""`egomon dcr`: both stages, from a CLIP folder to a CLIP folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from egomon.branches.encoders.torch_setup import pick_device
from egomon.errors import UsageError
from egomon.train.dcr.images import Batch, ImageFolder
from egomon.train.dcr.lora import add_lora, merge_lora
from egomon.train.dcr.loss import dcr_loss
from egomon.train.dcr.parts import Generator, Projector, Target, load_clip, load_generator, token_of

_log = logging.getLogger(__name__)
_CLIP_NORM = 1.0
_WARM_UP = 10
_TOLD_EVERY = 50


@dataclass(frozen=True, slots=True)
class DcrPlan:
    """The published setting, except for the number of processes: 8 x 16 images x 2 there."""

    projector_steps: int = 100_000
    projector_rate: float = 1e-4
    tower_steps: int = 4_600
    tower_rate: float = 1e-5
    batch: int = 16
    accumulate: int = 1
    """Batches summed before a step; negatives come from one batch only."""
    weight_decay: float = 0.01
    target: Target | None = None
    """None = what the diffusion model was trained to predict."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DcrReport:
    """Result of a training, with the loss at the start and the end of each stage."""

    folder: Path
    projector_loss: tuple[float, float]
    tower_loss: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.folder),
            "projector_loss": list(self.projector_loss),
            "tower_loss": list(self.tower_loss),
        }

    def table(self) -> Table:
        """Render the report as lines of text."""
        table = Table("CLIP folder", "stage 1 loss", "stage 2 loss")
        stages = (f"{a:.3f} to {b:.3f}" for a, b in (self.projector_loss, self.tower_loss))
        table.add_row(str(self.folder), *stages)
        return table


class Dcr:
    """One CLIP tower, one projector, one frozen diffusion model."""

    def __init__(self, clip: Any, generator: Generator, target: Target | None = None) -> None:
        self.clip = clip
        self.generator = generator
        self.target = target or generator.predicts
        self.projector = Projector(clip.config.projection_dim, generator.condition_dim)

    def loss(self, batch: Batch) -> Tensor:
        """B (B + 1) passes of the UNet: each image with each token, and with its other view's."""
        device = self.generator.empty_text.device
        own, other = (
            self.projector(token_of(self.clip, pixels.to(device)))
            for pixels in (batch.clip, batch.clip_plus)
        )
        x_t, t, truth = self.generator.noised(batch.diffusion.to(device), self.target)
        size = len(own)
        rows = []
        for k in range(size):
            rows.append(self.generator.denoise(x_t, t, own[k].expand(size, -1)))
        plus = self.generator.denoise(x_t, t, other)
        return dcr_loss(torch.stack(rows, dim=1), plus, truth)


def train_dcr(
    clip_folder: Path,
    diffusion_folder: Path,
    images: Path,
    out: Path,
    plan: DcrPlan | None = None,
    *,
    device: str = "auto",
) -> DcrReport:
    """Run both stages and write a `CLIPModel` folder that a frame encoder of library dcr loads.

    Args:
        clip_folder: Hugging Face CLIPModel.
        diffusion_folder: Stable Diffusion 2.1 or another one with cross attention.
        images: folder of images.
        out: target folder; it must not exist.
        plan: steps and rates.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        MissingExtraError: without diffusers.
        UsageError: `out` exists.
        BundleError: a model cannot be loaded.
        DataError: no images.
    """
    plan = plan or DcrPlan()
    if out.exists():
        raise UsageError(f"{out} exists already; choose another folder")
    clip, generator = load_clip(clip_folder), load_generator(diffusion_folder)
    data = ImageFolder(images, clip.config.vision_config.image_size, plan.seed)
    torch.manual_seed(plan.seed)
    place = pick_device(device)
    dcr = Dcr(clip, generator, plan.target)
    clip.to(place)
    dcr.projector.to(place)
    generator.to(place, torch.bfloat16 if place.type == "cuda" else torch.float32)
    if place.type == "cuda":
        generator.unet.enable_gradient_checkpointing()
    first = _run(dcr, data, dcr.projector.parameters(), plan, "stage 1")
    dcr.projector.eval().requires_grad_(False)
    adapted = nn.ModuleDict({"tower": clip.vision_model, "projection": clip.visual_projection})
    trained = add_lora(adapted)
    clip.visual_projection = adapted["projection"]
    second = _run(dcr, data, trained, plan, "stage 2")
    merge_lora(adapted)
    clip.visual_projection = adapted["projection"]
    _save(clip.float().cpu(), out)
    return DcrReport(out, first, second)


def _run(
    dcr: Dcr, data: ImageFolder, parameters: Iterable[nn.Parameter], plan: DcrPlan, stage: str
) -> tuple[float, float]:
    projecting = stage == "stage 1"
    steps = plan.projector_steps if projecting else plan.tower_steps
    rate = plan.projector_rate if projecting else plan.tower_rate
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=plan.weight_decay)
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1, (step + 1) / _WARM_UP))
    dcr.clip.train(not projecting)  # dropout of the adapters only: CLIP itself has none
    losses: list[float] = []
    for step in range(steps):
        optimiser.zero_grad()
        total = 0.0
        for _ in range(plan.accumulate):
            with _mixed(dcr.generator):
                loss = dcr.loss(data.batch(plan.batch)) / plan.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        optimiser.step()
        warm.step()
        losses.append(total)
        if (step + 1) % _TOLD_EVERY == 0:
            _log.info("%s, step %d of %d: loss %.3f", stage, step + 1, steps, total)
    dcr.clip.eval()
    tenth = max(1, len(losses) // 10)
    return (
        sum(losses[:tenth]) / tenth if losses else 0.0,
        sum(losses[-tenth:]) / tenth if losses else 0.0,
    )


def _mixed(generator: Generator) -> AbstractContextManager[Any]:
    device = generator.empty_text.device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


def _save(clip: Any, out: Path) -> None:
    """Save the folder as a whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        new = Path(scratch, "new")
        clip.save_pretrained(new)
        shutil.move(str(new), out)
