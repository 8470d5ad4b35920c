"""Options that several verbs share, and how they become settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.monitor.messages import LatencyModel

PATH = click.Path(path_type=Path)


class Group(click.Group):
    """Lists its verbs as they are written, each with its whole sentence; click sorts and cuts."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help or "") for name, verb in verbs_of(self).items()])


def verbs_of(command: click.Command) -> dict[str, click.Command]:
    """The verbs directly below one, by name; none where there are none."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: verb for name, verb in found.items() if verb is not None}


def given_or_none(
    context: click.Context, option: click.Parameter, values: tuple[Any, ...]
) -> list[Any] | None:
    """None, as for every other option, where one that may be repeated was not given."""
    return list(values) or None


model = click.option(
    "--model", "-m", help="Bundle: a name (`egomon models`), a folder or a hub id."
)
json = click.option("--json", is_flag=True, help="Print JSON on stdout.")
config = click.option(
    "--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (TOML)."
)
publish = click.option(
    "--pub",
    "publish",
    multiple=True,
    callback=given_or_none,
    help="ZeroMQ endpoint for alerts; may be given more than once.",
)
control = click.option(
    "--control",
    help="ZeroMQ endpoint for requests; `none` = without; default: on this machine, one port "
    "above the first --pub.",
)
curve = click.option("--curve", type=PATH, help="Folder of keys made by `egomon keygen`.")
insecure_bind = click.option(
    "--insecure-bind", is_flag=True, default=None, help="Allow other machines in without keys."
)
emit = click.option("--emit", help="gated (default), provisional or small-only.")
policy = click.option("--policy", help="Segments: fixed, activity or given.")
segments_file = click.option(
    "--segments-file", type=PATH, help="segments.jsonl with given spans (start, end)."
)
length = click.option("--length", type=float, help="Fixed windows: seconds.")
stride = click.option("--stride", type=float, help="Fixed windows: stride, seconds.")
cycle = click.option(
    "--cycle", help="Taught work begins anew by itself (auto, default) or on demand (manual)."
)
no_large = click.option("--no-large", is_flag=True, help="Small branch only.")
large_endpoint = click.option(
    "--large-endpoint",
    help="vLLM server of the large branch, e.g. http://gpu:8000/v1; key: EGOMON_LARGE_API_KEY.",
)
threshold = click.option(
    "--threshold", type=float, help="Probability that raises an alert, both stages."
)
torch_device = click.option("--torch-device", help="auto, cpu, cuda or cuda:N.")
dtype = click.option("--dtype", help="Encoders: auto, float32, bfloat16, or int8.")
threads = click.option("--threads", type=int, help="Threads of a network.")
profile = click.option(
    "--profile", help="`small` = settings for 2 to 4 GB of memory, below --config."
)
engine = click.option(
    "--engine",
    help="Networks: auto (ONNX on the CPU where the bundle has it, else torch), torch, onnx, "
    "cuda, tensorrt, openvino or coreml.",
)
store = click.option("--store", help="Event store, SQLite file; `none` = memory only.")
sink = click.option(
    "--sink",
    multiple=True,
    callback=given_or_none,
    help="Also send events to file:PATH, http(s)://..., exec:COMMAND, mqtt(s)://..., "
    "apprise:URL, say:, sound: or NAME:... of an installed package; @FILE or env:NAME = the "
    "address is in there; may be repeated.",
)
out = click.option("--out", "-o", type=PATH, help="Write each alert revision as a JSON line.")
report = click.option("--report", type=PATH, help="Write an HTML report when done.")
quiet = click.option("--quiet", "-q", is_flag=True, help="No dashboard and no progress.")
strict = click.option("--strict", is_flag=True, help="Exit with 7 if the run ended degraded.")


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
