"""Whether a run that has ended did what it was started for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from egomon.errors import ReplayMismatchError, SourceLostError, UsageError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData

if TYPE_CHECKING:
    from egomon.monitor import RunSummary
    from egomon.monitor.workers.source_worker import SourceWorker


def check_watched(summary: RunSummary, inputs: Sequence[SourceWorker]) -> None:
    """Refuse to call a live run done of which nothing was watched.

    Raises:
        SourceLostError: no frame came, or all that came ended before the models were loaded.
    """
    if not any(item.has_frames for item in inputs):
        raise SourceLostError(
            f"no frame came from {', '.join(summary.sources)} until the end; `egomon doctor` "
            "looks at a camera",
            code="STREAM_TIMEOUT",
        )
    if summary.stopped_by == "end" and not summary.frames.get("encoded"):
        raise SourceLostError(
            f"{', '.join(summary.sources)} ended before the models were loaded, so nothing was "
            "watched; a recording waits for them with --kind file, or with `egomon replay`",
            code="STREAM_ENDED",
        )


def check_outputs(
    outputs: Sequence[Path | None], references: Sequence[str], expected_file: Path | None
) -> None:
    """Refuse to write over what is to be read.

    Raises:
        UsageError: a recording, or the alerts that are expected, would be replaced.
    """
    from egomon.stream.sources.reference import local_path

    recordings = [path for path in map(local_path, references) if path and os.path.isfile(path)]
    for path in outputs:
        if path is None or not path.is_file():
            continue
        for read in (*recordings, expected_file):
            if read is not None and os.path.exists(read) and path.samefile(read):
                raise UsageError(f"{path} is read by this run; name another file to write")


def check_expected(alerts: Sequence[AlertData], expected_file: Path) -> None:
    """Compare the alerts of a replay with a file of expected ones.

    Raises:
        UsageError: the file cannot be read.
        ReplayMismatchError: they differ.
    """
    try:
        expected = expected_file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {expected_file}: {error.strerror}") from error
    found = b"".join(encode(alert) + b"\n" for alert in alerts)
    if found != expected:
        raise ReplayMismatchError(
            f"the alerts differ from {expected_file}: "
            f"{len(found.splitlines())} lines, expected {len(expected.splitlines())}"
        )
