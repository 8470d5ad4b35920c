"""Which recordings there are to extract: videos and their labelled segments; shards of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from egomon.errors import DataError, UsageError
from egomon.train.datasets.holoassist_files import is_published
from egomon.train.datasets.table import read_table
from egomon.train.features.rows import SegmentRow

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")
HOLOASSIST_VIDEOS = "*/Export_py/Video_pitchshift.mp4"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """A video and its segments."""

    name: str
    path: Path
    rows: tuple[SegmentRow, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal parts of a list."""

    number: int
    """From 1."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `I/N`.

        Raises:
            UsageError: it is not 1 <= I <= N.

        >>> Shard.parse("2/3")
        Shard(number=2, count=3)
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(f"--shard {text!r} is not I/N with I from 1 to N, such as 1/4")
        return cls(number, count)

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Every N-th, so that shards of a list that is sorted by length or day take equally long.

        >>> Shard(2, 3).of("abcdefg")
        ['b', 'e']
        """
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def find_videos(
    folder: Path, rows: Sequence[SegmentRow] | None = None
) -> tuple[list[SegmentRow], list[LabelledVideo]]:
    """Find the segments of a folder, in their order, and their videos, sorted by name.

    Args:
        folder: of the videos.
        rows: instead of the segments that lie beside them.

    Raises:
        DataError: there are no segments, a row is malformed, or a segment names no video.
    """
    try:
        found = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES}
    except OSError as error:
        raise DataError(f"{folder} cannot be read as a folder ({error.strerror})") from error
    found |= {path.parts[-3]: path for path in sorted(folder.glob(HOLOASSIST_VIDEOS))}
    beside = rows is None
    rows = [_named(row) for row in read_table(folder)] if rows is None else list(rows)
    if beside and is_published(folder):
        # Whoever took only some of HoloAssist's videos gets the segments of those.
        rows = [row for row in rows if row.recording in found]
        if not rows:
            raise DataError(
                f"{folder} holds no video of its annotation; put them there as <name>.mp4 or as "
                f"published ({HOLOASSIST_VIDEOS})"
            )
    by_name: dict[str, list[SegmentRow]] = defaultdict(list)
    for row in rows:
        by_name[row.recording].append(row)
    missing = sorted(by_name.keys() - found.keys())
    if missing:
        raise DataError(
            f"{folder}: a segment names {missing[0]!r}, but there is no such video beside it"
        )
    return rows, [LabelledVideo(n, found[n], tuple(by_name[n])) for n in sorted(by_name)]


def _named(row: SegmentRow) -> SegmentRow:
    """Strip the video's suffix from recordings, whether a row names `a.mp4` or `a`."""
    path = Path(row.recording)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return row
    return msgspec.structs.replace(row, recording=path.stem)
