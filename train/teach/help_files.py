"""What a user may know of the steps and say in a file: their names, or where they begin and end."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.datasets.spreadsheet import decoded
from egomon.train.datasets.table import read_table_file
from egomon.train.features.recording import RecordingVectors

STEPS_FILE = "steps.csv"
"""In a taught bundle: where the steps of its recordings were found, as `with_boundaries` reads."""
MOST_STEPS = 100
# Names go into alerts and onto the page; a whole text here is a wrong file.
LONGEST_NAME = 200


def read_step_names(path: Path) -> tuple[str, ...]:
    """Names of the steps in the order of the work, one a line; empty lines do not count.

    Raises:
        DataError: the file cannot be read, or holds no, too many or equal names.
    """
    try:
        lines = decoded(path.read_bytes()).splitlines()
    except OSError as error:
        raise DataError(f"cannot read step names from {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text; save it as UTF-8") from error
    names = tuple(line.strip()[:LONGEST_NAME] for line in lines if line.strip())
    if not 2 <= len(names) <= MOST_STEPS:
        raise DataError(
            f"{path} holds {len(names)} step names; write 2 to {MOST_STEPS}, one a line, in the "
            "order of the work"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} names the step {twice!r} twice; give each a name of its own")
    return names


def with_boundaries(
    recordings: Sequence[RecordingVectors], path: Path
) -> tuple[list[RecordingVectors], list[str]]:
    """Recordings, with known steps where the file has rows of them.

    Args:
        recordings: demonstrations.
        path: a table of segments, `.csv` or `.jsonl`; `text` names the step.

    Returns:
        The recordings, and the names of others that the file has rows of.

    Raises:
        DataError: the file breaks its format, names no recording of these, or marks a mistake.
    """
    rows = read_table_file(path)
    found = []
    for recording in recordings:
        own = sorted(
            (row for row in rows if Path(row.recording).stem == Path(recording.name).stem),
            key=lambda row: row.start,
        )
        wrong = next((row for row in own if row.label == 1), None)
        if wrong is not None:
            raise DataError(
                f"{path} marks a mistake at {wrong.start:g} s of {recording.name}; teach from "
                "correct recordings only"
            )
        spans = tuple(
            Span(row.start, row.end, (row.text or "")[:LONGEST_NAME] or None) for row in own
        )
        found.append(replace(recording, spans=spans) if spans else recording)
    if all(recording.spans is None for recording in found):
        names = ", ".join(recording.name for recording in recordings)
        raise DataError(f"{path} has no row of any of these recordings: {names}")
    known = {Path(recording.name).stem for recording in recordings}
    named = dict.fromkeys(row.recording for row in rows)
    return found, [name for name in named if Path(name).stem not in known]


def write_boundaries(path: Path, recordings: Mapping[str, Sequence[Span]]) -> None:
    """Write a table that `with_boundaries` reads.

    Args:
        path: the `.csv` file.
        recordings: steps of each recording in order of time, by its name; `text` names the step.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("recording", "start", "end", "label", "text"))
            for name, spans in recordings.items():
                for span in spans:
                    row = (f"{span.t_start:.2f}", f"{span.t_end:.2f}", "", span.text or "")
                    table.writerow((name, *row))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
