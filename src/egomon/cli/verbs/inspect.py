"""Verbs that inspect: `models`, `devices`, `doctor`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egomon.cli import options as opt
from egomon.cli.stdout import say
from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.stream.sources.pupil.discovery import Glasses


@click.group(cls=opt.Group, invoke_without_command=True)
@opt.json
@click.pass_context
def models(context: click.Context, json: bool) -> None:
    """The model bundles that come with egomon, and files that name encoders."""
    if context.invoked_subcommand is not None:
        return
    from egomon.branches.bundle.locate import list_bundles

    entries = list_bundles()
    if json:
        _write_json(
            [
                {
                    "name": entry.name,
                    "description": entry.card.description,
                    "demonstration": entry.card.demonstration,
                    "video": entry.card.frame_encoder.library != "none",
                    "large": entry.card.large is not None,
                    "licence": entry.card.licence,
                    "bytes": entry.nbytes,
                    "metrics": entry.card.metrics,
                }
                for entry in entries
            ]
        )
        return
    for entry in entries:
        say(f"{entry.name:28} {entry.nbytes / 1e6:6.1f} MB  {entry.card.description}")


@models.command("show")
@click.argument("ref", metavar="NAME|DIR", help="Bundle.")
@click.option("--graph", is_flag=True, help="Print the workflow graph of a taught bundle.")
@click.option("--svg", type=opt.PATH, help="Also draw the workflow graph here.")
@opt.json
def models_show(ref: str, graph: bool, svg: Path | None, json: bool) -> None:
    """Print the card of a bundle, or its workflow graph."""
    from egomon.branches.bundle.locate import find_bundle, read_card

    folder = find_bundle(ref)
    card = read_card(folder)
    if graph or svg is not None:
        _show_graph(folder, svg)
        return
    if json:
        _write_json(card)
        return
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(card), indent=2).decode())


@models.command("export")
@click.argument("ref", metavar="NAME|DIR", help="Bundle.")
@click.option(
    "--out", "-o", type=opt.PATH, help="Write a copy here; default: into the bundle itself."
)
@opt.json
def models_export(ref: str, out: Path | None, json: bool) -> None:
    """Give a bundle its networks as ONNX, so that it runs without torch; needs torch once."""
    from egomon.branches.bundle.locate import find_bundle
    from egomon.extras import needs_extra

    with needs_extra("egomon models export", "torch"):
        from egomon.branches.export.bundle import export_bundle

    written = export_bundle(find_bundle(ref), out)
    if json:
        _write_json(
            {
                "folder": str(written.folder),
                "files": written.files,
                "refused": written.refused,
            }
        )
        return
    for name, pin in written.files.items():
        say(f"{written.folder / 'onnx' / name}: cosine with torch at least {pin.cosine:.5f}")
    for reason in written.refused:
        say(f"Left to torch: {reason}")
    if not written.files:
        say("Nothing to export: its networks are NumPy, or come with egomon as ONNX.")


@models.command("new")
@click.option(
    "--preset", default="paper", help="paper, paper-8b, clip-b32, siglip2, pe-core, ... ."
)
@click.option("--out", "-o", type=opt.PATH, default=Path("encoders.toml"), help="File to write.")
def models_new(preset: str, out: Path) -> None:
    """Write a commented file that names both encoders, for `egomon extract --encoders`."""
    from egomon.branches.bundle.encoders_file import preset_text

    text = preset_text(preset)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out} is there already; give another file with -o") from None
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})") from error
    say(str(out))


def _show_graph(folder: Path, svg: Path | None) -> None:
    path = folder / "workflow.toml"
    if not path.is_file():
        raise UsageError(f"{folder} has no workflow graph; `egomon teach` makes bundles with one")
    from egomon.branches.taught.workflow_drawing import stack_svg
    from egomon.branches.taught.workflow_file import read_graphs

    workflows = read_graphs(path)
    say("\n\n".join(workflow.to_text() for workflow in workflows))
    if svg is not None:
        svg.write_text(stack_svg([w.to_svg() for w in workflows]), encoding="utf-8")


@click.command()
@click.option("--search", default="1.5s", help="How long to look for glasses; `none` = not.")
@opt.json
def devices(search: str, json: bool) -> None:
    """List the cameras of this machine, and Pupil Labs glasses in its network (extra `pupil`)."""
    from egomon.stream.sources.webcam.camera_list import list_devices

    found = [(str(d.index), d.name, d.path, dataclasses.asdict(d)) for d in list_devices()]
    for glasses in [] if search == "none" else _find_glasses(search):
        name = f"{glasses.phone} (Pupil Labs)"
        entry = {"index": None, "path": glasses.reference, "name": name}
        found.append(("-", name, glasses.reference, entry))
    if json:
        _write_json([entry for *_, entry in found])
        return
    if not found:
        say("no camera found; plug one in, or give `egomon live` a stream's URL")
    for index, name, path, _ in found:
        say(f"{index}  {name}  {path}")


def _find_glasses(search: str) -> list[Glasses]:
    """Find announced glasses; none if this machine cannot search."""
    from egomon.errors import MissingExtraError, SourceOpenError
    from egomon.stream.sources.pupil.discovery import find_glasses

    seconds = opt.parse_duration(search)
    assert seconds is not None
    try:
        return find_glasses(seconds)
    except MissingExtraError:
        return []
    except SourceOpenError as error:
        say(f"egomon: {error}", err=True)
        return []


@click.command()
@opt.model
@click.option("--source", help="Also open this camera, stream or file.")
@click.option("--chaos", is_flag=True, help="Self-test with a source that misbehaves.")
@click.option(
    "--security", is_flag=True, help="Look at addresses, keys, files and command lines only."
)
@opt.config
@opt.json
def doctor(
    model: str | None,
    source: str | None,
    chaos: bool,
    security: bool,
    config: Path | None,
    json: bool,
) -> None:
    """Check this machine and say what to do about each finding; exit 0 with warnings."""
    from egomon.cli.doctor.machine import findings_of, run_checks

    if security:
        from egomon.cli.doctor.security import security_checks

        findings = findings_of([("security", lambda: security_checks(config))])
    else:
        findings = run_checks(model or "workbench", source=source, chaos=chaos)
    if json:
        _write_json(
            {
                "ok": all(finding.level != "error" for finding in findings),
                "checks": [dataclasses.asdict(finding) for finding in findings],
            }
        )
    else:
        signs = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
        for finding in findings:
            advice = f" -> {finding.advice}" if finding.advice else ""
            say(f"{signs[finding.level]}  {finding.name}: {finding.detail}{advice}")
    if any(finding.level == "error" for finding in findings):
        raise click.exceptions.Exit(1)


def _write_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
