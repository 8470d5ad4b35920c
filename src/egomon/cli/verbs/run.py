"""`egomon live` and `egomon replay`: one path, two policies."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from egomon.cli import options as opt
from egomon.errors import DegradedError, UsageError

if TYPE_CHECKING:
    from egomon.cli.session import MonitorSession
    from egomon.config import Settings
    from egomon.monitor import RunSummary


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(_with_shared(live))
    app.command()(_with_shared(replay))


def _shared(
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
    cycle: opt.Cycle = None,
    no_large: opt.NoLarge = False,
    large_endpoint: opt.LargeEndpointUrl = None,
    torch_device: opt.Device = None,
    dtype: opt.Dtype = None,
    engine: opt.Engine = None,
    threads: opt.ThreadCount = None,
    profile: opt.Profile = None,
    store: opt.Store = None,
    sink: opt.SinkUris = None,
    out: opt.Out = None,
    report: opt.Report = None,
    config: opt.ConfigFile = None,
    strict: opt.Strict = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Declare the options of both verbs."""


def _with_shared(verb: Callable[..., None]) -> Callable[..., None]:
    """Insert the shared options for the verb's `**shared`."""
    own, shared = (inspect.signature(each, eval_str=True).parameters for each in (verb, _shared))
    parameters = [*list(own.values())[:-1], *shared.values()]
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return verb


def _settings(model: str | None, shared: dict[str, Any], **sections: dict[str, Any]) -> Settings:
    """Merge settings; `sections` are those that the verb itself sets."""
    from egomon.cli.names import dereference
    from egomon.config import load_settings

    publish, sinks = shared["publish"], shared["sink"]
    return load_settings(
        shared["config"],
        opt.flags(
            model={
                "name": model,
                "device": shared["torch_device"],
                "dtype": shared["dtype"],
                "engine": shared["engine"],
                "threads": shared["threads"],
                "large": opt.no_large(shared["no_large"]),
            },
            large={"endpoint": shared["large_endpoint"]},
            segments={
                "policy": shared["policy"],
                "file": shared["segments_file"],
                "length_seconds": shared["length"],
                "stride_seconds": shared["stride"],
            },
            decision={
                "emit": shared["emit"],
                "threshold_fused": shared["threshold"],
                "threshold_small": shared["threshold"],
            },
            bus={
                "publish": tuple(publish) if publish is not None else None,
                "control": shared["control"],
                "curve": shared["curve"],
                "insecure_bind": shared["insecure_bind"],
            },
            store={"path": shared["store"]},
            sinks={
                "uris": None
                if sinks is None
                else tuple(dereference(each, option="--sink") for each in sinks)
            },
            source={"cycle": shared["cycle"], **sections.pop("source", {})},
            **sections,
        ),
        _profile(model, shared),
    )


def _profile(model: str | None, shared: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The settings of --profile, for the bundle that the other settings name."""
    if shared["profile"] is None:
        return None
    from egomon.branches.bundle.locate import find_bundle, read_card
    from egomon.config import load_settings
    from egomon.profiles import profile

    named = load_settings(shared["config"], {"model": {"name": model}}).model.name
    return profile(shared["profile"], read_card(find_bundle(named)))


def _session(settings: Settings, shared: dict[str, Any], **more: Any) -> MonitorSession:
    from egomon.cli.session import MonitorSession

    told = {key: shared[key] for key in ("out", "report", "json", "quiet")}
    return MonitorSession(settings, **told, **more)


def _check(summary: RunSummary, shared: dict[str, Any]) -> None:
    if shared["strict"] and summary.degraded:
        raise DegradedError("the run ended degraded: the large branch was not available")


def live(
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="Camera number, /dev path, stream URL, phone, zmq+tcp://..., pupil:// or "
            "synthetic:...; @FILE or env:NAME = the address is in there; may be repeated.",
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
    blur_faces: Annotated[
        Path | None, typer.Option("--blur-faces", help="Blur faces in both, with YuNet's .onnx.")
    ] = None,
    describe: Annotated[
        str | None,
        typer.Option("--describe", help="Ask this OpenAI-compatible endpoint what pictures show."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Prometheus and health pages on host:port.")
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Serve a live page on this machine.")
    ] = False,
    view_address: Annotated[
        str | None,
        typer.Option(
            "--view-address",
            help="Serve it on host:port; other machines need the token that is then printed.",
        ),
    ] = None,
    learn: Annotated[
        Path | None,
        typer.Option(
            "--learn",
            help="Folder of runs that are recorded and learned on the live page; a bundle that was "
            "learned there watches, unless --model names another.",
        ),
    ] = None,
    say: Annotated[
        bool, typer.Option("--say", help="This machine speaks alerts; as --sink say:.")
    ] = False,
    sound: Annotated[
        bool, typer.Option("--sound", help="... plays a tone for each; as --sink sound:.")
    ] = False,
    **shared: Any,
) -> None:
    """Watch cameras or streams and publish alerts until stopped."""
    from egomon.cli.names import default_name, dereference
    from egomon.cli.page.folder import chosen_folder

    seconds = opt.parse_duration(duration)
    heard = [*(["say:"] if say else []), *(["sound:"] if sound else [])]
    references = [dereference(each, option="--device") for each in device or ["0"]]
    names = list(name or [])
    if names and len(names) != len(references):
        raise UsageError(f"{len(references)} --device but {len(names)} --name: give one for each")
    requests, taken = [], set[str]()
    for index, reference in enumerate(references):
        label = names[index] if names else default_name(reference, taken, live=True)
        taken.add(label)
        requests.append((label, reference, None))

    def read_settings() -> Settings:
        found = _settings(
            model,
            shared,
            source={"kind": kind, "wait": wait_source},
            evidence={
                "snapshot": snapshot,
                "folder": record_evidence,
                "blur_faces": blur_faces,
                "describe": describe,
            },
            metrics={"address": metrics},
            view={"address": view_address},
        )
        sinks = found.sinks.model_copy(update={"uris": (*found.sinks.uris, *heard)})
        return found.model_copy(update={"sinks": sinks})

    settings = read_settings()
    page = view or learn is not None or settings.view.address is not None
    work = chosen_folder(learn, settings) if page else None
    if model is None and work is not None and work.steps.are_learned:
        model = str(work.bundle)
        settings = read_settings()
    session = _session(settings, shared, live_page=page, work=work, reread=read_settings)
    # A file stands in for a camera: it is watched at its own pace.
    _check(session.run(requests, speed=1.0, duration_seconds=seconds), shared)


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
    wait_for_subscriber: Annotated[
        str | None,
        typer.Option(
            "--wait-for-subscriber",
            help="With --pub: begin once somebody has subscribed, or after this long, e.g. 6s.",
        ),
    ] = None,
    **shared: Any,
) -> None:
    """Run a recording through the same path as live; the same file gives the same alerts."""
    from egomon.cli.names import default_name

    factor = opt.parse_speed(speed)
    awaited = opt.parse_duration(wait_for_subscriber)
    if awaited is not None and not shared["publish"]:
        raise UsageError("--wait-for-subscriber belongs to --pub, which somebody can subscribe to")
    if shared["publish"] is None:  # a replay is no service unless it is asked to be one
        shared |= {"publish": [], "control": shared["control"] or "none"}
    session = _session(_settings(model, shared), shared, expect=expect)
    summary = session.run(
        [(name or default_name(video, set()), video, "file")],
        speed=factor,
        range_seconds=(start, end),
        latency_model=opt.parse_latency_model(latency_model) if as_live else None,
        subscriber_seconds=awaited or 0.0,
    )
    _check(summary, shared)
