"""`egomon live` and `egomon replay`: one path, two policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from egomon.cli import options as opt
from egomon.errors import DegradedError, UsageError


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(live)
    app.command()(replay)


def _settings(config: Path | None, **given: Any) -> Any:
    from egomon.config import load_settings

    publish, control = given["publish"], given["control"]
    settings = load_settings(
        config,
        opt.flags(
            model={
                "name": given["model"],
                "device": given["torch_device"],
                "dtype": given["dtype"],
                "threads": given["threads"],
                "large": opt.no_large(given["no_large"]),
            },
            source=given.get("source", {}),
            segments={
                "policy": given["policy"],
                "file": given["segments_file"],
                "length_seconds": given["length"],
                "stride_seconds": given["stride"],
            },
            decision={
                "emit": given["emit"],
                "threshold_fused": given["threshold"],
                "threshold_small": given["threshold"],
            },
            bus={
                "publish": tuple(publish) if publish is not None else None,
                "control": control,
                "curve": given["curve"],
                "insecure_bind": given["insecure_bind"],
            },
            store={"path": given["store"]},
            evidence=given.get("evidence", {}),
            metrics=given.get("metrics", {}),
        ),
    )
    return settings


def live(
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="Camera number, /dev path, stream URL, zmq+tcp://... or synthetic:...; may be "
            "given more than once.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Topic name, one for each --device."),
    ] = None,
    model: opt.Model = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Stop after this long, e.g. 10s or 5m.")
    ] = None,
    wait_source: Annotated[
        bool | None,
        typer.Option("--wait-source", help="Keep trying if the source is not there yet."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Override what the source is: live or file.")
    ] = None,
    snapshot: Annotated[
        bool | None, typer.Option("--snapshot", help="Attach a JPEG to each new alert.")
    ] = None,
    record_evidence: Annotated[
        Path | None, typer.Option("--record-evidence", help="Folder for a clip of each alert.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Prometheus and health pages on host:port.")
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Serve a live page on this machine.")
    ] = False,
    publish: opt.Publish = None,
    control: opt.Control = None,
    curve: opt.Curve = None,
    insecure_bind: opt.InsecureBind = None,
    emit: opt.Emit = None,
    policy: opt.Policy = None,
    segments_file: opt.SegmentsFile = None,
    length: opt.Length = None,
    stride: opt.Stride = None,
    threshold: opt.Threshold = None,
    no_large: opt.NoLarge = False,
    torch_device: opt.Device = None,
    dtype: opt.Dtype = None,
    threads: opt.Threads = None,
    store: opt.Store = None,
    out: opt.Out = None,
    report: opt.Report = None,
    config: opt.ConfigFile = None,
    strict: opt.Strict = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Watch cameras or streams and publish alerts until stopped."""
    from egomon.cli.names import default_name
    from egomon.cli.session import Session

    given = dict(locals())
    seconds = opt.parse_duration(duration)
    references = device or ["0"]
    names = list(name or [])
    if names and len(names) != len(references):
        raise UsageError(f"{len(references)} --device but {len(names)} --name: give one for each")
    requests, taken = [], set[str]()
    for index, reference in enumerate(references):
        label = names[index] if names else default_name(reference, taken)
        taken.add(label)
        requests.append((label, reference, kind or "live"))
    given["source"] = {"kind": kind, "wait": wait_source}
    given["evidence"] = {"snapshot": snapshot, "folder": record_evidence}
    given["metrics"] = {"address": metrics}
    settings = _settings(**_pick(given))
    session = Session(
        settings,
        out=out,
        report=report,
        json=json,
        quiet=quiet,
        live_page=view,
        reread=lambda: _settings(**_pick(given)),
    )
    summary = session.run(requests, duration_seconds=seconds)
    if strict and summary.degraded:
        raise DegradedError("the run ended degraded: the large branch was not available")


def replay(
    video: Annotated[str, typer.Argument(help="Video file, or synthetic:...", metavar="VIDEO")],
    model: opt.Model = None,
    speed: Annotated[
        str, typer.Option("--speed", help="`max`, or a factor of real time such as 1.0.")
    ] = "max",
    start: Annotated[float, typer.Option("--start", help="First second to score.")] = 0.0,
    end: Annotated[float | None, typer.Option("--end", help="Second to stop at.")] = None,
    as_live: Annotated[
        bool,
        typer.Option("--as-live", help="Drop and expire as live would, on a simulated clock."),
    ] = False,
    latency_model: Annotated[
        str,
        typer.Option(
            "--latency-model",
            help="With --as-live: milliseconds a frame and a refinement take, and the seed.",
        ),
    ] = "frame:20ms,large:400ms,jitter:0.2,seed:0",
    expect: Annotated[
        Path | None, typer.Option("--expect", help="Compare the alerts with this file; exit 6.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Topic name of the source.")] = None,
    publish: opt.Publish = None,
    control: opt.Control = None,
    curve: opt.Curve = None,
    insecure_bind: opt.InsecureBind = None,
    emit: opt.Emit = None,
    policy: opt.Policy = None,
    segments_file: opt.SegmentsFile = None,
    length: opt.Length = None,
    stride: opt.Stride = None,
    threshold: opt.Threshold = None,
    no_large: opt.NoLarge = False,
    torch_device: opt.Device = None,
    dtype: opt.Dtype = None,
    threads: opt.Threads = None,
    store: opt.Store = None,
    out: opt.Out = None,
    report: opt.Report = None,
    config: opt.ConfigFile = None,
    strict: opt.Strict = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Run a recording through the same path as live; the same file gives the same alerts."""
    from egomon.cli.names import default_name
    from egomon.cli.session import Session, parse_latency_model

    given = dict(locals())
    factor = _speed(speed)
    if publish is None:
        given["publish"] = []
        given["control"] = control or "none"
    label = name or default_name(video, set())
    settings = _settings(**_pick(given))
    session = Session(settings, out=out, report=report, json=json, quiet=quiet, expect=expect)
    summary = session.run(
        [(label, video, "file")],
        speed=factor,
        range_seconds=(start, end),
        latency_model=parse_latency_model(latency_model) if as_live else None,
    )
    if strict and summary.degraded:
        raise DegradedError("the run ended degraded: the large branch was not available")


_SETTING_OPTIONS = (
    "config",
    "model",
    "publish",
    "control",
    "curve",
    "insecure_bind",
    "emit",
    "policy",
    "segments_file",
    "length",
    "stride",
    "threshold",
    "no_large",
    "torch_device",
    "dtype",
    "threads",
    "store",
    "source",
    "evidence",
    "metrics",
)


def _pick(given: dict[str, Any]) -> dict[str, Any]:
    picked = {key: given[key] for key in _SETTING_OPTIONS if key in given}
    return (
        {**picked, "metrics": given["metrics"]}
        if "view" in given
        else {
            key: value
            for key, value in picked.items()
            if key not in {"source", "evidence", "metrics"}
        }
    )


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = -1.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"--speed {text!r} is neither `max` nor a number above 0")
    return factor
