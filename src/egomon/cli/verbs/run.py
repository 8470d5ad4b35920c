"""`egomon live` and `egomon replay`: one path, two policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egomon.cli import options as opt
from egomon.errors import DegradedError, UsageError

if TYPE_CHECKING:
    from egomon.cli.session import MonitorSession
    from egomon.config import Settings
    from egomon.monitor import RunSummary


_SHARED = (
    opt.publish,
    opt.control,
    opt.curve,
    opt.insecure_bind,
    opt.emit,
    opt.policy,
    opt.segments_file,
    opt.length,
    opt.stride,
    opt.threshold,
    opt.cycle,
    opt.no_large,
    opt.large_endpoint,
    opt.torch_device,
    opt.dtype,
    opt.engine,
    opt.threads,
    opt.profile,
    opt.store,
    opt.sink,
    opt.out,
    opt.report,
    opt.config,
    opt.strict,
    opt.quiet,
    opt.json,
)


def _with_shared(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options of both verbs, for the verb's `**shared`."""
    for option in reversed(_SHARED):
        verb = option(verb)
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
                "large": False if shared["no_large"] else None,
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


@click.command()
@click.option(
    "--device",
    "-d",
    multiple=True,
    callback=opt.given_or_none,
    help="Camera number, /dev path, stream URL, phone, zmq+tcp://..., pupil:// or synthetic:...; "
    "@FILE or env:NAME = the address is in there; may be repeated.",
)
@click.option(
    "--name", multiple=True, callback=opt.given_or_none, help="Topic name, one for each --device."
)
@opt.model
@click.option("--duration", help="Stop after this long, e.g. 10s or 5m.")
@click.option(
    "--wait-source", is_flag=True, default=None, help="Keep trying if the source is not there yet."
)
@click.option("--kind", help="Override what the source is: live or file.")
@click.option("--snapshot", is_flag=True, default=None, help="Attach a JPEG to each new alert.")
@click.option("--record-evidence", type=opt.PATH, help="Folder for a clip of each alert.")
@click.option("--blur-faces", type=opt.PATH, help="Blur faces in both, with YuNet's .onnx.")
@click.option("--describe", help="Ask this OpenAI-compatible endpoint what pictures show.")
@click.option("--metrics", help="Prometheus and health pages on host:port.")
@click.option("--view", is_flag=True, help="Serve a live page on this machine.")
@click.option(
    "--view-address",
    help="Serve it on host:port; other machines need the token that is then printed.",
)
@click.option(
    "--learn",
    type=opt.PATH,
    help="Folder of runs that are recorded and learned on the live page; a bundle that was "
    "learned there watches, unless --model names another.",
)
@click.option("--say", is_flag=True, help="This machine speaks alerts; as --sink say:.")
@click.option("--sound", is_flag=True, help="... plays a tone for each; as --sink sound:.")
@_with_shared
def live(
    device: list[str] | None,
    name: list[str] | None,
    model: str | None,
    duration: str | None,
    wait_source: bool | None,
    kind: str | None,
    snapshot: bool | None,
    record_evidence: Path | None,
    blur_faces: Path | None,
    describe: str | None,
    metrics: str | None,
    view: bool,
    view_address: str | None,
    learn: Path | None,
    say: bool,
    sound: bool,
    **shared: Any,
) -> None:
    """Watch cameras or streams and publish alerts until stopped."""
    from msgspec.structs import replace

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
        sinks = replace(found.sinks, uris=(*found.sinks.uris, *heard))
        return replace(found, sinks=sinks)

    settings = read_settings()
    page = view or learn is not None or settings.view.address is not None
    work = chosen_folder(learn, settings) if page else None
    if model is None and work is not None and work.steps.are_learned:
        model = str(work.bundle)
        settings = read_settings()
    session = _session(settings, shared, live_page=page, work=work, reread=read_settings)
    # A file stands in for a camera: it is watched at its own pace.
    _check(session.run(requests, speed=1.0, duration_seconds=seconds), shared)


@click.command()
@click.argument("video", help="Video file, or synthetic:...", metavar="VIDEO")
@opt.model
@click.option("--speed", default="max", help="`max`, or a factor of real time such as 1.0.")
@click.option("--start", type=float, default=0.0, help="First second to score.")
@click.option("--end", type=float, help="Second to stop at.")
@click.option(
    "--as-live", is_flag=True, help="Drop and expire as live would, on a simulated clock."
)
@click.option(
    "--latency-model",
    default="frame:20ms,large:400ms,jitter:0.2,seed:0",
    help="With --as-live: milliseconds a frame and a refinement take, and the seed.",
)
@click.option("--expect", type=opt.PATH, help="Compare the alerts with this file; exit 6.")
@click.option("--name", help="Topic name of the source.")
@click.option(
    "--wait-for-subscriber",
    help="With --pub: begin once somebody has subscribed, or after this long, e.g. 6s.",
)
@_with_shared
def replay(
    video: str,
    model: str | None,
    speed: str,
    start: float,
    end: float | None,
    as_live: bool,
    latency_model: str,
    expect: Path | None,
    name: str | None,
    wait_for_subscriber: str | None,
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
