"""Where a monitor publishes and answers unless it is told otherwise: this machine only."""

from __future__ import annotations

from collections.abc import Sequence

from egomon.errors import UsageError

PUBLISH = "tcp://127.0.0.1:5556"
CONTROL = "tcp://127.0.0.1:5557"
NO_CONTROL = "none"
ANY_PORT = (":*", ":0")
"""Ends of endpoints whose port the system chooses."""
MAX_PORT = 65535


def control_beside(endpoint: str, host: str | None = None) -> str | None:
    """Where a monitor answers unless it is told otherwise: one port above its event endpoint.

    Args:
        endpoint: of the events.
        host: None = the same.

    Returns:
        None where `endpoint` has no port that another is above.

    >>> control_beside("tcp://bench.local:6000"), control_beside("ipc:///run/events")
    ('tcp://bench.local:6001', None)
    """
    address, _, port = endpoint.rpartition(":")
    if not address.startswith("tcp://") or not port.isdecimal() or int(port) >= MAX_PORT:
        return None
    return f"{address if host is None else f'tcp://{host}'}:{int(port) + 1}"


def monitor_control(publish: Sequence[str], given: str | None) -> str | None:
    """Where a monitor answers requests: on this machine only, unless it is told otherwise.

    Args:
        publish: its event endpoints.
        given: what the user asks for; `none` = it answers none.

    Raises:
        UsageError: the endpoint is one of `publish`.
    """
    if given == NO_CONTROL:
        return None
    control = given or control_beside(next(iter(publish), PUBLISH), "127.0.0.1") or CONTROL
    if control in publish and not control.endswith(ANY_PORT):
        above = "" if given else " (one port above the first --pub)"
        raise UsageError(
            f"{control} is both --pub and --control{above}; give --control another address, or none"
        )
    return control
