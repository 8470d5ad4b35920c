"""Recordings for the branch with step statistics: unit frames, row spans, steps and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float32
from egomon.branches.step_statistics.branch import psi_input, row_span, since
from egomon.branches.step_statistics.features import Seconds
from egomon.branches.step_statistics.tables import Array, Rows
from egomon.errors import DataError
from egomon.train.features.feature_set import FeatureSet
from egomon.train.metrics.threshold import Labels

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One recording; segments in order of their end, as live scoring meets them."""

    name: str
    unit: Float32
    """(N, D) unit frame vectors."""
    scatter: Float32
    """(D, D) sum of their outer products."""
    spans: list[Rows]
    seconds: list[Seconds]
    """Bounds of the segments since the first frame."""
    y: Labels
    step: Ints
    """(S,) index of the step."""
    psi: Array
    """(S, 3 D) inputs of the linear psi_s."""
    numbers: Ints
    """(S,) place of each segment in the feature set."""


@dataclass(frozen=True, slots=True, eq=False)
class Demonstrations:
    """All recordings of a feature set, and the names of their steps and workflows."""

    recordings: list[Recorded]
    steps: tuple[str, ...]
    workflows: tuple[str, ...]
    workflow: Ints
    """(K,) workflow of each step."""


def prepare(data: FeatureSet) -> Demonstrations:
    """Load all vectors of a labelled feature set; about 3 KB a frame and 2 MB a recording.

    Raises:
        DataError: a step or workflow has no name, or a recording cannot be read.
    """
    for number, row in enumerate(data.segments, start=1):
        if not row.text or not row.workflow:
            raise DataError(
                f"{data.where}: segment {number} ({row.recording}) has no text or no workflow; "
                "this recipe learns steps by their names"
            )
    named = sorted({(row.workflow, row.text) for row in data.segments})
    workflows = tuple(sorted({workflow for workflow, _ in named}))
    index = {pair: k for k, pair in enumerate(named)}
    by_recording: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(data.segments):
        by_recording[row.recording].append(number)
    return Demonstrations(
        recordings=[_recorded(data, name, by_recording[name], index) for name in data.recordings],
        steps=_unique([text for _, text in named]),
        workflows=workflows,
        workflow=np.array([workflows.index(workflow) for workflow, _ in named]),
    )


def among(demos: Demonstrations, names: Collection[str]) -> Demonstrations:
    """Keep some recordings, and only the steps and workflows that they show."""
    kept = [r for r in demos.recordings if r.name in names]
    steps = np.unique(np.concatenate([r.step for r in kept]))
    workflows = np.unique(demos.workflow[steps])
    return Demonstrations(
        recordings=[replace(r, step=np.searchsorted(steps, r.step)) for r in kept],
        steps=tuple(demos.steps[k] for k in steps),
        workflows=tuple(demos.workflows[w] for w in workflows),
        workflow=np.searchsorted(workflows, demos.workflow[steps]),
    )


def _recorded(
    data: FeatureSet, name: str, numbers: list[int], index: dict[tuple[str, str], int]
) -> Recorded:
    track = data.track(name)
    vectors = track.vectors.astype(np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    ordered = sorted(numbers, key=lambda k: data.segments[k].end)
    rows = [data.segments[k] for k in ordered]
    bounds = [(row.start, row.end) for row in rows]
    spans = [row_span(track.times, *of) for of in bounds]
    return Recorded(
        name=name,
        unit=unit,
        scatter=unit.T @ unit,
        spans=spans,
        seconds=since(track.times, bounds),
        y=np.array([row.label for row in rows], np.int64),
        step=np.array([index[row.workflow, row.text] for row in rows]),
        psi=np.array([psi_input(unit[low:high], unit[:high]) for low, high in spans]),
        numbers=np.array(ordered),
    )


def _unique(names: list[str]) -> tuple[str, ...]:
    """The same step of two workflows gets a number, so that names stay unique."""
    seen: dict[str, int] = defaultdict(int)
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(out)
