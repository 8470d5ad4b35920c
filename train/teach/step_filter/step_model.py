"""Fits the steps of a `StepModel` from windows of correct recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from egomon.branches.interfaces import Float32, Float64
from egomon.branches.step_filter.descriptor import WINDOW_SECONDS, Descriptor, RunningMean, centred
from egomon.branches.step_filter.model import StepModel, StepOptions, StreamSteps
from egomon.train.teach.step_filter.alignment import (
    COARSE_ROWS,
    Int,
    align,
    cuts,
    left_right,
    means_of,
    realign,
    scatter,
    squares,
    whitening,
)
from egomon.train.teach.step_filter.durations import durations_of, moving_distance, spread_of

ROWS = 128
"""D, values of a row: 24 recognise .87 of the seconds of unseen hand washing, 64 .91, 128 .92."""
BETWEEN = 2.0
"""Weight of the covariance between recordings: without it .88 of the seconds, with it .94."""
ISOTROPIC = {1: 0.6, 2: 0.3}
"""Share of the isotropic covariance, by number of recordings. What differs between two persons
differs little within one of them, so what one recording shows is whitened less. Chosen on
CaptainCook4D (other people, other kitchens); from three on it does not matter."""
LEAST_ISOTROPIC, FINE_ISOTROPIC = 0.1, 0.3
ALONE = StepOptions(sharpness=1.0, prior_windows=20.0, shrunken=0.4, taught_windows=5.0)
"""Of one recording: what it shows of a step is of this person and place in large part. `shrunken`
was chosen on CaptainCook4D, the others on hand washing."""
FINE_ROUNDS = 3
LEAST_SECONDS = 3.0
"""A step lasts so long at least, or a third of an equal share of the shortest recording."""
MOST_STEPS = 20
ENOUGH = 1.02
"""Fewest steps whose scatter on left-out recordings is within 2 % of the least are taken. The least
is the median of a count and its neighbours: a single one may be lucky in where its alignment begins
(1.00 beside 1.05 and 1.04 once), and the steps that it adds are missed in the next run."""
SHARES = (1.0, 0.6)
"""Shares of the others' means by which a left-out recording is described, whichever does better.
Where persons and kitchens differ much, more steps seem to add nothing at full length: two recipes
of CaptainCook4D had 7 and 5 steps so, and have 10 and 15 (true 9 and 19)."""
MOST_LEFT_OUT = 5
"""Recordings that are left out in turn to choose the number of steps."""
PENALTY = 1.0
"""Of one more step, with one or two recordings: 1 gives pairs the count that three recordings
choose (10 to 13; .75 gave 12 to 15)."""
SCENE_MARGIN, SCENE_SINGLE = 1.4, 0.43
"""The second is a guess for one recording, and the least for several that happen to be alike."""
SCENE_FROM = 40
"""The mean of fewer windows is that of one step, not of the scene."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A recording as windows."""

    name: str
    windows: Float32
    """(W, E)."""
    times: Float64
    """(W,) media seconds at which each begins."""
    window_seconds: float = WINDOW_SECONDS


