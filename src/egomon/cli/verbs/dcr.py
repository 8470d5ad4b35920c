"""`egomon dcr`: train DCR weights for a frame encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from egomon.cli import options as opt
from egomon.cli.verbs.train import OutFolder, show
from egomon.errors import UsageError
from egomon.extras import needs_extra

TARGETS = ("v", "epsilon")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(dcr)


def dcr(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images, captions not needed.")],
    clip: Annotated[Path, typer.Option("--clip", help="Hugging Face CLIPModel folder.")],
    diffusion: Annotated[
        Path, typer.Option("--diffusion", help="Stable Diffusion folder (2.1 is the best).")
    ],
    out: OutFolder,
    projector_steps: Annotated[int, typer.Option("--projector-steps", min=1)] = 100_000,
    tower_steps: Annotated[int, typer.Option("--tower-steps", min=1)] = 4_600,
    batch: Annotated[int, typer.Option("--batch", min=2, help="UNet passes: batch squared.")] = 16,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1)] = 1,
    target: Annotated[
        str | None, typer.Option("--target", help="v or epsilon; default: the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: opt.Device = None,
    json: opt.Json = False,
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
    show(train_dcr(clip, diffusion, images, out, plan, device=device or "auto"), json)
