"""The checks of `egomon doctor`: each finding says what to do about it."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from egomon.branches.threads import usable_cores
from egomon.errors import EgomonError, PluginError

# The event store and its clips may grow to more than is left below this.
LEAST_FREE_GB = 1.0
SELF_TEST_SECONDS = 5
PACKAGES = ("onnxruntime", "numpy", "av", "pyzmq")
# A board sold with 4 GB reports a little more or less.
LITTLE_MEMORY_GB = 4.5
PORTS = (5556, 5557)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check: a line of `egomon doctor`."""

    name: str
    level: Literal["ok", "warning", "error"]
    detail: str
    advice: str = ""


Check: TypeAlias = tuple[str, Callable[[], Iterator[CheckResult]]]
"""Name, and what looks."""


def run_checks(model: str, *, source: str | None, chaos: bool) -> list[CheckResult]:
    """Run all checks of the machine."""
    checks: list[Check] = [
        ("python", _python),
        ("packages", _packages),
        ("plug-ins", _plugins),
        ("extras", _extras),
        ("engines", _engines),
        ("priority", _priority),
        ("codecs", _codecs),
        ("curve", _curve),
        ("cameras", _cameras),
        ("disk", _disk),
        ("ports", _ports),
        ("bundle", lambda: _bundle(model)),
        ("self-test", lambda: _self_test(model, chaos)),
    ]
    if source is not None:
        checks.append(("source", lambda: _source(source)))
    return findings_of(checks)


def findings_of(checks: Iterable[Check]) -> list[CheckResult]:
    """Run checks; an exception in one of them becomes a result of level error."""
    findings: list[CheckResult] = []
    for name, check in checks:
        try:
            findings += list(check())
        except EgomonError as error:
            findings.append(CheckResult(name, "error", str(error)))
        except Exception as error:  # the doctor must not die of what it looks for
            findings.append(CheckResult(name, "error", f"{type(error).__name__}: {error}"))
    return findings


