"""`egomon dcr`: train DCR weights for a frame encoder."""

from __future__ import annotations

from pathlib import Path

import click

from egomon.cli import options as opt
from egomon.cli.verbs.train import out_folder, show
from egomon.errors import UsageError
from egomon.extras import needs_extra

TARGETS = ("v", "epsilon")


@click.command()
@click.argument("images", type=opt.PATH, metavar="DIR", help="Images, captions not needed.")
@click.option("--clip", type=opt.PATH, required=True, help="Hugging Face CLIPModel folder.")
@click.option(
    "--diffusion", type=opt.PATH, required=True, help="Stable Diffusion folder (2.1 is the best)."
)
@out_folder
@click.option("--projector-steps", type=click.IntRange(min=1), default=100_000)
@click.option("--tower-steps", type=click.IntRange(min=1), default=4_600)
@click.option("--batch", type=click.IntRange(min=2), default=16, help="UNet passes: batch squared.")
@click.option("--accumulate", type=click.IntRange(min=1), default=1)
@click.option("--target", help="v or epsilon; default: the model's own.")
@click.option("--seed", type=int, default=0)
@opt.torch_device
@opt.json
def dcr(
    images: Path,
    clip: Path,
    diffusion: Path,
    out: Path,
    projector_steps: int,
    tower_steps: int,
    batch: int,
    accumulate: int,
    target: str | None,
    seed: int,
    torch_device: str | None,
    json: bool,
) -> None:
    """Sharpen a CLIP image tower by contrastive reconstruction; needs a GPU for real models."""
    if target not in (None, *TARGETS):
        raise UsageError(f"--target {target!r} is not one of: {', '.join(TARGETS)}")
    with needs_extra("egomon dcr", "dcr"):
        from egomon.train.dcr.fit import DcrPlan, train_dcr

    plan = DcrPlan(
        projector_steps=projector_steps,
        tower_steps=tower_steps,
        batch=batch,
        accumulate=accumulate,
        target=target,  # type: ignore[arg-type]
        seed=seed,
    )
    show(train_dcr(clip, diffusion, images, out, plan, device=torch_device or "auto"), json)
