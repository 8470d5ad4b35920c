"""Finds the steps that recordings of the same work share, without labels.

Windows are first joined into pieces at change points; pieces of all recordings are then merged,
nearest first (average linkage), by how they look and when they come. Two pieces of one recording
are kept apart by a penalty: the same work seen twice in a row is one step only if it looks so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32, Float64
from egomon.branches.taught.descriptor import unit
from egomon.train.teach.one_class.segment_features import SegmentedRecording

Int = NDArray[np.int64]

ORDER_WEIGHT = 0.6
"""What a shift by the whole recording costs, in typical distances of looks. With 0, 0.3, 0.6, 1
and 2 the adjusted Rand index on CaptainCook4D's steps is .56, .69, .73, .73 and .72."""
SAME_RECORDING_PENALTY = 1.5
"""For putting two pieces of one recording into one step: more than a typical distance of looks."""
SMALLEST_PIECE = 2
"""Windows that a piece holds at least."""
CRISP = 0.6
"""Silhouette from which looks alone tell steps apart: then their number is that of the clearest
grouping, and the same step may come anywhere, as in recordings of several workflows."""
# A grouping into more says that every piece looks different, which is no grouping.
MOST_STEPS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps found in recordings."""

    labels: tuple[Int, ...]
    """For each recording (moments,) index of the step."""
    places: tuple[Float64, ...]
    """For each recording (moments,) place of each moment, 0 to 1."""
    count: int
    crisp: bool
    """Looks alone tell the steps apart."""


def discover(
    recordings: Sequence[SegmentedRecording],
    *,
    by_time: bool,
    count: int | None = None,
    crisp: bool | None = None,
) -> Steps:
    """Group the moments of all recordings into steps.

    Args:
        recordings: correct demonstrations.
        by_time: moments are fixed windows: join them into pieces first, and take places by time.
        count: number of steps; None = that of the clearest grouping where looks are crisp, else
            the median number of pieces in a recording.
        crisp: whether looks alone tell steps apart; None = find out.
    """
    pieces = [_pieces(r, by_time) for r in recordings]
    looks = np.concatenate([_piece_looks(r, p) for r, p in zip(recordings, pieces, strict=True)])
    numbers = [int(p[-1]) + 1 for p in pieces]
    owner = np.repeat(np.arange(len(recordings)), numbers)
    piece_place = np.concatenate([(np.arange(n) + 0.5) / n for n in numbers])
    groups = None if crisp is False else _crisp_groups(looks, count, sure=crisp is True)
    is_crisp = groups is not None
    if groups is None:
        distance = pairwise_distance(looks, piece_place, owner)
        groups = agglomerate(distance, owner, count or round(float(np.median(numbers))))
    of_piece = _by_first_place(groups, piece_place)
    labels, first = [], 0
    for piece, number in zip(pieces, numbers, strict=True):
        labels.append(of_piece[first : first + number][piece])
        first += number
    places = tuple(_places(r, by_time) for r in recordings)
    return Steps(tuple(labels), places, int(of_piece.max()) + 1, is_crisp)


def _crisp_groups(looks: Float32, count: int | None, *, sure: bool) -> Int | None:
    """Groups (P,) of pieces by looks alone; None where these do not tell steps apart."""
    distance = np.maximum(np.asarray(1 - looks @ looks.T, np.float64), 0.0)
    many = len(looks)
    alone = np.arange(many)  # no two are of one recording: nothing is kept apart
    if sure and count is not None:
        return agglomerate(distance, alone, count)
    best, clearest = None, CRISP
    for groups in merges(distance, alone):
        if not 2 <= int(groups.max()) + 1 <= min(MOST_STEPS, many - 1):
            continue
        if (clear := silhouette(distance, groups)) > clearest:
            best, clearest = groups, clear
    return best


def pairwise_distance(looks: Float32, places: Float64, owner: Int) -> Float64:
    """(P, P) distance of pieces: looks (in typical distances) and places."""
    cosine = np.asarray(1 - looks @ looks.T, np.float64)
    foreign = owner[:, None] != owner[None]
    typical = float(np.median(cosine[foreign])) if foreign.any() else 1.0
    shift = np.abs(places[:, None] - places[None])
    result: Float64 = cosine / max(typical, 1e-6) + ORDER_WEIGHT * shift
    return result


def agglomerate(distance: Float64, owner: Int, count: int) -> Int:
    """Average-linkage clustering down to `count` clusters; labels (P,).

    Args:
        distance: (P, P) of pieces.
        owner: (P,) recording of each piece; clusters that both hold pieces of one recording are
            `SAME_RECORDING_PENALTY` farther apart.
        count: number of clusters wanted.
    """
    labels = np.arange(len(distance))
    for found in merges(distance, owner):
        if int(found.max()) + 1 < max(1, count):
            break
        labels = found
    return labels


def merges(distance: Float64, owner: Int) -> Iterator[Int]:
    """Labels (P,) with P clusters, then P - 1, and so on down to one; see `agglomerate`."""
    many = len(distance)
    labels = np.arange(many)
    linkage = distance.copy()
    np.fill_diagonal(linkage, np.inf)
    holds = (owner[:, None] == np.unique(owner)[None]).astype(np.float32)
    size = np.ones(many)
    yield labels.copy()
    for _ in range(many - 1):
        conflict = holds @ holds.T > 0
        i, j = divmod(int((linkage + SAME_RECORDING_PENALTY * conflict).argmin()), many)
        merged = (linkage[i] * size[i] + linkage[j] * size[j]) / (size[i] + size[j])
        linkage[i] = linkage[:, i] = merged
        linkage[i, i] = np.inf
        linkage[j] = linkage[:, j] = np.inf
        size[i] += size[j]
        holds[i] = np.maximum(holds[i], holds[j])
        labels[labels == j] = i
        yield np.unique(labels, return_inverse=True)[1].astype(np.int64)


def silhouette(distance: Float64, labels: Int) -> float:
    """How clear a grouping is (Rousseeuw 1987): mean of (b - a) / max(a, b).

    a is the mean distance within the own group, b to the nearest other one; 0 for what is alone.
    """
    groups = np.unique(labels)
    if len(groups) < 2:
        return 0.0
    member = (labels[:, None] == groups[None]).astype(np.float64)
    size = member.sum(axis=0)
    total = distance @ member
    rows, own = np.arange(len(labels)), np.searchsorted(groups, labels)
    within = total[rows, own] / np.maximum(size[own] - 1, 1)
    means = total / size
    means[rows, own] = np.inf
    other = means.min(axis=1)
    values = (other - within) / np.maximum(np.maximum(other, within), 1e-12)
    return float(np.where(size[own] > 1, values, 0.0).mean())


def change_points(looks: Float32, lag: int = 1) -> Int:
    """Piece index (M,) of consecutive looks (M, E), by optimal partitioning.

    Minimises the squared deviation from each piece's mean plus a penalty for each piece, that of
    BIC: 2 s² ln(M), with the noise s² taken from the median difference of neighbours.

    Args:
        looks: in order of time.
        lag: windows that overlap with their neighbour share its noise; the first one that does
            not is this many windows away, and so many windows count as one.
    """
    many = len(looks)
    steps = looks[lag:] - looks[:-lag]
    noise = float(np.median((steps**2).sum(axis=1))) / 2 if many > lag else 0.0
    penalty = 2.0 * lag * noise * np.log(max(many, 2))
    total = np.vstack([np.zeros(looks.shape[1]), np.cumsum(looks, axis=0, dtype=np.float64)])
    square = np.concatenate([[0.0], np.cumsum((looks.astype(np.float64) ** 2).sum(axis=1))])
    best = np.full(many + 1, np.inf)
    best[0] = -penalty
    source = np.zeros(many + 1, dtype=np.int64)
    for end in range(1, many + 1):
        starts = np.arange(0, max(1, end - SMALLEST_PIECE + 1))
        length = end - starts
        cost = square[end] - square[starts]
        cost = cost - ((total[end] - total[starts]) ** 2).sum(axis=1) / length
        value = best[starts] + cost + penalty
        source[end] = int(value.argmin())
        best[end] = value[source[end]]
    pieces = np.zeros(many, dtype=np.int64)
    end, cuts = many, []
    while end > 0:
        end = int(source[end])
        cuts.append(end)
    for cut in cuts:
        pieces[cut:] += cut > 0
    return pieces


def _pieces(recording: SegmentedRecording, by_time: bool) -> Int:
    many = len(recording.moments)
    if not by_time:
        return np.arange(many)
    first, second = recording.moments[0].span, recording.moments[min(1, many - 1)].span
    stride = max(second.t_start - first.t_start, 1e-6)
    lag = max(1, min(many - 1, round((first.t_end - first.t_start) / stride))) if many > 1 else 1
    return change_points(np.stack([m.whole_look for m in recording.moments]), lag)


def _piece_looks(recording: SegmentedRecording, pieces: Int) -> Float32:
    looks = np.stack([m.whole_look for m in recording.moments])
    return unit(np.stack([looks[pieces == p].mean(axis=0) for p in range(int(pieces[-1]) + 1)]))


def _places(recording: SegmentedRecording, by_time: bool) -> Float64:
    many = len(recording.moments)
    if not by_time:
        return (np.arange(many) + 0.5) / many
    starts = np.array([m.span.t_start for m in recording.moments])
    return (starts - recording.start) / recording.seconds


def _by_first_place(labels: Int, places: Float64) -> Int:
    """Renumber clusters by their mean place."""
    means = [places[labels == k].mean() for k in range(int(labels.max()) + 1)]
    rank = np.empty(len(means), dtype=np.int64)
    rank[np.argsort(means)] = np.arange(len(means))
    return rank[labels]
