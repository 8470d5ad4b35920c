"""`teach`: the user's own workflow; and `cache`, where frame vectors are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from egomon.cli import options as opt
from egomon.cli.stdout import say
from egomon.errors import BundleError, UsageError

if TYPE_CHECKING:
    from egomon.cli.verbs.check_taught import CheckReport
    from egomon.train.teach import TeachReport

MIB = 1 << 20
STYLES = {"ready": "bold green", "usable": "bold yellow", "failed": "bold red"}


@click.command()
@click.argument(
    "videos",
    type=opt.PATH,
    nargs=-1,
    required=True,
    metavar="FILE...",
    help="Correct recordings; or one folder of recordings for each of several workflows.",
)
@click.option("--out", "-o", type=opt.PATH, required=True, help="Folder of the bundle.")
@click.option(
    "--base",
    help="Bundle, `lite0`, or a frame encoder's JSON file; default: the one whose guard knows "
    "the footage.",
)
@click.option("--name", help="Name of the new bundle.")
@click.option(
    "--false-alarms-per-hour", type=float, help="Budget on correct work.", show_default="6"
)
@click.option("--add", is_flag=True, help="OUT is taught already: add these recordings to its own.")
@click.option(
    "--steps", type=opt.PATH, metavar="FILE", help="Names of the steps in order, one a line."
)
@click.option(
    "--boundaries",
    type=opt.PATH,
    metavar="FILE",
    help="Table like segments.csv with the steps of one recording or more.",
)
@click.option(
    "--check",
    type=opt.PATH,
    multiple=True,
    callback=opt.given_or_none,
    metavar="FILE",
    help="Recording to try the new bundle on.",
)
@click.option(
    "--labels", type=opt.PATH, metavar="FILE", help="Table of the mistakes in those of --check."
)
@click.option(
    "--force", is_flag=True, help="Write the bundle although it would find next to nothing."
)
@click.option(
    "--cache/--no-cache", "cached", default=True, help="Keep frame vectors for the next time."
)
@opt.json
def teach(
    videos: tuple[Path, ...],
    out: Path,
    base: str | None,
    name: str | None,
    false_alarms_per_hour: float | None,
    add: bool,
    steps: Path | None,
    boundaries: Path | None,
    check: list[Path] | None,
    labels: Path | None,
    force: bool,
    cached: bool,
    json: bool,
) -> None:
    """Your own workflow from 1-10 correct recordings, no labels needed."""
    missing = [path for path in check or () if not path.is_file()]
    if missing:
        raise UsageError(f"no such recording: {missing[0]}")
    if labels is not None and not check:
        raise UsageError("--labels belongs to --check FILE, the recordings that it labels")
    if false_alarms_per_hour is not None and not false_alarms_per_hour > 0:
        raise UsageError(f"--false-alarms-per-hour must be above 0, got {false_alarms_per_hour}")
    from egomon.train.features.vector_cache import VectorCache
    from egomon.train.teach import teach as run

    cache = VectorCache() if cached else None
    with progress_bar(quiet=json) as tell:
        report = run(
            videos,
            out,
            base=base,
            name=name,
            false_alarms_per_hour=false_alarms_per_hour,
            add=add,
            steps=steps,
            boundaries=boundaries,
            force=force,
            keep_former=True,
            cache=cache,
            progress=tell,
        )
    tried = None
    if check and report.written:
        from egomon.cli.verbs.check_taught import check_taught

        tried = check_taught(out, check, labels, cache=cache, quiet=json)
    show_taught(report, tried, json=json)
    if not report.written:
        raise click.exceptions.Exit(1)


def show_taught(report: TeachReport, tried: CheckReport | None, *, json: bool) -> None:
    """The verdict in one sentence and tables, or one JSON object."""
    if json:
        import msgspec

        data = report.to_json() | ({} if tried is None else {"check": tried.to_json()})
        click.echo(msgspec.json.encode(data).decode())
        return
    from rich.text import Text

    from egomon.text import printable
    from egomon.view.console import PlainConsole

    console = PlainConsole()
    console.print(Text(printable(report.sentence), style=STYLES[report.verdict]))
    if report.former:
        console.print(Text(printable(f"It replaces {_named(Path(report.former))}.")))
    console.print(report.table())
    if tried is not None:
        console.print(tried.table())


def _named(former: Path) -> str:
    """What a bundle is, and where; a damaged one has no name."""
    from egomon.branches.bundle.locate import read_card

    try:
        card = read_card(former)
    except BundleError:
        return f"a damaged bundle, kept in {former}"
    return f"bundle {card.name} of {card.created}, kept in {former}"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal at stderr, with the time that is left of what is being done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from egomon.view.console import PlainConsole

    console = PlainConsole(stderr=True)
    if quiet or not console.is_terminal:  # a bar would leave an empty line there
        yield lambda what, share: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


@click.group(cls=opt.Group)
def cache() -> None:
    """Frame vectors that `teach` and `evaluate --videos` keep."""


@cache.command("size")
@opt.json
def cache_size(json: bool) -> None:
    """How much is kept, and where."""
    from egomon.train.features.vector_cache import VectorCache

    cache = VectorCache()
    found = cache.size()
    if json:
        import msgspec

        about = {"folder": str(cache.folder), "entries": found.entries, "bytes": found.nbytes}
        click.echo(msgspec.json.encode({**about, "most_bytes": cache.most_bytes}).decode())
        return
    most = cache.most_bytes // MIB
    say(f"{cache.folder}: {found.entries} recordings, {found.nbytes / MIB:.1f} of {most} MiB")


@cache.command("clear")
def cache_clear() -> None:
    """Delete all that is kept; it is made again when it is needed."""
    from egomon.train.features.vector_cache import VectorCache

    found = VectorCache().clear()
    say(f"{found.entries} recordings, {found.nbytes / MIB:.1f} MiB deleted")