def least_windows(recordings: Sequence[Windows], count: int) -> int:
    """Windows that a step has at least."""
    shortest = min(len(r.windows) for r in recordings)
    return max(1, min(int(LEAST_SECONDS / recordings[0].window_seconds), shortest // (2 * count)))


def plain_rows(recordings: Sequence[Windows]) -> list[Float32]:
    """Each recording's windows minus its own mean, in their directions of most variance."""
    flat = [r.windows - r.windows.mean(axis=0) for r in recordings]
    mean, basis = _directions(np.concatenate(flat))
    return [(own - mean) @ basis for own in flat]


def find_steps(
    recordings: Sequence[Windows], count: int, known: Mapping[int, Int] | None = None
) -> list[Int]:
    """Labels of each recording's windows, all with the same steps in the same order.

    Args:
        recordings: correct ones.
        count: number of steps.
        known: labels of some recordings, by index, all with `count` steps.
    """
    least = least_windows(recordings, count)
    rows = plain_rows(recordings)
    if known:
        middle = means_of([rows[i] for i in known], list(known.values()), count)
        return [
            known[i] if i in known else left_right(-squares(own, middle), least)
            for i, own in enumerate(rows)
        ]
    return realign_finely(rows, align(rows, count, least), count, least)


def realign_finely(
    rows: Sequence[Float32],
    labels: Sequence[Int],
    count: int,
    least: int,
    orders: Sequence[Sequence[int]] | None = None,
) -> list[Int]:
    """`realign` in all directions, whitened."""
    return realign(
        rows,
        labels,
        count,
        least,
        lambda of: whitening(rows, of, count, isotropic=FINE_ISOTROPIC, between=1.0),
        FINE_ROUNDS,
        orders,
    )


def choose_count(recordings: Sequence[Windows]) -> int:
    """Number of steps, by how well left-out recordings are described.

    With one or two recordings it is that within each: models of one describe another too badly.
    """
    least_of = _least_of_counts(recordings)
    if len(recordings) < 3 or not least_of:
        return count_within(recordings)
    rows = [own[:, :COARSE_ROWS] for own in plain_rows(recordings)]
    own_cuts = [_all_cuts(own, least_of) for own in rows]
    scores = {}
    for count, least in least_of.items():
        totals = dict.fromkeys(SHARES, 0.0)
        for i, own in enumerate(rows[:MOST_LEFT_OUT]):
            others = [other for j, other in enumerate(rows) if j != i]
            known = [of[count] for j, of in enumerate(own_cuts) if j != i]
            middle = means_of(others, align(others, count, least, known), count)
            for share in totals:
                labels = left_right(-squares(own, share * middle), least)
                rest = float(((own - share * middle[labels]) ** 2).sum())
                totals[share] += rest / float((own**2).sum())
        scores[count] = min(totals.values())
    lowest = (
        min(
            float(np.median([scores[k] for k in (count - 1, count, count + 1)]))
            for count in scores
            if count - 1 in scores and count + 1 in scores
        )
        if len(scores) > 2
        else min(scores.values())
    )
    return min(count for count, score in scores.items() if score <= ENOUGH * lowest)


def count_within(recordings: Sequence[Windows]) -> int:
    """Number of steps whatever their order: by scatter within recordings and a penalty on each."""
    least_of = _least_of_counts(recordings)
    totals = dict.fromkeys(least_of, 0.0)
    for own in plain_rows(recordings) if least_of else ():
        rows = own[:, :COARSE_ROWS]
        for count, labels in _all_cuts(rows, least_of).items():
            totals[count] += _penalised(rows, count, labels)
    return min(totals, key=lambda count: totals[count], default=1)


def _least_of_counts(recordings: Sequence[Windows]) -> dict[int, int]:
    """Windows that a step has at least, by the numbers of steps that there may be."""
    shortest = min(len(r.windows) for r in recordings)
    counts = range(2, min(MOST_STEPS, shortest // 4) + 1)
    return {count: least_windows(recordings, count) for count in counts}


def _all_cuts(rows: Float32, least_of: Mapping[int, int]) -> dict[int, Int]:
    """The cut into each number of steps, from the rows that its steps have at least."""
    found: dict[int, Int] = {}
    for least in set(least_of.values()):
        found |= cuts(rows, [k for k, own in least_of.items() if own == least], least)
    return found


def _penalised(rows: Float32, count: int, labels: Int) -> float:
    """Neighbouring windows say nearly the same: a quarter of them are counted."""
    independent = len(rows) / 4
    share = scatter([rows], [labels], count) / max(float((rows**2).sum()), 1e-12)
    return float(independent * np.log(share + 1e-9) + PENALTY * count * np.log(independent))


def fit_model(
    recordings: Sequence[Windows], labels: Sequence[Int], count: int, *, alone: bool = False
) -> StepModel:
    """Descriptor, steps and durations; rows are centred as a live stream's are.

    Args:
        recordings: correct ones.
        labels: steps of their windows.
        count: number of steps.
        alone: what one recording shows is all there is.
    """
    options = ALONE if alone else StepOptions(sharpness=1.0)  # `calibrate` sets it
    means = [r.windows.mean(axis=0) for r in recordings]
    prior: Float32 = np.mean(means, axis=0).astype(np.float32)
    priors = [_others_mean(means, i, prior) for i in range(len(means))]
    if alone:  # a running mean that begins as its own mean is not what another stream has
        flat = [recordings[0].windows - prior]
    else:
        flat = [centred(r.windows, own) for r, own in zip(recordings, priors, strict=True)]
    mean, basis = _directions(np.concatenate(flat))
    rows = [np.asarray((own - mean) @ basis, np.float32) for own in flat]
    isotropic = ISOTROPIC.get(len(recordings), LEAST_ISOTROPIC)
    scale = whitening(rows, labels, count, isotropic=isotropic, between=BETWEEN)
    window_seconds = recordings[0].window_seconds
    seconds = durations_of(labels, count, window_seconds)
    return StepModel(
        ids=tuple(f"step-{k + 1}" for k in range(count)),
        descriptor=Descriptor(prior, mean, (basis @ scale).astype(np.float32)),
        steps=(options.shrunken * means_of(rows, labels, count) @ scale).astype(np.float32),
        seconds=np.maximum(seconds.mean(axis=0), window_seconds),
        durations=np.stack([seconds.min(axis=0), seconds.max(axis=0)]),
        options=replace(
            options,
            scene=scene_limit(recordings, priors),
            window_seconds=window_seconds,
            spread=spread_of(seconds),
            moving=moving_distance([r.windows for r in recordings]),
        ),
    )


def stream_rows(model: StepModel, windows: Float32) -> Float32:
    """(W, D) rows of a recording's windows, as a live stream has them."""
    prior_windows = model.options.prior_windows
    return model.descriptor.rows(centred(windows, model.descriptor.prior, prior_windows))


def distances_of(model: StepModel, windows: Float32) -> Float64:
    """(W, K) distances of a recording's windows to the taught steps."""
    steps = StreamSteps(model)
    return np.stack([steps.distances(row) for row in stream_rows(model, windows)])


def scene_limit(recordings: Sequence[Windows], priors: Sequence[Float32]) -> float:
    """Offset of the scene that no left-out recording comes near; a guess with one."""
    if len(recordings) < 2:
        return SCENE_SINGLE
    farthest = 0.0
    for recording, prior in zip(recordings, priors, strict=True):
        running = RunningMean(prior)
        for window in recording.windows:
            running.centre(window)
            if running.windows >= SCENE_FROM:
                farthest = max(farthest, running.offset)
    return max(SCENE_MARGIN * farthest, SCENE_SINGLE)


def _others_mean(means: Sequence[Float32], i: int, prior: Float32) -> Float32:
    others = [mean for j, mean in enumerate(means) if j != i]
    found: Float32 = np.mean(others, axis=0).astype(np.float32) if others else prior
    return found


def _directions(rows: Float32) -> tuple[Float32, Float32]:
    """(E,) mean and (E, D) leading directions of rows (W, E)."""
    mean: Float32 = rows.mean(axis=0)
    centre = (rows - mean).astype(np.float64)
    long = len(centre) > centre.shape[1]
    # Both products have the same eigenvalues; the smaller one has them sooner.
    values, vectors = np.linalg.eigh(centre.T @ centre if long else centre @ centre.T)
    kept = min(ROWS, int((values > 1e-9 * max(values[-1], 1e-12)).sum()))
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    if not long:
        vectors = centre.T @ vectors / np.sqrt(np.maximum(values, 1e-12))
    return mean, vectors.astype(np.float32)
