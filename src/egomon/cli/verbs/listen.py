"""`egomon listen`: print what a monitor publishes. Never imports torch."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egomon import endpoints
from egomon.cli import options as opt
from egomon.errors import UsageError, WireError

if TYPE_CHECKING:
    from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber
    from egomon.fusion.transport.subscriber import AlertSubscriber

KINDS = ("alert", "segment", "status", "stats", "heartbeat", "gap")
FORMATS = ("pretty", "jsonl")


@click.command()
@click.argument(
    "endpoint",
    default=endpoints.PUBLISH,
    help="Event endpoint of the monitor, or mqtt(s)://BROKER for many monitors.",
    metavar="ENDPOINT",
)
@click.option(
    "--control", help="Request endpoint, for the snapshot; `none` = without; default: a port above."
)
@click.option(
    "--kind",
    "-k",
    multiple=True,
    callback=opt.given_or_none,
    help="alert (default), segment, status, stats, gap, all.",
)
@click.option("--source", help="Only this source.")
@click.option("--format", "-f", default="pretty", help="pretty or jsonl.")
@click.option("--duration", help="Stop after this long.")
@click.option("--count", "-n", type=int, help="Stop after this many messages.")
@click.option("--until-ended", is_flag=True, help="Stop when the source has ended.")
@click.option("--fail-on-gap", is_flag=True, help="Exit with 1 if messages were lost.")
@opt.curve
@click.option(
    "--topic",
    multiple=True,
    callback=opt.given_or_none,
    help="mqtt: filter, `egomon/#` by default; may be repeated.",
)
@click.option("--name", default="", help="mqtt: the broker keeps what this listener misses.")
def listen(
    endpoint: str,
    control: str | None,
    kind: list[str] | None,
    source: str | None,
    format: str,
    duration: str | None,
    count: int | None,
    until_ended: bool,
    fail_on_gap: bool,
    curve: Path | None,
    topic: list[str] | None,
    name: str,
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
