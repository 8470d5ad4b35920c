"""The checks of `egomon doctor --security`: what is open, and to whom."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from egomon import endpoints
from egomon.cli.doctor.machine import CheckResult
from egomon.stream.redact import redact

if TYPE_CHECKING:
    from egomon.config import Settings

PROCESSES = Path("/proc")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def security_checks(config: Path | None) -> Iterator[CheckResult]:
    """Check the settings that `live` would use here.

    Raises:
        ConfigError: they cannot be read, or belong to somebody else.
    """
    from egomon.config import config_path, load_settings

    found = config_path(config)
    settings = load_settings(config)
    if found is None:
        yield CheckResult("settings", "ok", "no settings file; the defaults open nothing")
    else:
        yield from _changed_by_others(found)
    yield from _addresses(settings)
    if settings.bus.curve is not None:
        yield from _read_by_others("key", sorted(settings.bus.curve.glob("*.key_secret")))
    yield from _read_by_others("data", _data(settings))
    yield from _command_lines(PROCESSES)


def _changed_by_others(path: Path) -> Iterator[CheckResult]:
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        advice = f"chown it to yourself and chmod go-w {path}"
        yield CheckResult("settings", "warning", f"others may change {path}", advice)
    else:
        yield CheckResult("settings", "ok", f"only you may change {path}")


def _addresses(settings: Settings) -> Iterator[CheckResult]:
    from egomon.fusion.transport.sockets import is_local

    bus = settings.bus
    control = endpoints.monitor_control(bus.publish, bus.control)
    for endpoint in (*bus.publish, *((control,) if control else ())):
        if is_local(endpoint):
            yield CheckResult("bus", "ok", f"{endpoint}: this machine only")
        elif bus.curve is not None:
            yield CheckResult("bus", "ok", f"{endpoint}: the network, with keys from {bus.curve}")
        else:
            advice = "give --curve DIR (egomon keygen DIR)"
            yield CheckResult("bus", "error", f"{endpoint}: the network, without keys", advice)
    for name, address in (("metrics", settings.metrics.address), ("page", settings.view.address)):
        if address is None:
            continue
        if is_local(f"tcp://{address}"):
            yield CheckResult(name, "ok", f"{address}: this machine only")
        elif name == "page":
            yield CheckResult(name, "ok", f"{address}: the network, with the token it prints")
        else:
            advice = f"use 127.0.0.1:{address.rpartition(':')[2]}, or a proxy that asks who it is"
            yield CheckResult(name, "warning", f"{address}: the network, without keys", advice)


def _data(settings: Settings) -> list[Path]:
    from egomon.monitor.storage import store_path

    store, evidence = store_path(settings, live=True), settings.evidence.folder
    return [path for path in (store, evidence) if path is not None and path.exists()]


def _read_by_others(name: str, paths: Iterable[Path]) -> Iterator[CheckResult]:
    for path in paths:
        if path.stat().st_mode & _OTHERS:
            advice = f"chmod go= {path}"
            yield CheckResult(name, "warning", f"other users may read {path}", advice)
        else:
            yield CheckResult(name, "ok", f"only you may read {path}")


def _command_lines(processes: Path) -> Iterator[CheckResult]:
    """Look at the command lines of running monitors, which every user of the machine sees."""
    bare = []
    for path in sorted(processes.glob("[0-9]*/cmdline")):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or is somebody else's
        is_monitor = any("egomon" in Path(word).name for word in words[:3])
        if is_monitor and any(redact(word) != word for word in words):
            bare.append(path.parent.name)
    if bare:
        advice = "write the address into a file and give --device @FILE, or --device env:NAME"
        found = f"a password stands in the command line of process {', '.join(bare)}"
        yield CheckResult("secrets", "warning", found, advice)
    elif processes.is_dir():
        yield CheckResult("secrets", "ok", "no running monitor has one in its command line")