def _python() -> Iterator[CheckResult]:
    yield CheckResult("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _packages() -> Iterator[CheckResult]:
    for name in PACKAGES:
        yield CheckResult(name, "ok", importlib.metadata.version(name))


def _plugins() -> Iterator[CheckResult]:
    from egomon.cli.plugins import installed

    for registry, plugin in installed():
        try:
            registry.find(plugin.name)
            registry.load(plugin)
        except PluginError as error:
            yield CheckResult("plug-in", "error", str(error))
        else:
            yield CheckResult("plug-in", "ok", str(plugin))


def _extras() -> Iterator[CheckResult]:
    from egomon.extras import EXTRAS, USES, is_installed

    for extra in EXTRAS:
        if is_installed(extra):
            yield CheckResult(f"extra {extra}", "ok", "installed")
        else:
            detail = f"not installed; for {USES[extra]}: pip install 'egomon[{extra}]'"
            yield CheckResult(f"extra {extra}", "ok", detail)


def _engines() -> Iterator[CheckResult]:
    import onnxruntime

    from egomon.branches.onnx.session import PROVIDERS
    from egomon.extras import is_installed

    there = onnxruntime.get_available_providers()
    usable = [name for name, provider in PROVIDERS.items() if provider in there]
    yield CheckResult("engines", "ok", f"ONNX Runtime, --engine {', '.join(usable)}")
    if is_installed("torch"):
        import torch

        if torch.cuda.is_available():
            yield CheckResult("gpu", "ok", torch.cuda.get_device_name(0))
        else:
            advice = "a large branch of real size needs one; small bundles run without"
            yield CheckResult("gpu", "warning", "no CUDA device, models run on the CPU", advice)
    yield CheckResult("cores", "ok", f"{usable_cores()} usable")
    gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if gb < LITTLE_MEMORY_GB or platform.machine() in ("aarch64", "armv7l"):
        advice = "try --profile small; see the page on Raspberry Pi and Jetson"
        yield CheckResult("memory", "ok", f"{gb:.1f} GB on {platform.machine()}", advice)
    else:
        yield CheckResult("memory", "ok", f"{gb:.1f} GB")


def _priority() -> Iterator[CheckResult]:
    from egomon.stream.priority import nice_stays_in_session, raise_priority

    granted: list[str] = []
    asking = threading.Thread(target=lambda: granted.append(raise_priority()))  # keeps it: it ends
    asking.start()
    asking.join()
    if granted == ["usual"]:
        advice = "on a busy machine allow it: `ulimit -e 30`, or LimitNICE=-10 in the systemd unit"
        detail = "capture and alerts run like any other program"
        yield CheckResult("priority", "ok", detail, advice)
    else:
        advice = ""
        if granted == ["nice"] and nice_stays_in_session():
            advice = (
                "against programs of other sessions a nice value may not count here (autogroup); "
                "real time does: `ulimit -r 1`, or LimitRTPRIO=1 in the systemd unit"
            )
        detail = f"capture and alerts run before others ({granted[0]})"
        yield CheckResult("priority", "ok", detail, advice)


def _codecs() -> Iterator[CheckResult]:
    import av

    missing = [name for name in ("h264", "hevc", "mjpeg") if name not in av.codecs_available]
    if missing:
        yield CheckResult("codecs", "warning", f"missing: {', '.join(missing)}", "reinstall av")
    else:
        yield CheckResult("codecs", "ok", "h264, hevc, mjpeg")


def _curve() -> Iterator[CheckResult]:
    import zmq

    if zmq.has("curve"):
        yield CheckResult("encryption", "ok", f"keys work (CURVE, libzmq {zmq.zmq_version()})")
    else:
        yield CheckResult(
            "encryption", "warning", "libzmq lacks CURVE", "alerts stay on this machine"
        )


def _cameras() -> Iterator[CheckResult]:
    from egomon.stream.sources.webcam.camera_list import list_devices

    found = list_devices()
    if not found:
        advice = "plug one in, or give a stream's URL; `egomon replay FILE` needs no camera"
        yield CheckResult("cameras", "warning", "none found", advice)
    for device in found:
        yield CheckResult("camera", "ok", f"{device.index}: {device.name} ({device.path})")


def _disk() -> Iterator[CheckResult]:
    import platformdirs

    folder = Path(platformdirs.user_data_dir("egomon"))
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < LEAST_FREE_GB:
        yield CheckResult(
            "disk", "warning", f"{free_gb:.1f} GB free at {existing}", "free some space"
        )
    else:
        yield CheckResult("disk", "ok", f"{free_gb:.0f} GB free for the event store")


def _ports() -> Iterator[CheckResult]:
    for port in PORTS:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if taken:
            advice = "another monitor runs? choose others with --pub and --control"
            yield CheckResult(f"port {port}", "warning", "in use", advice)
        else:
            yield CheckResult(f"port {port}", "ok", "free")


def _bundle(model: str) -> Iterator[CheckResult]:
    from egomon.branches.load_bundle import load_bundle
    from egomon.branches.onnx.forms import LARGE
    from egomon.extras import is_installed

    begin = time.perf_counter()
    bundle = load_bundle(model)
    seconds = time.perf_counter() - begin
    note = "; a demonstration, not for real work" if bundle.card.demonstration else ""
    yield CheckResult("bundle", "ok", f"{bundle.model_id} loads in {seconds:.1f} s{note}")
    runs = getattr(bundle.encoder, "backend", "an encoder of another package")
    yield CheckResult("frame encoder", "ok", runs)
    if bundle.card.large is None:
        return
    if LARGE in bundle.card.runtime:
        yield CheckResult("large branch", "ok", "ONNX Runtime")
    elif is_installed("torch"):
        yield CheckResult("large branch", "ok", "torch")
    else:
        advice = "pip install 'egomon[torch]', or run with --no-large"
        yield CheckResult("large branch", "warning", "has no ONNX form and needs torch", advice)


def _self_test(model: str, chaos: bool) -> Iterator[CheckResult]:
    from egomon.config import load_settings
    from egomon.monitor import Monitor, SourceRequest

    reference = f"synthetic:seed=0,seconds={SELF_TEST_SECONDS},fps=30"
    if chaos:
        reference = f"chaos:0:{reference}"
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            None,
            {
                "model": {"name": model},
                "bus": {"publish": (), "control": "none"},
                "store": {"path": str(Path(folder) / "events.sqlite")},
            },
        )
        begin = time.perf_counter()
        summary = Monitor([SourceRequest.of("self-test", reference, "file")], settings).run()
        seconds = time.perf_counter() - begin
    detail = (
        f"{SELF_TEST_SECONDS} s of drawn video in {seconds:.1f} s: "
        f"{summary.frames.get('decoded', 0)} frames read, {summary.frames.get('encoded', 0)} taken "
        f"for the model, {summary.segments} scored"
    )
    if chaos:
        drops = {k: v for k, v in summary.frames.items() if k.startswith("dropped_")}
        detail += f", dropped {drops}"
    yield CheckResult("self-test", "ok" if summary.frames.get("encoded") else "error", detail)


def _source(reference: str) -> Iterator[CheckResult]:
    from egomon.stream.sources.open import open_source

    begin = time.perf_counter()
    with open_source(reference, name="doctor") as source:
        opened = time.perf_counter() - begin
        times = []
        for _ in range(10):
            grab = source.read()
            if grab is None:
                break
            times.append(grab.t_seconds)
        info = source.info
    rising = all(a < b for a, b in itertools.pairwise(times))
    level: Literal["ok", "error"] = "ok" if times and rising else "error"
    detail = f"{info.width}x{info.height}, open in {opened:.2f} s, {len(times)} frames read"
    yield CheckResult("source", level, detail)


__all__ = ["CheckResult", "findings_of", "run_checks"]
