"""Recordings that nothing can be learned from, told by name before anything is learned."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import Float32
from egomon.branches.taught.descriptor import unit
from egomon.errors import DataError
from egomon.train.features.recording import RecordingVectors

# Below it there is no order to learn: it is a test shot.
SHORTEST_SECONDS = 5.0
STILL_SHARE = 0.9
"""Share of a recording's seconds that look like the second before them: it shows no work."""
STILL = 1e-3
"""Cosine distance of frames that are the same picture to any encoder."""
STILL_OF_USUAL = 0.2
"""Share of the recordings' usual distance below which frames differ by noise of the camera: by
EfficientNet-Lite0 noise makes .006, work .12."""
ODD = 2.0
"""Times farther from the others' frames than usual: hand washing at another sink is 2 to 5 times
as far, other work 3 to 8 times."""


def check_recordings(recordings: Sequence[RecordingVectors]) -> None:
    """Refuse recordings that show nothing, come twice, or were held another way than the others.

    Raises:
        DataError: one sentence that names the recording.
    """
    usual = float(np.median(np.concatenate([second_distances(r) for r in recordings])))
    for recording in recordings:
        seconds = float(recording.times[-1] - recording.times[0])
        if seconds < SHORTEST_SECONDS:
            raise DataError(
                f"{recording.name} is {seconds:.0f} s long, too short for a workflow; show the "
                "whole work from beginning to end"
            )
        if still_share(recording, usual) > STILL_SHARE:
            raise DataError(
                f"{recording.name} shows the same picture nearly all the time (black, covered or "
                "frozen); record it again"
            )
    for one, other in itertools.combinations(recordings, 2):
        if np.array_equal(one.vectors, other.vectors):
            raise DataError(
                f"{other.name} is the same recording as {one.name}; give each once, because "
                "what repeats is learned"
            )
    upright = Counter(r.size[0] >= r.size[1] for r in recordings if r.size is not None)
    if len(upright) == 2:
        common = upright.most_common(1)[0][0]
        odd = next(r for r in recordings if r.size and (r.size[0] >= r.size[1]) != common)
        held = "upright" if common else "across"
        raise DataError(
            f"{odd.name} was filmed {held} and others were not, so its pictures cannot be "
            "compared with theirs; hold the camera alike in all recordings"
        )


def odd_one(recordings: Sequence[RecordingVectors]) -> str | None:
    """Name of the recording whose frames lie far from all others' frames; None if there is none.

    Needs three recordings: of two that differ, either may be the odd one.
    """
    if len(recordings) < 3:
        return None
    looks = [unit(np.sqrt(np.abs(r.vectors[:: max(1, len(r.vectors) // 100)]))) for r in recordings]
    away = []
    for i, own in enumerate(looks):
        others = np.concatenate([other for j, other in enumerate(looks) if j != i])
        away.append(float(np.median((1 - own @ others.T).min(axis=1))))
    farthest = int(np.argmax(away))
    usual = float(np.median([a for i, a in enumerate(away) if i != farthest]))
    return recordings[farthest].name if away[farthest] > ODD * usual else None


def still_share(recording: RecordingVectors, usual: float = 0.0) -> float:
    """Share of seconds whose picture is that of the second before; `usual` is their distance."""
    return float((second_distances(recording) < max(STILL, STILL_OF_USUAL * usual)).mean())


def second_distances(recording: RecordingVectors) -> Float32:
    """(S,) cosine distances of the first frame of each second to that of the second before.

    A recording within one second has one distance, 0.
    """
    seconds = (recording.times - recording.times[0]).astype(int)
    firsts = np.unique(seconds, return_index=True)[1]
    looks = recording.vectors[firsts]
    looks = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    found: Float32 = np.asarray(1 - (looks[1:] * looks[:-1]).sum(axis=1), np.float32)
    return found if len(found) else np.zeros(1, np.float32)
