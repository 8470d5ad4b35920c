"""`egomon listen`: print what a monitor publishes. Never imports torch."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from egomon import endpoints
from egomon.cli import options as opt
from egomon.errors import UsageError, WireError

if TYPE_CHECKING:
    from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber
    from egomon.fusion.transport.subscriber import AlertSubscriber

KINDS = ("alert", "segment", "status", "stats", "heartbeat", "gap")
FORMATS = ("pretty", "jsonl")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(listen)


def listen(
    endpoint: Annotated[
        str,
        typer.Argument(
            help="Event endpoint of the monitor, or mqtt(s)://BROKER for many monitors.",
            metavar="ENDPOINT",
        ),
    ] = endpoints.PUBLISH,
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            help="Request endpoint, for the snapshot; `none` = without; default: a port above.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", help="alert (default), segment, status, stats, gap, all."),
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="pretty or jsonl.")] = "pretty",
    duration: Annotated[
        str | None, typer.Option("--duration", help="Stop after this long.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="Stop after this many messages.")
    ] = None,
    until_ended: Annotated[
        bool, typer.Option("--until-ended", help="Stop when the source has ended.")
    ] = False,
    fail_on_gap: Annotated[
        bool, typer.Option("--fail-on-gap", help="Exit with 1 if messages were lost.")
    ] = False,
    curve: opt.Curve = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="mqtt: filter, `egomon/#` by default; may be repeated."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="mqtt: the broker keeps what this listener misses.")
    ] = "",
) -> None:
    """Print alerts as they come; `jsonl` gives one envelope a line."""
    from egomon.fusion.messages.message import Message

    if format not in FORMATS:
        raise UsageError(f"--format {format!r} is not one of: {', '.join(FORMATS)}")
    kinds = _kinds(kind)
    wanted = (*kinds, "status") if until_ended and "status" not in kinds else kinds
    seconds = opt.parse_duration(duration)
    stop_at = None if seconds is None else time.monotonic() + seconds
    printed = 0
    subscriber: MqttSubscriber | AlertSubscriber
    if endpoint.lower().startswith(("mqtt://", "mqtts://")):
        from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber

        subscriber = MqttSubscriber(
            endpoint, topics=topic or ("egomon/#",), kinds=wanted, source=source, name=name
        )
    elif topic or name:
        raise UsageError("--topic and --name are of brokers; write listen mqtt://BROKER")
    else:
        from egomon.fusion.transport.keys import CurveConfig
        from egomon.fusion.transport.subscriber import AlertSubscriber

        subscriber = AlertSubscriber(
            endpoint,
            control=_control(endpoint, control),
            source=source,
            kinds=wanted,
            curve=None if curve is None else CurveConfig.client(curve),
        )
    with subscriber:
        while stop_at is None or time.monotonic() < stop_at:
            event = subscriber.receive(0.25)
            if event is None:
                continue
            if isinstance(event, Message):
                if event.kind in kinds:
                    _print_message(event, format)
                    printed += 1
                if until_ended and getattr(event.data, "source_state", "") == "ended":
                    return
                if count is not None and printed >= count:
                    return
            else:
                _print_other(event, fail_on_gap)


def _kinds(given: list[str] | None) -> tuple[str, ...]:
    if not given:
        return ("alert",)
    if "all" in given:
        return KINDS
    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise UsageError(f"--kind {unknown[0]!r} is not one of: {', '.join(KINDS)}, all")
    return tuple(dict.fromkeys(given))


def _control(endpoint: str, given: str | None) -> str | None:
    if given is None:
        return endpoints.control_beside(endpoint)
    return None if given == endpoints.NO_CONTROL else given


def _print_message(event: Any, format: str) -> None:
    import msgspec

    if format == "jsonl":
        sys.stdout.write(msgspec.json.encode(event.envelope).decode() + "\n")
    else:
        from egomon.cli.printing import line_of

        site = getattr(event, "site", "")
        source = f"{site}/{event.source}" if site else event.source
        sys.stdout.write(line_of(source, event.kind, event.data) + "\n")
    sys.stdout.flush()


def _print_other(event: Any, fail_on_gap: bool) -> None:
    from egomon.fusion.transport.subscriber import Gap

    if fail_on_gap and isinstance(event, Gap):
        raise WireError(str(event))
    sys.stderr.write(f"egomon: {event}\n")
