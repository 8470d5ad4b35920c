"""From encoded recordings to what a taught bundle holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np

from egomon import __version__
from egomon.branches.bundle.card import (
    BundleCard,
    DataCard,
    DecisionCard,
    GuardCard,
    SmallCard,
)
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.onnx.forms import LARGE
from egomon.branches.out_of_domain.distance import fit_guard
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.branch import options_of, tensors_of
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.base import Base
from egomon.train.teach.one_class.contexts import spliced_contexts
from egomon.train.teach.one_class.fit import ProgressCallback, TaughtWorkflow, teach_from_vectors
from egomon.train.teach.report import TeachReport
from egomon.train.teach.step_filter.several import FollowedWorkflows, teach_workflows

CLIP_SECONDS = 2.0
"""Length of the clips that the guard is asked about, as in a live stream."""
FOREIGN_SHARE = 0.2
"""If the base's guard finds more of the recordings foreign, its trained parts are not used."""
GUARD_MARGIN = 1.25
"""How much farther than the farthest left-out demonstration footage may be."""
STEP_AGREEMENT_OF_BASE = 0.9
"""A trained step head recognises steps in a second recording; what one recording cannot show."""
LENGTH_SECONDS, STRIDE_SECONDS = 2.0, 0.5
"""Windows that are told of when a filter follows the steps; it looks at each half second."""
FOREIGN_NOTE = (
    "the base bundle was not trained on footage like this: steps are told apart by its frame "
    "vectors alone; a base with a general image encoder will do better"
)


def learn_bundle(
    base: Base,
    recordings: Sequence[RecordingVectors],
    name: str,
    false_alarms_per_hour: float,
    tell: ProgressCallback,
    count: int | None = None,
) -> tuple[FollowedWorkflows | TaughtWorkflow, BundleCard, Tensors]:
    """Learn from encoded recordings: the workflows, and what `save_bundle` writes.

    A base whose trained step head knows the footage gives its segments to a one-class model;
    on all other footage one filter follows the steps.

    Args:
        base: what is built on; it encoded the recordings.
        recordings: 1 to 50 correct demonstrations.
        name: of the new bundle.
        false_alarms_per_hour: budget on correct work.
        tell: hears what is being done.
        count: number of steps; None = find it.

    Raises:
        DataError: a recording is unusable.
    """
    small = base.card.small
    foreign = is_foreign(base, recordings)
    if not foreign and small.kind == "uemcm" and small.steps:
        return _on_step_head(base, recordings, name, false_alarms_per_hour, tell)
    followed = teach_workflows(
        recordings,
        name=name,
        false_alarms_per_hour=false_alarms_per_hour,
        count=count,
        progress=tell,
    )
    if foreign:
        notes = (*followed.report.notes, FOREIGN_NOTE)
        followed = replace(followed, report=replace(followed.report, notes=notes))
    tensors = {k: v for k, v in base.tensors.items() if k.startswith("encoder.")}
    models = followed.models
    prefixes = [""] if len(models) == 1 else [f"{number}." for number in range(len(models))]
    options: dict[str, int | float | str | bool] = {}
    for prefix, model in zip(prefixes, models, strict=True):
        tensors |= {f"small.{prefix}{k}": v for k, v in model.tensors().items()}
        options |= {f"{prefix}{k}": v for k, v in model.card_options().items()}
    stream = base.card.stream
    stream = msgspec.structs.replace(
        stream,
        policy="fixed",
        length_seconds=LENGTH_SECONDS,
        stride_seconds=STRIDE_SECONDS,
        fine_frames=max(stream.fine_frames, math.ceil(2 * LENGTH_SECONDS * stream.fps)),
        context_until="segment_end",
    )
    card = msgspec.structs.replace(
        _card(base.card, followed.report, name),
        small=SmallCard(
            kind="step_filter",
            steps=tuple(id_ for model in models for id_ in model.ids),
            workflows=tuple(g.name for g in followed.graphs) if len(models) > 1 else (),
            options=options,
        ),
        stream=stream,
        decision=DecisionCard(
            false_alarms_per_hour=false_alarms_per_hour, cooldown_seconds=0.0, flag_low=1.0
        ),
        guard=None,
        activity_width=0,
    )
    return followed, card, tensors


