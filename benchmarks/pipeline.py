"""All figures of the README's section on performance: ratios of things run in turn.

python benchmarks/pipeline.py [--json | --markdown] [--quick] [--only KEY ...]

Needs no data: videos are made here, encoders have their real architecture and random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import egomon  # before torch: it sets how idle threads wait  # isort: skip
import numpy
import torch
from pipeline_parts import (
    bus,
    gpu,
    growth,
    large,
    live,
    load,
    prepare,
    replay,
    same,
    start,
)
from pipeline_parts.bench import Bench
from pipeline_parts.figures import BY_KEY, FIGURES, Measured, row_of

GROUPS: dict[str, Callable[[Bench], dict[str, Measured]]] = {
    "help": start.help_,
    "start": start.start,
    "resident": start.resident,
    "install": start.install,
    "prepare": prepare.prepare,
    "bus": bus.bus,
    "lost": bus.lost,
    "tokens": large.tokens,
    "once": replay.once,
    "same": same.same,
    "growth": growth.growth,
    "memory": growth.memory,
    "workbench": replay.workbench,
    "replay": replay.replay,
    "latency": live.latency,
    "busy_latency": live.busy_latency,
    "eager": live.eager,
    "idle": live.idle,
    "capture": load.capture,
    "cameras": load.cameras,
    "busy": load.busy,
    "isolation": large.isolation,
    "gpu": gpu.gpu,
}

FAILED, NOT_ASKED = "failed:", "not asked for"


def measure(keys: list[str], *, quick: bool) -> dict[str, Measured]:
    """Run what gives these figures."""
    wanted = {BY_KEY[key].group for key in keys}
    found = {key: Measured(None, reason=NOT_ASKED) for key in BY_KEY}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=quick)
        for name, group in GROUPS.items():
            if name not in wanted:
                continue
            begin = time.perf_counter()
            try:
                measured = group(bench)
            except RuntimeError as error:  # the others are measured all the same
                lost = Measured(None, reason=f"{FAILED} {error}")
                measured = {key: lost for key in keys if BY_KEY[key].group == name}
            took = time.perf_counter() - begin
            for key, outcome in measured.items():
                if key in keys:
                    found[key] = outcome
                    print(f"{took:6.1f} s  {key}: {outcome.value}", file=sys.stderr, flush=True)
    return found


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "egomon": egomon.__version__,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def result(found: dict[str, Measured], about: dict[str, Any]) -> dict[str, Any]:
    """The one JSON object: every key with its value, then what they mean."""
    return {
        **{figure.key: found[figure.key].value for figure in FIGURES},
        "machine": about,
        "rows": {figure.key: row_of(figure, found[figure.key]) for figure in FIGURES},
    }


def failed(answer: dict[str, Any]) -> list[str]:
    """Keys of figures whose measurement raised."""
    rows = answer["rows"].items()
    return [key for key, row in rows if row.get("reason", "").startswith(FAILED)]


def shown(value: float | None) -> str:
    """Three figures, or a dash."""
    if value is None:
        return "-"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"


def asked(answer: dict[str, Any]) -> dict[str, Any]:
    """Rows that were to be measured."""
    return {k: row for k, row in answer["rows"].items() if row.get("reason") != NOT_ASKED}


def markdown(answer: dict[str, Any]) -> str:
    """The README's table."""
    about = answer["machine"]
    lines = ["| figure | aim | measured |", "|---|---|---|"]
    for key, row in asked(answer).items():
        value = shown(answer[key])
        if row["met"] is None:
            value = f"- ({row['reason']})"
        elif not row["met"]:
            value = f"**{value}**"
        lines.append(f"| `{key}`: {row['figure']} | {row['aim']} | {value} |")
    gpu_name = f", {about['gpu']}" if about["gpu"] else ""
    where = f"{about['cores']} cores of {about['cpu']}{gpu_name}, torch {about['torch']}"
    return "\n".join([*lines, "", f"Measured on {where}; bold: aim missed."])


def table(answer: dict[str, Any]) -> None:
    """For people."""
    from rich.console import Console
    from rich.table import Table

    rich = Table("figure", "aim", "measured", "", title="egomon: performance")
    for key, row in asked(answer).items():
        sign = {None: row.get("reason", ""), True: "[green]met[/]", False: "[red]missed[/]"}
        rich.add_row(
            f"[b]{key}[/]\n{row['figure']}", row["aim"], shown(answer[key]), sign[row["met"]]
        )
    Console().print(rich)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON object on stdout")
    output.add_argument("--markdown", action="store_true", help="the README's table")
    parser.add_argument("--quick", action="store_true", help="small: does it run at all?")
    parser.add_argument("--only", nargs="+", choices=BY_KEY, default=list(BY_KEY), metavar="KEY")
    given = parser.parse_args()
    about = machine()
    found = measure(given.only, quick=given.quick)
    about["load_after"] = round(os.getloadavg()[0], 2)
    answer = result(found, about)
    if given.json:
        print(json.dumps(answer))
    elif given.markdown:
        print(markdown(answer))
    else:
        table(answer)
    if failed(answer):
        sys.exit(1)


if __name__ == "__main__":
    main()
