"""HoloAssist's list of clips: how it is read, and the segments that its clips are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from egomon.branches.bundle.card import StreamCard
from egomon.errors import DataError
from egomon.train.features.feature_set import FeatureSet
from egomon.train.features.rows import SegmentRow

ChallengeClip = tuple[str, float, float]
"""Video, start and end in seconds."""


def clip_name(video: str, start: float, end: float) -> str:
    """Key of a clip; times as Python writes floats.

    >>> clip_name("R005-7July-GoPro", 6.990, 8.0)
    'R005-7July-GoPro_6.99_8.0'
    """
    return f"{video}_{float(start)}_{float(end)}"


def read_clips(path: Path) -> list[ChallengeClip]:
    """The official list of test clips: a line `<video>_<start>_<end>` each.

    Raises:
        DataError: naming file and line.
    """
    clips = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = line.strip().rsplit("_", 2)
        try:
            clips.append((parts[0], float(parts[1]), float(parts[2])))
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}, line {number}: {line!r} is not <video>_<start>_<end>"
            ) from error
    return clips


def begins_with_coarse_actions(clips: Sequence[ChallengeClip]) -> bool:
    """Whether clips begin with their coarse action, as the benchmark's samples do.

    Those of one coarse action then share their start; fine actions hardly ever do.
    """
    count = Counter((video, start) for video, start, _ in clips)
    return 2 * sum(n for n in count.values() if n > 1) > len(clips)


def segments_of(clips: Sequence[ChallengeClip], stream: StreamCard) -> tuple[SegmentRow, ...]:
    """Segments of clips that nobody annotated, posed as in training: fine action and context.

    A list that begins clips with the coarse action tells where the context begins; each fine
    action then begins where the one before it ended. A list of fine actions tells nothing of the
    context, which must then begin with the recording, in training too.

    Raises:
        DataError: the list leaves open what the bundle was trained with.
    """
    if begins_with_coarse_actions(clips):
        return _of_coarse(clips)
    if stream.context_from == "context_start":
        raise DataError(
            "the clips of the list begin with their fine action, so nothing tells where the coarse "
            "action began, with which the bundle's contexts began in training; train with "
            'context_from = "recording_start" under [stream] in the recipe, or give the '
            "annotation of these videos"
        )
    return tuple(
        SegmentRow(recording=video, start=start, end=end)
        for video, start, end in dict.fromkeys(clips)
        if 0 <= start < end
    )


def _of_coarse(clips: Sequence[ChallengeClip]) -> tuple[SegmentRow, ...]:
    ends: dict[tuple[str, float], set[float]] = defaultdict(set)
    for video, start, end in clips:
        ends[video, start].add(end)
    rows = []
    for (video, coarse), found in ends.items():
        start = coarse
        for end in sorted(found):
            if 0 <= start < end:
                rows.append(SegmentRow(recording=video, start=start, end=end, context_start=coarse))
                start = end
    return tuple(rows)


def match(clips: Sequence[ChallengeClip], data: FeatureSet) -> dict[ChallengeClip, int]:
    """Number of the segment that answers a clip, for those that have one."""
    return _match(clips, clips_of(data), [row.context_start for row in data.segments])


def match_rows(
    clips: Sequence[ChallengeClip], rows: Sequence[SegmentRow]
) -> dict[ChallengeClip, int]:
    """The same for segments without vectors."""
    fine = [(row.recording, row.start, row.end) for row in rows]
    return _match(clips, fine, [row.context_start for row in rows])


def clips_of(data: FeatureSet) -> list[ChallengeClip]:
    """A clip for each segment."""
    return [(row.recording, *data.seconds(row)) for row in data.segments]


def _match(
    clips: Sequence[ChallengeClip], fine: Sequence[ChallengeClip], coarse: Sequence[float]
) -> dict[ChallengeClip, int]:
    """A clip may begin with the coarse or with the fine action; both end with the fine one."""
    numbers: dict[tuple[str, int, int], int] = {}
    for number, ((video, _, end), start) in enumerate(zip(fine, coarse, strict=True)):
        numbers.setdefault(_key((video, start, end)), number)
    for number, clip in enumerate(fine):
        numbers[_key(clip)] = number
    return {clip: numbers[_key(clip)] for clip in clips if _key(clip) in numbers}


def _key(clip: ChallengeClip) -> tuple[str, int, int]:
    """To the millisecond: lists and annotations round differently."""
    return clip[0], round(clip[1] * 1000), round(clip[2] * 1000)
