"""HoloAssist mistake challenge: the prediction file.

The format is inferred from public loaders and earlier submissions, not from a specification: one
JSON object with `modality` and, for every listed clip `<video>_<start>_<end>`, 0 or 1 (1 = a
mistake). What the server checks is not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from egomon.errors import DataError
from egomon.train.featureset_write import write_bytes

Clip = tuple[str, float, float]
"""Video, start and end in seconds."""


def clip_name(video: str, start: float, end: float) -> str:
    """Key of a clip; times as Python writes floats.

    >>> clip_name("R005-7July-GoPro", 6.990, 8.0)
    'R005-7July-GoPro_6.99_8.0'
    """
    return f"{video}_{float(start)}_{float(end)}"


def read_clips(path: Path) -> list[Clip]:
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


def write_submission(
    path: Path, clips: list[Clip], probabilities: Mapping[Clip, float], threshold: float
) -> int:
    """Write the prediction file; give the number of clips called mistakes.

    Args:
        path: where to.
        clips: every clip that must be answered, from `read_clips`.
        probabilities: calibrated p of each clip that was scored; clips without one answer 0.
        threshold: p from which a clip is called a mistake.

    Raises:
        DataError: a score belongs to no listed clip, so times were written differently.
    """
    stray = sorted(set(probabilities) - set(clips))
    if stray:
        raise DataError(f"{clip_name(*stray[0])} was scored, but it is not in the list of clips")
    answers: dict[str, str | int] = {"modality": "RGB"}
    for clip in clips:
        answers[clip_name(*clip)] = int(probabilities.get(clip, 0.0) >= threshold)
    write_bytes(path, json.dumps(answers, indent=0).encode())
    return sum(1 for name, value in answers.items() if name != "modality" and value == 1)
