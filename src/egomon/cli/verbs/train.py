"""Offline verbs: `simulate`, `train`, `evaluate`, `challenge`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from egomon.cli import options as opt
from egomon.cli.stdout import say
from egomon.errors import UsageError
from egomon.extras import needs_extra

OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
DataFolder = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Feature set, or a folder laid out like CaptainCook4D/HoloAssist.",
    ),
]
FeatureSetFolder = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Feature set (a folder, or an address such as s3://BUCKET/PATH) or data folder.",
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Bundle: a name, a folder or a hub id.")
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", help="causal, offline or none, instead of what it was trained on."),
]
Split = Annotated[str | None, typer.Option("--split", help="Only recordings of this split.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (simulate, train, evaluate, challenge):
        app.command()(verb)


def simulate(
    out: OutFolder,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same videos.")] = 0,
    minutes: Annotated[float, typer.Option("--minutes", help="Length in all, about.")] = 5.0,
    workflows: Annotated[
        str, typer.Option("--workflows", help="seen or unseen in the training of `workbench`.")
    ] = "seen",
    correct_only: Annotated[bool, typer.Option("--correct-only", help="Without mistakes.")] = False,
    mistakes: Annotated[
        float, typer.Option("--mistakes", min=0, max=1, help="Share of steps that go wrong.")
    ] = 0.06,
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


def train(
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", "-r", help="default, paper, holoassist, captaincook4d or a TOML file."
        ),
    ],
    data: FeatureSetFolder,
    out: OutFolder,
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the recipe's.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="How many seeds the card tells the spread of.")
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option("--feedback", help="Event store: verdicts on alerts become labels."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("--context", help="causal, offline or none, instead of the recipe's."),
    ] = None,
    json: opt.Json = False,
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


def evaluate(
    model: ModelOption = "workbench",
    data: DataFolder = None,
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="Folder of videos with segments.jsonl or .csv: streaming."),
    ] = None,
    context: ContextOption = None,
    split: Split = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for ROC, PR and reliability plots.")
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep frame vectors for the next time.")
    ] = True,
    engine: opt.Engine = None,
    json: opt.Json = False,
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


def challenge(
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Prediction file to write (JSON).")],
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Official list, a line <video>_<start>_<end> each."),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="Folder of the listed videos, or HoloAssist's tree."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Feature set; with --videos where it goes: OUT-vectors.",
        ),
    ] = None,
    context: ContextOption = None,
    split: Split = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Instead of the bundle's.")
    ] = None,
    json: opt.Json = False,
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
