"""`egomon extract`."""

from __future__ import annotations

from pathlib import Path

import click

from egomon.cli import options as opt
from egomon.cli.verbs.train import show


@click.command()
@click.argument("videos", type=opt.PATH, metavar="DIR", help="Videos and segments.jsonl.")
@click.option(
    "--out",
    "-o",
    required=True,
    metavar="DIR",
    help="Folder to write, or an address such as s3://BUCKET/PATH.",
)
@click.option(
    "--model", "-m", default="workbench", help="Bundle, `lite0`, or a frame encoder's JSON file."
)
@click.option("--encoders", type=opt.PATH, help="File of `egomon models new`, instead of --model.")
@click.option(
    "--large/--no-large",
    default=None,
    help="Run the large branch's encoder too; without either, where --encoders names one.",
    show_default=False,
)
@opt.torch_device
@opt.dtype
@click.option("--batch", type=int, help="Frames a call of the encoder: 16, on CUDA 64.")
@click.option("--jobs", type=int, help="Videos read at once: 1, on CUDA up to 8.")
@click.option("--shard", help="I/N: only the I-th of N parts of the videos.")
@click.option("--skip-damaged", is_flag=True, help="List damaged videos and go on.")
@click.option("--ray", help="Ray cluster: local, auto or HOST:PORT (extra `ray`).")
@click.option("--ray-actors", type=int, help="At most so many; default: all that fit.")
@click.option("--ray-cpus", type=float, default=1.0, help="CPUs of an actor.")
@click.option("--ray-gpus", type=float, default=0.0, help="GPUs of an actor, or a share of one.")
@opt.json
def extract(
    videos: Path,
    out: str,
    model: str,
    encoders: Path | None,
    large: bool | None,
    torch_device: str | None,
    dtype: str | None,
    batch: int | None,
    jobs: int | None,
    shard: str | None,
    skip_damaged: bool,
    ray: str | None,
    ray_actors: int | None,
    ray_cpus: float,
    ray_gpus: float,
    json: bool,
) -> None:
    """Videos and labelled segments to a feature set; goes on where it was interrupted."""
    from egomon.train.extraction.extract import extract as run
    from egomon.train.extraction.extract_worker import ExtractOptions
    from egomon.train.extraction.find_videos import Shard
    from egomon.train.extraction.ray_extract import RayOptions

    options = ExtractOptions(
        device=torch_device or "auto",
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
