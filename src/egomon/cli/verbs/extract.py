"""`egomon extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from egomon.cli import options as opt
from egomon.cli.verbs.train import show


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(extract)


def extract(
    videos: Annotated[Path, typer.Argument(metavar="DIR", help="Videos and segments.jsonl.")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder to write, or an address such as s3://BUCKET/PATH.",
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Bundle, `lite0`, or a frame encoder's JSON file.")
    ] = "workbench",
    encoders: Annotated[
        Path | None,
        typer.Option("--encoders", help="File of `egomon models new`, instead of --model."),
    ] = None,
    large: Annotated[
        bool | None,
        typer.Option(
            "--large/--no-large",
            help="Run the large branch's encoder too; without either, where --encoders names one.",
            show_default=False,
        ),
    ] = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Frames a call of the encoder: 16, on CUDA 64.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Videos read at once: 1, on CUDA up to 8.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="I/N: only the I-th of N parts of the videos.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="List damaged videos and go on.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Ray cluster: local, auto or HOST:PORT (extra `ray`)."),
    ] = None,
    ray_actors: Annotated[
        int | None, typer.Option("--ray-actors", help="At most so many; default: all that fit.")
    ] = None,
    ray_cpus: Annotated[float, typer.Option("--ray-cpus", help="CPUs of an actor.")] = 1.0,
    ray_gpus: Annotated[
        float, typer.Option("--ray-gpus", help="GPUs of an actor, or a share of one.")
    ] = 0.0,
    json: opt.Json = False,
) -> None:
    """Videos and labelled segments to a feature set; goes on where it was interrupted."""
    from egomon.train.features.extract import extract as run
    from egomon.train.features.extract_worker import ExtractOptions
    from egomon.train.features.find_videos import Shard
    from egomon.train.features.ray_extract import RayOptions

    options = ExtractOptions(
        device=device or "auto",
        dtype=dtype or "auto",
        batch=batch,
        jobs=jobs,
        shard=None if shard is None else Shard.parse(shard),
        skip_damaged=skip_damaged,
    )
    cluster = None
    if ray is not None:
        cluster = RayOptions(address=ray, actors=ray_actors, cpus=ray_cpus, gpus=ray_gpus)
    report = run(
        videos,
        opt.folder(out),
        model=model,
        encoders=encoders,
        large=large,
        quiet=json,
        options=options,
        ray=cluster,
    )
    show(report, json)
