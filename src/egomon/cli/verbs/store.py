"""Verbs on stored data and files: `alerts`, `report`, `config`, `keygen`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egomon.cli import options as opt
from egomon.cli.stdout import say
from egomon.errors import UsageError
from egomon.units import NS_PER_SECOND

if TYPE_CHECKING:
    from egomon.fusion.store.events import EventStore
    from egomon.fusion.store.reader import EventReader

VERDICTS = ("true", "false", "unsure")

store_path = click.option(
    "--store", type=opt.PATH, help="Event store; default: the one that `live` uses."
)
alert_id = click.argument("alert_id", metavar="ID", help="Alert id, as `alerts list` shows it.")


@click.group(cls=opt.Group)
def alerts() -> None:
    """Look at stored alerts and say what you think of them."""


@click.group(cls=opt.Group)
def config() -> None:
    """Settings file."""


def _open(path: Path | None) -> EventStore:
    from egomon.fusion.store.events import EventStore

    return EventStore(_path(path))


def _open_reader(path: Path | None) -> EventReader:
    from egomon.fusion.store.reader import EventReader

    return EventReader(_path(path))


def _path(path: Path | None) -> Path:
    if path is None:
        import platformdirs

        path = Path(platformdirs.user_data_dir("egomon")) / "events.sqlite"
    if not path.is_file():
        raise UsageError(
            f"no event store at {path}; `egomon live` fills one, `egomon replay` with --store FILE"
        )
    return path


@alerts.command("list")
@store_path
@click.option("--since", help="Only the last 10m, 1h, 24h ...")
@click.option("--limit", type=int, default=100, help="At most this many.")
@opt.json
def alerts_list(store: Path | None, since: str | None, limit: int, json: bool) -> None:
    """Newest alerts first."""
    seconds = opt.parse_duration(since)
    after = None if seconds is None else time.time_ns() - int(seconds * NS_PER_SECOND)
    with _open_reader(store) as events:
        rows = [row.data for row in events.alerts(after, limit)]
    if json:
        _write_json(rows)
        return
    from egomon.cli.printing import print_alerts

    print_alerts(rows, ids=True)


@alerts.command("show")
@alert_id
@store_path
@opt.json
def alerts_show(alert_id: str, store: Path | None, json: bool) -> None:
    """One alert with all its revisions."""
    from egomon.fusion.messages.envelope import decode_data, decode_envelope

    with _open_reader(store) as events:
        revisions = [
            decode_data("alert", decode_envelope(event.envelope).data)
            for event in events.revisions(alert_id)
        ]
    if not revisions:
        raise UsageError(f"no alert {alert_id!r} in the store; see `egomon alerts list`")
    if json:
        _write_json(revisions)
        return
    from egomon.cli.printing import print_revisions

    print_revisions(revisions)


@alerts.command("ack")
@alert_id
@click.option("--by", default="", help="Who has seen it.")
@store_path
def alerts_ack(alert_id: str, by: str, store: Path | None) -> None:
    """Note that somebody has seen an alert; it is then kept for ever."""
    with _open(store) as events:
        if not events.ack(alert_id, by, time.time_ns()):
            raise UsageError(f"no alert {alert_id!r} in the store; see `egomon alerts list`")
    say(f"{alert_id}: seen")


@alerts.command("feedback")
@alert_id
@click.option("--verdict", required=True, help="true, false or unsure.")
@click.option("--note", default="", help="Anything worth remembering.")
@click.option("--model", "-m", type=opt.PATH, help="Folder of the taught bundle to change.")
@store_path
def alerts_feedback(
    alert_id: str, verdict: str, note: str, model: Path | None, store: Path | None
) -> None:
    """Say whether an alert was right; a taught bundle changes at once, `egomon train` learns."""
    if verdict not in VERDICTS:
        raise UsageError(f"--verdict {verdict!r} is not one of: {', '.join(VERDICTS)}")
    with _open(store) as events:
        if not events.feedback(alert_id, verdict, note, time.time_ns()):  # type: ignore[arg-type]
            raise UsageError(f"no alert {alert_id!r} in the store; see `egomon alerts list`")
        row = events.alert(alert_id)
    say(f"{alert_id}: {verdict}")
    if model is not None and row is not None:
        from egomon.cli.verbs.taught_feedback import apply_verdict

        say(apply_verdict(model, row.data, verdict))


@alerts.command("missed")
@click.argument("kind", metavar="KIND", help="missing, repeated, stopped, foreign or long.")
@click.option("--model", "-m", type=opt.PATH, required=True, help="Folder of the taught bundle.")
@click.option("--step", help="Id or name of the step where it was missed.")
@click.option("--undo", is_flag=True, help="Take the newest such word back.")
def alerts_missed(kind: str, model: Path, step: str | None, undo: bool) -> None:
    """Say that a taught bundle raised no alert where it should have."""
    from egomon.cli.verbs.taught_feedback import apply_missed

    say(apply_missed(model, kind, step, undo=undo))


@alerts.command("clip")
@alert_id
@click.argument("out", type=opt.PATH, metavar="OUT.mp4", help="File to write.")
@store_path
def alerts_clip(alert_id: str, out: Path, store: Path | None) -> None:
    """Copy the clip of an alert; a monitor with `evidence.folder` set writes one for each."""
    import shutil

    from egomon.cli.events import clip_of

    if out.exists():
        raise UsageError(f"{out} exists; give another name")
    with _open_reader(store) as events:
        if events.alert(alert_id) is None:
            raise UsageError(f"no alert {alert_id!r} in the store; see `egomon alerts list`")
        clip = clip_of(events, alert_id)
    if clip is None:
        raise UsageError(
            f"no clip of {alert_id!r} is kept; set evidence.folder before the next run "
            "(see `egomon config init`)"
        )
    try:
        shutil.copyfile(clip, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}; give another name") from error
    say(str(out))


@alerts.command("export")
@store_path
@click.option("--since", help="Only the last 1h, 24h ...")
@click.option("--format", default="jsonl", help="jsonl or csv.")
def alerts_export(store: Path | None, since: str | None, format: str) -> None:
    """All alerts on stdout."""
    if format not in ("jsonl", "csv"):
        raise UsageError(f"--format {format!r} is not one of: jsonl, csv")
    seconds = opt.parse_duration(since)
    after = None if seconds is None else time.time_ns() - int(seconds * NS_PER_SECOND)
    with _open_reader(store) as events:
        rows = [row.data for row in events.alerts(after, 1 << 31)]
        verdicts = {row.alert_id: row.verdict for row in events.feedback_rows()}
    if format == "jsonl":
        import msgspec

        for row in rows:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        return
    import csv

    from egomon.text import cell

    writer = csv.writer(sys.stdout)
    writer.writerow(["alert_id", "source", "phase", "p", "start", "end", "explanation", "verdict"])
    for row in rows:
        span = (row.segment.media_start, row.segment.media_end)
        told = verdicts.get(row.alert_id, "")
        texts = [cell(text) for text in (row.alert_id, row.source, row.phase, row.explanation)]
        writer.writerow([*texts[:3], row.p, *span, texts[3], told])


@click.command()
@click.argument("out", type=opt.PATH, metavar="OUT.html", help="Page to write.")
@store_path
@click.option("--source", help="Only this source.")
@click.option("--video", type=opt.PATH, help="Show this recording.")
def report(out: Path, store: Path | None, source: str | None, video: Path | None) -> None:
    """Write one self-contained HTML page about the last run in the store."""
    from egomon.cli.events import alert_clips, last_run
    from egomon.report import alert_stills, write_report

    with _open_reader(store) as events:
        found = last_run(events, source)
        clips = alert_clips(events, found)
    if not found:
        what = f"of source {source!r}" if source else "of its last run"
        raise UsageError(f"the store holds no events {what}; see `egomon alerts list`")
    # A recording without --source is that of the first one, as in a replay's own report.
    videos = {} if video is None else {source or found[0][0]: video}
    media = alert_stills(found, videos, clips)
    write_report(found, out, title=source or "egomon", video=video, media=media)
    say(str(out))


@click.command()
@click.argument("folder", type=opt.PATH, metavar="DIR", help="New folder for the keys.")
def keygen(folder: Path) -> None:
    """Make keys for a monitor and one client, needed on any address but this machine."""
    from egomon.fusion.transport.keys import keygen as make_keys

    for path in make_keys(folder):
        say(str(path))


@config.command("init")
@click.argument("path", type=opt.PATH, default=Path("egomon.toml"), metavar="FILE")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def config_init(path: Path, force: bool) -> None:
    """Write a commented settings file with all defaults."""
    from egomon.cli.config_file import commented_toml

    if path.exists() and not force:
        raise UsageError(f"{path} exists; give another name or --force")
    try:
        path.write_text(commented_toml(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another name") from error
    say(str(path))


@config.command("show")
@opt.config
@click.option("--resolved", is_flag=True, help="Also say where each value came from.")
@opt.json
def config_show(config: Path | None, resolved: bool, json: bool) -> None:
    """Print the settings in use."""
    from egomon.cli.config_file import resolved_rows
    from egomon.config import load_settings, plain

    settings = load_settings(config)
    if json:
        _write_json(plain(settings))
        return
    for key, value, origin in resolved_rows(settings, config):
        say(f"{key} = {value}" + (f"    # {origin}" if resolved else ""))


def _write_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
