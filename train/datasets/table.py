"""Segments of videos: `segments.jsonl`, `segments.csv` of a spreadsheet, or HoloAssist's JSON."""

from __future__ import annotations

from pathlib import Path

from egomon.errors import DataError
from egomon.train.datasets.holoassist_files import clip_segments, is_published
from egomon.train.datasets.spreadsheet import read_rows, seconds
from egomon.train.features.feature_set import SEGMENTS_FILE, check_row, read_segments
from egomon.train.features.rows import SegmentRow

CSV_FILE = "segments.csv"
_NEEDED = ("recording", "start", "end", "label")
_LABELS = {"0": 0, "correct": 0, "1": 1, "mistake": 1, "": None}


def read_table(folder: Path) -> tuple[SegmentRow, ...]:
    """Segments beside the videos.

    The CSV needs the columns recording, start, end (seconds) and label (0/correct, 1/mistake,
    empty = unknown); context_start, split, text, workflow and tags (parted by `;`) are optional.
    HoloAssist's annotation JSON gives its fine-grained actions.

    Raises:
        DataError: naming file and row.
    """
    if (folder / SEGMENTS_FILE).is_file():
        return read_segments(folder / SEGMENTS_FILE)
    path = folder / CSV_FILE
    if not path.is_file() and is_published(folder):
        return clip_segments(folder)
    if not path.is_file():
        raise DataError(f"{folder} has neither {SEGMENTS_FILE} nor {CSV_FILE}")
    return read_table_file(path)


def read_table_file(path: Path) -> tuple[SegmentRow, ...]:
    """Segments of one file, `.jsonl` or a spreadsheet's `.csv`, see `read_table`.

    Raises:
        DataError: the file cannot be read, or naming file and row.
    """
    if not path.is_file():
        raise DataError(f"no such table of segments: {path}")
    if path.suffix.lower() == ".jsonl":
        return read_segments(path)
    columns, found = read_rows(path)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs {', '.join(_NEEDED)}")
    rows = [_row(path, number, row) for number, row in found]
    if not rows:
        raise DataError(f"{path} holds no segment")
    return tuple(rows)


def _row(path: Path, number: int, row: dict[str, str]) -> SegmentRow:
    where = f"{path}, row {number}"
    label = row["label"].lower()
    if label not in _LABELS:
        raise DataError(f"{where}: label {row['label']!r} is not 0, 1, correct, mistake or empty")
    try:
        start, end = seconds(row["start"]), seconds(row["end"])
        context_start = seconds(row.get("context_start") or "0")
    except ValueError as error:
        raise DataError(
            f"{where}: {error}; write start and end in seconds, as 8.1, or as 00:08.1"
        ) from error
    segment = SegmentRow(
        recording=row["recording"],
        start=start,
        end=end,
        label=_LABELS[label],
        context_start=context_start,
        split=row.get("split") or "",
        tags=tuple(tag.strip() for tag in (row.get("tags") or "").split(";") if tag.strip()),
        text=row.get("text") or "",
        workflow=row.get("workflow") or "",
    )
    return check_row(segment, where)
