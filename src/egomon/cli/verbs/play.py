"""`egomon play`: publish a recorded session again, to build and test an app on. No torch."""

from __future__ import annotations

from pathlib import Path

import click

from egomon import endpoints
from egomon.cli import options as opt
from egomon.cli.stdout import say


@click.command()
@click.argument(
    "session",
    type=opt.PATH,
    help="Recorded session (from `--sink file:PATH` or `egomon listen --kind all --format "
    "jsonl`) or event store, whose last run is played.",
    metavar="SESSION",
)
@click.option("--speed", default="1.0", help="Factor of the recorded time such as 1.0, or `max`.")
@opt.publish
@opt.control
@opt.curve
@opt.insecure_bind
def play(
    session: Path,
    speed: str,
    publish: list[str] | None,
    control: str | None,
    curve: Path | None,
    insecure_bind: bool | None,
) -> None:
    """Publish a recorded session again with its own times: no camera, no model."""
    import secrets
    import socket

    from egomon.fusion.transport.keys import CurveConfig
    from egomon.monitor.playback import Playback, open_session

    publish = publish or [endpoints.PUBLISH]
    playback = Playback(
        publish,
        endpoints.monitor_control(publish, control),
        boot=secrets.token_hex(4),
        host=socket.gethostname(),
        speed=opt.parse_speed(speed),
        curve=None if curve is None else CurveConfig.server(curve),
        insecure_bind=bool(insecure_bind),
    )
    with playback:
        count = playback.run(open_session(session))
    say(f"{session}: {count} messages published")
