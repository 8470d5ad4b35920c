"""`egomon fleet`: all monitors that a broker knows, in one table. Never imports torch."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import click

from egomon.cli import options as opt
from egomon.errors import ConfigError, UsageError


@click.command()
@click.argument("broker", help="mqtt(s)://BROKER.", metavar="BROKER")
@click.option(
    "--topic",
    multiple=True,
    callback=opt.given_or_none,
    help="Filter of topics, `egomon/#` by default; may be repeated.",
)
@click.option("--duration", default="2s", help="How long to read what the broker holds.")
@click.option("--watch", is_flag=True, help="Go on and show changes.")
@opt.json
def fleet(broker: str, topic: list[str] | None, duration: str, watch: bool, json: bool) -> None:
    """Show each monitor's state, last heartbeat, open alerts, version and bundle."""
    from egomon.fusion.transport.fleet import FLEET_KINDS, Fleet
    from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber
    from egomon.fusion.transport.subscriber_events import Stale

    if not broker.lower().startswith(("mqtt://", "mqtts://")):
        raise UsageError("fleet reads from a broker; write egomon fleet mqtt://HOST[:PORT]")
    if watch and json:
        raise UsageError("--watch is for people; call with --json as often as you like")
    seconds = opt.parse_duration(duration)
    assert seconds is not None
    found = Fleet()
    with MqttSubscriber(
        broker, topics=topic or ("egomon/#",), kinds=FLEET_KINDS, presence=True
    ) as subscriber:
        stop_at = time.monotonic() + seconds
        while (left := stop_at - time.monotonic()) > 0:
            event = subscriber.receive(left)
            if event is not None and not isinstance(event, Stale):
                found.add(event)
        if not subscriber.connected:
            raise ConfigError(f"{subscriber.shown} cannot be reached; is the broker running?")
        if json:
            import msgspec

            sys.stdout.write(msgspec.json.encode(found.rows(datetime.now(UTC))).decode() + "\n")
            return
        from egomon.cli.fleet_table import print_fleet, watch_fleet

        if watch:
            watch_fleet(found, subscriber)
        else:
            print_fleet(found.rows(datetime.now(UTC)))
