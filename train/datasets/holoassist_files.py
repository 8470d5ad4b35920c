"""HoloAssist's files: the annotation JSON with its split lists as published, or labels as CSV.

```
data-annotation-trainval-v1_1.json     a list of videos, each with its events
data-splits-v1_2/{train,val,test}-v1_2.txt   one video name a line; may lie beside the JSON too
```
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from egomon.errors import DataError
from egomon.train.features.rows import SegmentRow

FINE_FILE = "fine.csv.gz"
ANNOTATION_FILES = "data-annotation-*.json"
_SPLITS = ("train", "val", "test")
_NEEDED = ("video", "task", "start", "end", "correctness", "verb", "noun")
_COARSE, _FINE = "coarse grained action", "fine grained action"
# Half a frame: a fine action that reaches so far over its coarse action still lies in it.
_SAME_MOMENT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Action:
    """One fine-grained action."""

    video: str
    task: str
    start: float
    end: float
    label: int
    verb: str
    noun: str
    split: str
    kind: str
    """Correctness as annotated."""
    coarse_start: float | None = None
    """Start of the coarse action it lies in; None where it lies in none or none is known."""


class _Event(msgspec.Struct):
    label: str
    start: float
    end: float
    attributes: dict[str, Any] = {}


class _Video(msgspec.Struct):
    video_name: str
    events: list[_Event]
    taskType: str | None = None
    taskId: int | str | None = None


def is_holoassist(folder: Path) -> bool:
    """Return whether a folder has one of the layouts."""
    return (folder / FINE_FILE).is_file() or is_published(folder)


def is_published(folder: Path) -> bool:
    """Return whether a folder holds the annotation JSON."""
    return any(folder.glob(ANNOTATION_FILES))


def is_held(video: str) -> bool:
    """Return whether a video is of the inner validation split: SHA-1 of its name mod 5 is 0."""
    return int(hashlib.sha1(video.encode()).hexdigest(), 16) % 5 == 0


def read_actions(folder: Path) -> Iterator[Action]:
    """All actions; `otherwise` or `Others` is neither correct nor wrong, so dropped.

    Splits are those of the published lists where they are there, else the inner split.

    Raises:
        DataError: naming file and row, or file, video and event.
    """
    found = sorted(folder.glob(ANNOTATION_FILES))
    return _of_json(found[-1], folder) if found else _of_csv(folder / FINE_FILE)


def clip_segments(folder: Path) -> tuple[SegmentRow, ...]:
    """Actions as segments of the videos, as the benchmark defines a sample.

    The workflow begins with the enclosing coarse action and the context ends with the fine one;
    fine actions outside of every coarse action are left out.

    Raises:
        DataError: naming file, video and event.
    """
    return tuple(
        SegmentRow(
            recording=action.video,
            start=action.start,
            end=action.end,
            label=action.label,
            context_start=min(action.coarse_start, action.start),
            split=action.split,
            tags=(action.kind,) if action.label else (),
            text=f"{action.verb} {action.noun}",
            workflow=action.task,
        )
        for action in read_actions(folder)
        if action.coarse_start is not None
    )


def _of_json(path: Path, folder: Path) -> Iterator[Action]:
    try:
        videos = msgspec.json.decode(path.read_bytes(), type=list[_Video])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no HoloAssist annotation: {error}") from error
    splits = _read_splits(folder)
    names: set[str] = set()
    for video in videos:
        name = video.video_name
        if name in names:
            raise DataError(f"{path}: video {name!r} comes twice")
        names.add(name)
        split = splits.get(name, "") if splits else _inner(name)
        task = video.taskType or f"task {video.taskId}"
        coarse = [e for e in video.events if e.label.lower() == _COARSE]
        for number, event in enumerate(video.events):
            if event.label.lower() == _FINE:
                where = f"{path}: video {name!r}, event {number}"
                action = _action(event, where, name, task, split, coarse)
                if action is not None:
                    yield action


def _action(
    event: _Event, where: str, video: str, task: str, split: str, coarse: list[_Event]
) -> Action | None:
    kind = event.attributes.get("Action Correctness")
    if not isinstance(kind, str):
        raise DataError(f"{where}: a fine grained action without 'Action Correctness'")
    try:
        label = label_of(kind)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if label is None or event.end <= event.start or event.start < 0:
        return None
    around = [
        c.start
        for c in coarse
        if c.start <= event.start + _SAME_MOMENT_SECONDS
        and event.end <= c.end + _SAME_MOMENT_SECONDS
    ]
    return Action(
        video=video,
        task=task,
        start=event.start,
        end=event.end,
        label=label,
        verb=_word(event.attributes.get("Verb")),
        noun=_word(event.attributes.get("Noun")),
        split=split,
        kind=kind,
        coarse_start=max(around) if around else None,
    )


def _word(value: Any) -> str:
    """A verb or noun; some are lists, and "none", null and "" all mean absent."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text.strip() or "none"


def _read_splits(folder: Path) -> dict[str, str]:
    """Split of each listed video; empty where there are no lists.

    Raises:
        DataError: a video in two lists; names both files and the line.
    """
    splits: dict[str, str] = {}
    from_file: dict[str, Path] = {}
    for split in _SPLITS:
        # The newest version, in the folder itself or in its data-splits-*/ folder.
        paths = sorted([*folder.glob(f"{split}-v*.txt"), *folder.glob(f"*/{split}-v*.txt")])
        if not paths:
            continue
        lines = paths[-1].read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            name = line.strip()
            if splits.get(name, split) != split:
                raise DataError(
                    f"{paths[-1]}, line {number}: {name!r} is also in {from_file[name]}; "
                    "splits go by whole recordings"
                )
            if name:
                splits[name], from_file[name] = split, paths[-1]
    return splits


def _inner(video: str) -> str:
    return "val" if is_held(video) else "train"


def _of_csv(path: Path) -> Iterator[Action]:
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs {', '.join(_NEEDED)}")
    for number, row in enumerate(reader, start=1):
        try:
            label = label_of(row["correctness"])
            start, end = float(row["start"]), float(row["end"])
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{path}, row {number}: {error}") from error
        if label is None or end <= start:
            continue  # `otherwise`, and four rows of the published file without a length
        yield Action(
            video=row["video"],
            task=row["task"],
            start=start,
            end=end,
            label=label,
            verb=row["verb"],
            noun=row["noun"],
            split=_inner(row["video"]),
            kind=row["correctness"],
        )


def label_of(correctness: str) -> int | None:
    """0, 1, or None for what is neither.

    Raises:
        ValueError: an unknown word.

    >>> label_of("Wrong Action, corrected by performer"), label_of("Others")
    (1, None)
    """
    text = correctness.strip().lower()
    if text.startswith("correct"):
        return 0
    if text.startswith("wrong"):
        return 1
    if text in ("otherwise", "others", ""):
        return None
    raise ValueError(f"correctness {correctness!r} is unknown")
