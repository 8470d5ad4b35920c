"""From encoded recordings to what a taught bundle holds."""

from __future__ import annotations

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
from egomon.branches.out_of_domain.distance import fit_guard
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.branch import options_of, tensors_of
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.base import Base
from egomon.train.teach.contexts import spliced_contexts
from egomon.train.teach.fit import (
    SINGLE_AGREEMENT,
    ProgressCallback,
    TaughtWorkflow,
    teach_from_vectors,
)

CLIP_SECONDS = 2.0
"""Length of the clips that the guard is asked about, as in a live stream."""
FOREIGN_SHARE = 0.2
"""If the base's guard finds more of the recordings foreign, its trained parts are not used."""
GUARD_MARGIN = 1.25
"""How much farther than the farthest left-out demonstration footage may be."""
STEP_AGREEMENT_OF_BASE = 0.9
"""A trained step head recognises steps in a second recording; what one recording cannot show."""
FOREIGN_NOTE = (
    "the base bundle was not trained on footage like this: steps are told apart by its frame "
    "vectors alone, in fixed windows; a base with a general image encoder will do better"
)


def learn_bundle(
    base: Base,
    recordings: Sequence[RecordingVectors],
    name: str,
    false_alarms_per_hour: float,
    tell: ProgressCallback,
) -> tuple[TaughtWorkflow, BundleCard, Tensors]:
    """Learn from encoded recordings: the workflows, and what `save_bundle` writes.

    Args:
        base: what is built on; it encoded the recordings.
        recordings: 1 to 50 correct demonstrations.
        name: of the new bundle.
        false_alarms_per_hour: budget on correct work.
        tell: hears what is being done.

    Raises:
        DataError: a recording is unusable.
    """
    foreign = is_foreign(base, recordings)
    stream, small = base.card.stream, base.card.small
    if foreign and stream.policy == "activity":
        stream = msgspec.structs.replace(stream, policy="fixed")
    look, agreement = None, SINGLE_AGREEMENT
    if not foreign and small.kind == "uemcm" and small.steps:
        look = BaseLook.of_base(base.card, part(base.tensors, "small."))
        look = look.in_contexts(spliced_contexts(recordings, stream, base.activity))
        agreement = STEP_AGREEMENT_OF_BASE
    taught = teach_from_vectors(
        recordings,
        stream=stream,
        look=look,
        activity=None if foreign else base.activity,
        name=name,
        false_alarms_per_hour=false_alarms_per_hour,
        single_agreement=agreement,
        progress=tell,
    )
    if foreign:
        notes = (*taught.report.notes, FOREIGN_NOTE)
        taught = replace(taught, report=replace(taught.report, notes=notes))
    kept = ("encoder.",) if foreign else ("encoder.", "guard.", "activity.")
    tensors = {k: v for k, v in base.tensors.items() if k.startswith(kept)}
    guard_card = base.card.guard
    if foreign or guard_card is None:
        guard_card, guard = own_guard(recordings)
        tensors |= {f"guard.{k}": v for k, v in guard.items()}
    tensors |= {f"small.{k}": v for k, v in tensors_of(taught.model, taught.look).items()}
    card = msgspec.structs.replace(
        _card(base.card, taught, name),
        stream=stream,
        guard=guard_card,
        activity_width=0 if foreign else base.card.activity_width,
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


def _card(base: BundleCard, taught: TaughtWorkflow, name: str) -> BundleCard:
    report = taught.report
    small = msgspec.structs.replace(
        base.small if isinstance(taught.look, BaseLook) else SmallCard(),
        kind="taught",
        steps=taught.model.ids,
        workflows=(),
        options=options_of(taught.model, taught.look),
    )
    return msgspec.structs.replace(
        base,
        name=name,
        description=f"Workflow taught by {report.recordings} correct recordings on {base.name}",
        created=datetime.now(UTC).date().isoformat(),
        egomon_version=__version__,
        licence="the owner's",
        small=small,
        large=None,
        gate=None,
        decision=DecisionCard(false_alarms_per_hour=report.false_alarms_per_hour),
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
