"""Teaching in a process of its own, at low priority: cameras and alerts go on beside it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from egomon.errors import EgomonError, UsageError

OnProgress = Callable[[str, float], None]
Teach = Callable[[Path, OnProgress, threading.Event], Mapping[str, Any]]
"""Called with the work's folder; returns what `TeachReport.to_json` gives."""
# Teaching may take a minute longer; the camera of the page must not stutter meanwhile.
NICENESS = 10
LEAST_STEP = 0.01
"""Smaller progress is not told."""


def teach_in_process(
    folder: Path, progress: OnProgress, stop: threading.Event
) -> Mapping[str, Any]:
    """Learn from all runs of a work's folder.

    Args:
        folder: see `WorkFolder`.
        progress: hears what is being done, and its share.
        stop: ends it.

    Raises:
        UsageError: the runs cannot be learned from; one sentence.
        EgomonError: the process ended before it was done.
    """
    command = [sys.executable, "-m", "egomon.cli.page.teach_process", str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    ender = threading.Thread(target=_end_with, args=(process, stop), daemon=True)
    ender.start()
    with process:
        for line in process.stdout:
            told = _parsed(line)
            if "what" in told:
                progress(str(told["what"]), float(told["share"]))
            elif "error" in told:
                raise UsageError(str(told["error"]))
            elif "report" in told:
                report: Mapping[str, Any] = told["report"]
                return report
    raise EgomonError("learning ended before it was done; see the log, and try again")


def _end_with(process: subprocess.Popen[str], stop: threading.Event) -> None:
    while process.poll() is None:
        if stop.wait(0.2):
            process.terminate()
            return


def _parsed(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _main(folder: Path) -> None:
    from egomon.cli.page.folder import WorkFolder
    from egomon.train.features.vector_cache import VectorCache
    from egomon.train.teach import teach

    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    work, last = WorkFolder(folder), -1.0
    steps, runs = work.steps, work.runs()

    def tell(what: str, share: float) -> None:
        nonlocal last
        if not 0 <= share - last < LEAST_STEP:
            last = share
            print(json.dumps({"what": what, "share": round(share, 3)}), flush=True)  # noqa: T201

    try:
        report = teach(
            [run.path for run in runs],
            work.bundle,
            name="own-work",
            steps=steps.names if steps.names.is_file() else None,
            boundaries=steps.boundaries_of([run.name for run in runs]),
            cache=VectorCache(),
            progress=tell,
        )
        print(json.dumps({"report": report.to_json()}), flush=True)  # noqa: T201
    except EgomonError as error:
        print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
