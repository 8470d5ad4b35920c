"""Which base to teach from, and the recordings as its encoder sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from egomon.errors import UsageError
from egomon.train.features.encode_video import encode_video
from egomon.train.features.recording import RecordingVectors
from egomon.train.features.vector_cache import VectorCache
from egomon.train.teach.base import LITE0, Base, open_base
from egomon.train.teach.one_class.fit import ProgressCallback
from egomon.train.teach.video import is_foreign

FIRST_CHOICE = "workbench"
"""Knows rendered work well and says so of nothing else; real footage goes to `LITE0`."""
LOOK_SECONDS = 20.0
"""So much of the first recording shows what kind of footage it is."""


def choose_base(ref: str | None, videos: Sequence[Path], *, force: bool = False) -> Base:
    """The base that was asked for, or the first one whose guard knows the recordings.

    Args:
        ref: see `open_base`; None = choose.
        videos: of which the beginning of the first is looked at.
        force: take a base although its guard calls the recordings foreign.

    Raises:
        UsageError: the guard of the base that was asked for calls them foreign.
        BundleError: the base cannot be loaded.
        SourceError: the first video cannot be read.
    """
    base = open_base(ref or FIRST_CHOICE)
    if base.guard is None or (ref is not None and force):
        return base
    fps = base.card.stream.fps
    look = encode_video(videos[0], base.encoder, fps, until_seconds=LOOK_SECONDS)
    if not is_foreign(base, [look]):
        return base
    if ref is None:
        return open_base(LITE0)
    raise UsageError(
        f"{videos[0].name} is another kind of footage than base {ref} was trained on, so its "
        f"steps could not be told apart; leave --base away, or take --base {LITE0}"
    )


def encode_recordings(
    videos: Sequence[Path], base: Base, cache: VectorCache | None, tell: ProgressCallback
) -> list[RecordingVectors]:
    """Frame vectors of all recordings.

    Raises:
        SourceError: a video cannot be read.
        DataError: a video holds no frame.
    """

    def share_of(number: int, name: str) -> Callable[[float], None]:
        return lambda share: tell(f"encoding {name}", (number + share) / len(videos))

    return [
        encode_video(path, base.encoder, base.card.stream.fps, share_of(i, path.name), cache=cache)
        for i, path in enumerate(videos)
    ]
