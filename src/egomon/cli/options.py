"""Options that several verbs share, and how they become settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.monitor.messages import LatencyModel

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Bundle: a name (`egomon models`), a folder or a hub id."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file (TOML).", dir_okay=False)
]
Publish = Annotated[
    list[str] | None,
    typer.Option("--pub", help="ZeroMQ endpoint for alerts; may be given more than once."),
]
Control = Annotated[
    str | None,
    typer.Option(
        "--control",
        help="ZeroMQ endpoint for requests; `none` = without; default: on this machine, one port "
        "above the first --pub.",
    ),
]
Curve = Annotated[
    Path | None, typer.Option("--curve", help="Folder of keys made by `egomon keygen`.")
]
InsecureBind = Annotated[
    bool | None,
    typer.Option("--insecure-bind", help="Allow other machines in without keys."),
]
Emit = Annotated[
    str | None,
    typer.Option("--emit", help="gated (default), provisional or small-only."),
]
Policy = Annotated[str | None, typer.Option("--policy", help="Segments: fixed, activity or given.")]
SegmentsFile = Annotated[
    Path | None,
    typer.Option("--segments-file", help="segments.jsonl with given spans (start, end)."),
]
Length = Annotated[float | None, typer.Option("--length", help="Fixed windows: seconds.")]
Stride = Annotated[float | None, typer.Option("--stride", help="Fixed windows: stride, seconds.")]
Cycle = Annotated[
    str | None,
    typer.Option(
        "--cycle", help="Taught work begins anew by itself (auto, default) or on demand (manual)."
    ),
]
NoLarge = Annotated[bool, typer.Option("--no-large", help="Small branch only.")]
LargeEndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--large-endpoint",
        help="vLLM server of the large branch, e.g. http://gpu:8000/v1; key: EGOMON_LARGE_API_KEY.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Probability that raises an alert, both stages."),
]
Device = Annotated[str | None, typer.Option("--torch-device", help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help="Encoders: auto, float32, bfloat16, or int8."),
]
ThreadCount = Annotated[int | None, typer.Option("--threads", help="Threads of a network.")]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="`small` = settings for 2 to 4 GB of memory, below --config."),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Networks: auto (ONNX on the CPU where the bundle has it, else torch), torch, onnx, "
        "cuda, tensorrt, openvino or coreml.",
    ),
]
Store = Annotated[
    str | None, typer.Option("--store", help="Event store, SQLite file; `none` = memory only.")
]
SinkUris = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        help="Also send events to file:PATH, http(s)://..., exec:COMMAND, mqtt(s)://..., "
        "apprise:URL, say:, sound: or NAME:... of an installed package; @FILE or env:NAME = the "
        "address is in there; may be repeated.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write each alert revision as a JSON line.")
]
Report = Annotated[Path | None, typer.Option("--report", help="Write an HTML report when done.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No dashboard and no progress.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 7 if the run ended degraded.")]


def folder(text: str) -> Path:
    """Open a folder of a feature set: a path, or an address, which is tried.

    Raises:
        UsageError: the address does not answer.
    """
    from egomon.train.features.folders import open_folder

    return open_folder(text)


def parse_duration(text: str | None) -> float | None:
    """Convert `10s`, `200ms`, `5m`, `1h` or a plain number to seconds.

    Raises:
        UsageError: none of these.

    >>> parse_duration("1.5m")
    90.0
    """
    if text is None:
        return None
    units = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    for unit in ("ms", "s", "m", "h"):
        if text.endswith(unit):
            number, factor = text[: -len(unit)], units[unit]
            break
    else:
        number, factor = text, 1.0
    try:
        seconds = float(number) * factor
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{text!r} is not a duration; write 10s, 200ms, 5m or 1h")
    return seconds


def parse_speed(text: str) -> float:
    """Convert `max` to 0, and `1.0` or `4x` to a factor of real time.

    Raises:
        UsageError: none of these.
    """
    if text == "max":
        return 0.0
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = -1.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"--speed {text!r} is neither `max` nor a number above 0")
    return factor


def parse_latency_model(text: str) -> LatencyModel:
    """Parse `frame:20ms,large:400ms,jitter:0.2,seed:0`, in any order, all optional.

    Raises:
        UsageError: an unknown word or a bad number.
    """
    from egomon.monitor.messages import LatencyModel

    values: dict[str, Any] = {}
    names = {"frame": "frame_ms", "large": "large_ms", "jitter": "jitter", "seed": "seed"}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition(":")
        if key not in names:
            raise UsageError(f"--latency-model: unknown {key!r}; known: {', '.join(names)}")
        try:
            number = float(value.removesuffix("ms"))
        except ValueError as error:
            raise UsageError(f"--latency-model: {part!r} is not a number") from error
        values[names[key]] = int(number) if key == "seed" else number
    return LatencyModel(**values)


def flags(**sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Build sections for `load_settings`; None stands for options that were not given."""
    return sections


def no_large(given: bool) -> bool | None:
    """Convert the flag --no-large to the setting `model.large`."""
    return False if given else None
