"""HoloAssist mistake challenge: the prediction file.

The format is inferred from public loaders and earlier submissions, not from a specification: one
JSON object with `modality` and, for every listed clip `<video>_<start>_<end>`, 0 or 1 (1 = a
mistake). The server's own checks are not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from egomon.branches.bundle.large_weights import check_large_weights
from egomon.branches.encoders.registry import check_weights
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.errors import DataError, UsageError
from egomon.train.datasets.open import open_data
from egomon.train.datasets.table import read_table
from egomon.train.evaluation.challenge_clips import (
    ChallengeClip,
    clip_name,
    clips_of,
    match,
    match_rows,
    read_clips,
    segments_of,
)
from egomon.train.evaluation.scoring import check_mode, mode_of
from egomon.train.evaluation.stage_scores import score_stages
from egomon.train.features.feature_set import FeatureSet
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_bytes


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


def challenge(
    model: Bundle | str | Path,
    data: FeatureSet | Path,
    out: Path,
    *,
    videos: Path | None = None,
    clips: Path | None = None,
    context: str | None = None,
    split: str | None = None,
    threshold: float | None = None,
    quiet: bool = True,
) -> ChallengeReport:
    """Score segments, labelled or not, and write the prediction file.

    Args:
        model: a bundle, or its name, folder or hub id.
        data: a feature set, or a folder that `open_data` reads.
        out: the prediction file.
        videos: folder of the videos that the list names: `data` is made of them with the bundle's
            encoders, or completed.
        clips: the official list; None answers every segment of the data.
        context: causal (as live), offline (the whole recording) or none; None = as trained.
        split: only segments of this split.
        threshold: p from which a clip is called a mistake; None = the bundle's.
        quiet: without progress on stderr.

    Raises:
        UsageError: unknown context, or videos without a list.
        DataError: broken data, a list that has no clip in common with the data, or that poses
            another problem than the bundle was trained for.
        BundleError: if the bundle cannot be loaded.
        SourceError: if a video cannot be read.
    """
    mode = check_mode(context)
    bundle = model if isinstance(model, Bundle) else load_bundle(model, with_encoder=False)
    mode = mode or mode_of(bundle.card.stream)
    wanted = None if clips is None else read_clips(clips)
    if not isinstance(data, FeatureSet):
        if videos is not None:
            if wanted is None:
                raise UsageError("--videos needs --clips, the list of what to answer")
            extract_listed(bundle, videos, data, wanted, quiet=quiet)
        data = open_data(data, bundle.card.frame_encoder)
    check_weights(bundle.card.frame_encoder, bundle.folder)
    check_large_weights(bundle.card.large, bundle.folder)
    if split is not None:
        data = data.split(split)
    wanted = wanted or list(dict.fromkeys(clips_of(data)))
    found = match(wanted, data)
    if not found:
        raise DataError(
            f"{clips} has no clip in common with {data.where}: {clip_name(*wanted[0])} is not "
            "among its segments; extract the videos that the list names"
        )
    # With the other segments of these recordings: steps that were recognised are remembered.
    names = {data.segments[k].recording for k in found.values()}
    kept = [k for k, row in enumerate(data.segments) if row.recording in names]
    scores = score_stages(bundle, data.select(names), mode)
    hits = scores.flagged if threshold is None else scores.p >= threshold
    wrong = dict(zip(kept, hits.tolist(), strict=True))
    write_submission(out, wanted, {clip: wrong[k] for clip, k in found.items()})
    mistakes = check_submission(out, wanted)
    if threshold is None:
        threshold = scores.main_threshold
    return ChallengeReport(out, bundle.model_id, mode, threshold, len(wanted), len(found), mistakes)


def extract_listed(
    bundle: Bundle, videos: Path, out: Path, clips: Sequence[ChallengeClip], *, quiet: bool = True
) -> None:
    """Encode the listed videos with the bundle's encoders; goes on where it was interrupted.

    Segments are those of the annotation where it has every clip of the list, else as `segments_of`
    poses them.

    Raises:
        DataError: a video is missing, or the list leaves open what the bundle was trained with.
        SourceError: if a video cannot be read.
    """
    from egomon.train.features.extract import extract

    names = {video for video, _, _ in clips}
    rows = [row for row in _annotated(videos) if row.recording in names]
    if len(match_rows(clips, rows)) < len(set(clips)):
        rows = list(segments_of(clips, bundle.card.stream))
    extract(
        videos,
        out,
        model=str(bundle.folder),
        large=bundle.card.large is not None,
        rows=rows,
        quiet=quiet,
    )


def _annotated(videos: Path) -> tuple[SegmentRow, ...]:
    try:
        return read_table(videos)
    except DataError:
        return ()  # the videos alone, as those of the hidden test labels are


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
