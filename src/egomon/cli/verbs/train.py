"""Offline verbs: `simulate`, `train`, `evaluate`, `challenge`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import click

from egomon.cli import options as opt
from egomon.cli.stdout import say
from egomon.errors import UsageError
from egomon.extras import needs_extra

out_folder = click.option("--out", "-o", type=opt.PATH, required=True, help="Folder to write.")
_context = click.option(
    "--context", help="causal, offline or none, instead of what it was trained on."
)
_split = click.option("--split", help="Only recordings of this split.")


@click.command()
@out_folder
@click.option("--seed", type=int, default=0, help="Same seed, same videos.")
@click.option("--minutes", type=float, default=5.0, help="Length in all, about.")
@click.option("--workflows", default="seen", help="seen or unseen in the training of `workbench`.")
@click.option("--correct-only", is_flag=True, help="Without mistakes.")
@click.option(
    "--mistakes",
    type=click.FloatRange(min=0, max=1),
    default=0.06,
    help="Share of steps that go wrong.",
)
def simulate(
    out: Path, seed: int, minutes: float, workflows: str, correct_only: bool, mistakes: float
) -> None:
    """Render first-person bench work with known mistakes: mp4 files and segments.jsonl."""
    with needs_extra("egomon simulate", "simulate"):
        from egomon.train.simulator import simulate as render

    if workflows not in ("seen", "unseen"):
        raise UsageError(f"--workflows {workflows!r} is not one of: seen, unseen")
    if not minutes > 0:
        raise UsageError(f"--minutes must be above 0, got {minutes}")
    known: Literal["seen", "unseen"] = "seen" if workflows == "seen" else "unseen"
    from rich.progress import Progress

    from egomon.view.console import PlainConsole

    with Progress(console=PlainConsole(stderr=True)) as bar:
        task = bar.add_task("rendering", total=1.0)
        render(
            out,
            seed=seed,
            minutes=minutes,
            workflows=known,
            correct_only=correct_only,
            mistake_rate=mistakes,
            progress=lambda share: bar.update(task, completed=share),
        )
    say(str(out))


@click.command()
@click.option(
    "--recipe",
    "-r",
    required=True,
    help="default, paper, holoassist, captaincook4d or a TOML file.",
)
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    help="Feature set (a folder, or an address such as s3://BUCKET/PATH) or data folder.",
)
@out_folder
@click.option("--seed", type=int, help="Instead of the recipe's.")
@click.option("--seeds", type=int, help="How many seeds the card tells the spread of.")
@click.option("--feedback", type=opt.PATH, help="Event store: verdicts on alerts become labels.")
@click.option("--context", help="causal, offline or none, instead of the recipe's.")
@opt.json
def train(
    recipe: str,
    data: str,
    out: Path,
    seed: int | None,
    seeds: int | None,
    feedback: Path | None,
    context: str | None,
    json: bool,
) -> None:
    """Labelled recordings to a model bundle; goes on where it was interrupted."""
    from egomon.stream.redact import redact
    from egomon.train.fitting.fit import train as run

    report = run(
        recipe,
        opt.folder(data),
        out,
        seed=seed,
        seeds=seeds,
        context=context,
        feedback=feedback,
        command=shlex.join(["egomon", *map(redact, sys.argv[1:])]),
        quiet=json,
    )
    show(report, json)


@click.command()
@click.option("--model", "-m", default="workbench", help="Bundle: a name, a folder or a hub id.")
@click.option(
    "--data", metavar="DIR", help="Feature set, or a folder laid out like CaptainCook4D/HoloAssist."
)
@click.option(
    "--videos", type=opt.PATH, help="Folder of videos with segments.jsonl or .csv: streaming."
)
@_context
@_split
@click.option("--plots", type=opt.PATH, help="Folder for ROC, PR and reliability plots.")
@click.option(
    "--cache/--no-cache", "cached", default=True, help="Keep frame vectors for the next time."
)
@opt.engine
@opt.json
def evaluate(
    model: str,
    data: str | None,
    videos: Path | None,
    context: str | None,
    split: str | None,
    plots: Path | None,
    cached: bool,
    engine: str | None,
    json: bool,
) -> None:
    """How good a bundle is, beside the trivial rows."""
    if (data is None) == (videos is None):
        raise UsageError("give either --data DIR (features) or --videos DIR (streaming)")
    report: Any
    if videos is not None:
        from egomon.cli.verbs.evaluate_videos import evaluate_videos
        from egomon.train.features.vector_cache import VectorCache

        cache = VectorCache() if cached else None
        report = evaluate_videos(model, videos, engine=engine or "auto", quiet=json, cache=cache)
    else:
        from egomon.train.evaluation.evaluate import evaluate_features

        assert data is not None
        report = evaluate_features(model, opt.folder(data), context=context, split=split)
        if plots is not None:
            from egomon.train.evaluation.plots import write_plots

            write_plots(report, plots)
    show(report, json)


@click.command()
@click.option("--model", "-m", required=True, help="Bundle: a name, a folder or a hub id.")
@click.option("--out", "-o", type=opt.PATH, required=True, help="Prediction file to write (JSON).")
@click.option("--clips", type=opt.PATH, help="Official list, a line <video>_<start>_<end> each.")
@click.option("--videos", type=opt.PATH, help="Folder of the listed videos, or HoloAssist's tree.")
@click.option(
    "--data", metavar="DIR", help="Feature set; with --videos where it goes: OUT-vectors."
)
@_context
@_split
@click.option("--threshold", type=float, help="Instead of the bundle's.")
@opt.json
def challenge(
    model: str,
    out: Path,
    clips: Path | None,
    videos: Path | None,
    data: str | None,
    context: str | None,
    split: str | None,
    threshold: float | None,
    json: bool,
) -> None:
    """Prediction file for the HoloAssist mistake challenge; its format is inferred."""
    from egomon.train.evaluation.challenge import challenge as run

    if data is None and videos is None:
        raise UsageError("give --videos DIR, or --data DIR (features), or both")
    report = run(
        model,
        opt.folder(data) if data else out.with_name(f"{out.stem}-vectors"),
        out,
        videos=videos,
        clips=clips,
        context=context,
        split=split,
        threshold=threshold,
        quiet=json,
    )
    show(report, json)


def show(report: Any, json: bool) -> None:
    """Print a table, or one JSON object."""
    if json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(report.to_json()).decode() + "\n")
        return
    from egomon.view.console import PlainConsole

    PlainConsole().print(report.table())