def _on_step_head(
    base: Base,
    recordings: Sequence[RecordingVectors],
    name: str,
    false_alarms_per_hour: float,
    tell: ProgressCallback,
) -> tuple[TaughtWorkflow, BundleCard, Tensors]:
    look = BaseLook.of_base(base.card, part(base.tensors, "small."))
    look = look.in_contexts(spliced_contexts(recordings, base.card.stream, base.activity))
    taught = teach_from_vectors(
        recordings,
        stream=base.card.stream,
        look=look,
        activity=base.activity,
        name=name,
        false_alarms_per_hour=false_alarms_per_hour,
        single_agreement=STEP_AGREEMENT_OF_BASE,
        progress=tell,
    )
    kept = ("encoder.", "guard.", "activity.")
    tensors = {k: v for k, v in base.tensors.items() if k.startswith(kept)}
    guard_card = base.card.guard
    if guard_card is None:
        guard_card, guard = own_guard(recordings)
        tensors |= {f"guard.{k}": v for k, v in guard.items()}
    tensors |= {f"small.{k}": v for k, v in tensors_of(taught.model, taught.look).items()}
    small = msgspec.structs.replace(
        base.card.small,
        kind="taught",
        steps=taught.model.ids,
        workflows=(),
        options=options_of(taught.model, taught.look),
    )
    card = msgspec.structs.replace(
        _card(base.card, taught.report, name),
        small=small,
        decision=DecisionCard(false_alarms_per_hour=false_alarms_per_hour),
        guard=guard_card,
    )
    return taught, card, tensors


def is_foreign(base: Base, recordings: Sequence[RecordingVectors]) -> bool:
    """Whether the base's guard takes the recordings for another kind of footage."""
    guard = base.guard
    if guard is None:
        return False
    distances = [guard.distance(clip) for r in recordings for clip in clips(r)]
    return float(np.mean(np.array(distances) > guard.limit)) > FOREIGN_SHARE


def clips(recording: RecordingVectors) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """A recording in consecutive clips of two seconds."""
    bins = ((recording.times - recording.times[0]) / CLIP_SECONDS).astype(int)
    return np.split(recording.vectors, np.flatnonzero(np.diff(bins)) + 1)


def own_guard(recordings: Sequence[RecordingVectors]) -> tuple[GuardCard, Tensors]:
    """A guard around the demonstrations; its limit comes from left-out ones where there are two."""
    farthest = 0.0
    for i, left_out in enumerate(recordings):
        others = [r for j, r in enumerate(recordings) if j != i] or [left_out]
        guard = fit_guard([clip for r in others for clip in clips(r)])
        farthest = max(farthest, max(guard.distance(clip) for clip in clips(left_out)))
    guard = fit_guard([clip for r in recordings for clip in clips(r)])
    return GuardCard(limit=GUARD_MARGIN * farthest), guard.tensors()


def _card(base: BundleCard, report: TeachReport, name: str) -> BundleCard:
    """What all taught bundles say of themselves."""
    return msgspec.structs.replace(
        base,
        name=name,
        description=f"Workflow taught by {report.recordings} correct recordings on {base.name}",
        created=datetime.now(UTC).date().isoformat(),
        egomon_version=__version__,
        licence="the owner's",
        demonstration=False,
        large=None,
        gate=None,
        runtime={name: pin for name, pin in base.runtime.items() if name != LARGE},
        data=(
            DataCard(
                name="the user's recordings",
                licence="the owner's",
                recordings=report.recordings,
                segments=report.segments,
                prior=0.0,
            ),
            *base.data,
        ),
        metrics={},
        notes=" ".join(report.notes),
    )
