"""HoloAssist mistake challenge: the prediction file.

The format is inferred from public loaders and earlier submissions, not from a specification: one
JSON object with `modality` and, for every listed clip `<video>_<start>_<end>`, 0 or 1 (1 = a
mistake). The server's own checks are not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.errors import DataError
from egomon.train.datasets.open import open_data
from egomon.train.evaluation.scoring import check_mode, mode_of
from egomon.train.evaluation.stage_scores import score_stages
from egomon.train.features.feature_set import FeatureSet
from egomon.train.features.write_feature_set import write_bytes

ChallengeClip = tuple[str, float, float]
"""Video, start and end in seconds."""


@dataclass(frozen=True, slots=True)
class ChallengeReport:
    """Result of writing a prediction file."""

    file: Path
    model: str
    context: str
    threshold: float
    clips: int
    """Number of clips in the file."""
    scored: int
    """Number of clips with a score; the others have no segment and get 0."""
    mistakes: int

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.file),
            "model": self.model,
            "context": self.context,
            "threshold": self.threshold,
            "clips": self.clips,
            "scored": self.scored,
            "mistakes": self.mistakes,
        }

    def table(self) -> Table:
        """Render the report as lines of text."""
        told = self.to_json()
        table = Table(*told)
        table.add_row(*map(str, told.values()))
        return table


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


def challenge(
    model: Bundle | str | Path,
    data: FeatureSet | Path,
    out: Path,
    *,
    clips: Path | None = None,
    context: str | None = None,
    split: str | None = None,
    threshold: float | None = None,
) -> ChallengeReport:
    """Score segments, labelled or not, and write the prediction file.

    Args:
        model: a bundle, or its name, folder or hub id.
        data: a feature set, or a folder that `open_data` reads.
        out: the prediction file.
        clips: the official list; None answers every segment of the data.
        context: causal (as live), offline (the whole recording) or none; None = as trained.
        split: only segments of this split.
        threshold: p from which a clip is called a mistake; None = the bundle's.

    Raises:
        UsageError: unknown context.
        DataError: broken data, or a list that has no clip in common with the data.
        BundleError: if the bundle cannot be loaded.
    """
    mode = check_mode(context)
    bundle = model if isinstance(model, Bundle) else load_bundle(model, with_encoder=False)
    mode = mode or mode_of(bundle.card.stream)
    if not isinstance(data, FeatureSet):
        data = open_data(data, bundle.card.frame_encoder)
    if split is not None:
        data = data.split(split)
    numbers = _numbers(data)
    wanted = read_clips(clips) if clips is not None else list(dict.fromkeys(_clips(data)))
    found = {clip: numbers[_key(clip)] for clip in wanted if _key(clip) in numbers}
    if not found:
        raise DataError(
            f"{clips} has no clip in common with {data.where}: {clip_name(*wanted[0])} is not "
            "among its segments; extract the videos that the list names"
        )
    chosen = sorted(set(found.values()))
    scored = replace(data, segments=tuple(data.segments[k] for k in chosen))
    scores = score_stages(bundle, scored, mode)
    hits = scores.flagged if threshold is None else scores.p >= threshold
    wrong = dict(zip(chosen, hits.tolist(), strict=True))
    write_submission(out, wanted, {clip: wrong[k] for clip, k in found.items()})
    mistakes = check_submission(out, wanted)
    if threshold is None:
        threshold = scores.main_threshold
    return ChallengeReport(out, bundle.model_id, mode, threshold, len(wanted), len(found), mistakes)


def write_submission(
    path: Path, clips: Sequence[ChallengeClip], mistakes: Mapping[ChallengeClip, bool]
) -> None:
    """Write the prediction file.

    Args:
        path: where to.
        clips: every clip that must be answered, from `read_clips`.
        mistakes: whether a clip that was scored is one; clips without a score answer 0.

    Raises:
        DataError: a score belongs to no listed clip, so times were written differently.
    """
    stray = sorted(set(mistakes) - set(clips))
    if stray:
        raise DataError(f"{clip_name(*stray[0])} was scored, but it is not in the list of clips")
    answers: dict[str, str | int] = {"modality": "RGB"}
    for clip in clips:
        answers[clip_name(*clip)] = int(mistakes.get(clip, False))
    write_bytes(path, json.dumps(answers, indent=0).encode())


def check_submission(path: Path, clips: Sequence[ChallengeClip]) -> int:
    """Read a prediction file as a server would; give the number of clips called mistakes.

    Raises:
        DataError: not an object, without modality, a wrong value, a clip missing or too many.
    """
    try:
        answers = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no prediction file: {error}") from error
    if not isinstance(answers, dict) or answers.pop("modality", None) != "RGB":
        raise DataError(f"{path} must be one object with modality RGB")
    names = {clip_name(*clip) for clip in clips}
    for name, value in answers.items():
        if name not in names:
            raise DataError(f"{path} answers {name!r}, which is not in the list of clips")
        if value not in (0, 1) or isinstance(value, bool):
            raise DataError(f"{path}: the answer to {name!r} is {value!r}, not 0 or 1")
    missing = sorted(names - set(answers))
    if missing:
        raise DataError(f"{path} does not answer {missing[0]!r}")
    return sum(answers.values())


def _clips(data: FeatureSet) -> list[ChallengeClip]:
    return [(row.recording, *data.seconds(row)) for row in data.segments]


def _numbers(data: FeatureSet) -> dict[tuple[str, int, int], int]:
    """Number of the segment that answers a clip: by its own start or by its context's.

    The benchmark's loaders begin a clip with the coarse action, its list may begin it with the
    fine one; both end with the fine action.
    """
    numbers: dict[tuple[str, int, int], int] = {}
    for number, row in enumerate(data.segments):
        whole = (row.recording, row.context_start, data.seconds(row)[1])
        numbers.setdefault(_key(whole), number)
    for number, clip in enumerate(_clips(data)):
        numbers[_key(clip)] = number
    return numbers


def _key(clip: ChallengeClip) -> tuple[str, int, int]:
    """To the millisecond: lists and annotations round differently."""
    return clip[0], round(clip[1] * 1000), round(clip[2] * 1000)
