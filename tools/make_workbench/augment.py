"""Training samples for the context branch: pieces of bank recordings, spliced into plans.

The frame vectors of one bank recording are put together as if its person had followed any of the
training workflows, rightly or not. Only vectors are spliced, never evaluation recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egomon.branches.frame_sampling import uniform_indices
from egomon.train.simulator.plan import EXECUTION, SEEN, PlannedStep, plan
from egomon.train.simulator.shapes import PARTS
from tools.make_workbench.encode_recordings import FPS, KINDS, BankedRecording

FINE_FRAMES, CONTEXT_FRAMES = 32, 64
JITTER_SECONDS = 0.35
"""How far the segmenter's boundaries are off, both ways."""
PICKS = 3
"""Right steps taken of each spliced plan; all wrong ones are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A batch for the context branch."""

    coarse: Tensor
    """(B, N, D)."""
    coarse_mask: Tensor
    fine: Tensor
    """(B, T, D)."""
    fine_mask: Tensor
    kind: Tensor
    """(B,) index into KINDS; 0 = right."""
    part: Tensor
    """(B,)."""
    done: Tensor
    """(B, parts): 1 where the part was in already."""
    workflow: Tensor
    """(B,)."""

    @property
    def label(self) -> Tensor:
        """(B,) 1 = mistake."""
        return (self.kind > 0).long()


class _Builder:
    """Collects index lists and gathers them at once."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.clips: list[tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.int64]]] = []
        self.facts: list[tuple[int, int, int]] = []
        self.done: list[NDArray[np.float32]] = []

    def add(
        self,
        recording: BankedRecording,
        context: NDArray[np.int64],
        fine: NDArray[np.int64],
        facts: tuple[int, int, int],
        done: NDArray[np.float32],
    ) -> None:
        context = context[uniform_indices(len(context), CONTEXT_FRAMES)]
        fine = fine[uniform_indices(len(fine), FINE_FRAMES)]
        self.clips.append((recording.vectors, context, fine))
        self.facts.append(facts)
        self.done.append(done)

    def __len__(self) -> int:
        return len(self.facts)

    def build(self, size: int) -> Samples:
        coarse = np.zeros((size, CONTEXT_FRAMES, self.dim), np.float32)
        fine = np.zeros((size, FINE_FRAMES, self.dim), np.float32)
        coarse_mask = np.zeros((size, CONTEXT_FRAMES), bool)
        fine_mask = np.zeros((size, FINE_FRAMES), bool)
        for row, (vectors, context, clip) in enumerate(self.clips[:size]):
            coarse[row, : len(context)], coarse_mask[row, : len(context)] = vectors[context], True
            fine[row, : len(clip)], fine_mask[row, : len(clip)] = vectors[clip], True
        kind, part, workflow = torch.tensor(self.facts[:size]).T
        return Samples(
            torch.from_numpy(coarse), torch.from_numpy(coarse_mask), torch.from_numpy(fine),
            torch.from_numpy(fine_mask), kind, part, torch.from_numpy(np.stack(self.done[:size])),
            workflow,
        )  # fmt: skip


class _Piece:
    """Where each step of a bank recording lies, in frames."""

    def __init__(self, recording: BankedRecording) -> None:
        self.recording = recording
        ends = np.append(recording.spans[1:, 0], recording.seconds)
        edges = np.stack([recording.spans[:, 0], recording.spans[:, 1], ends], axis=1)
        self.edges = np.searchsorted(recording.times, edges)
        """(K, 3): start, end, next start."""
        self.cards = {
            int(sign): np.searchsorted(recording.times, (a, b)) for a, b, sign in recording.cards
        }
        self.first = int(self.edges[0, 0])
        self.after_cards = int(np.searchsorted(recording.times, recording.cards[-1, 1]))
        self.right = {
            int(recording.parts[k]): k for k in np.flatnonzero(recording.kinds == 0).tolist()
        }
        self.wrong = {
            kind: np.flatnonzero(recording.kinds == KINDS.index(kind)).tolist()
            for kind in EXECUTION
        }


class Splicer:
    """Draws batches from bank recordings."""

    def __init__(self, bank: list[BankedRecording], mistake_rate: float = 0.3) -> None:
        self._pieces = [_Piece(recording) for recording in bank]
        self._rate = mistake_rate
        self._dim = bank[0].vectors.shape[1]

    def sample(self, size: int, rng: np.random.Generator) -> Samples:
        """`size` samples."""
        builder = _Builder(self._dim)
        while len(builder) < size:
            piece = self._pieces[int(rng.integers(len(self._pieces)))]
            self._splice(piece, builder, rng)
        return builder.build(size)

    def _splice(self, piece: _Piece, builder: _Builder, rng: np.random.Generator) -> None:
        number = int(rng.integers(len(SEEN)))
        workflow = SEEN[number]
        steps = plan(workflow, rng, self._rate)
        low, high = piece.cards[workflow.card]
        pause = np.arange(piece.after_cards, piece.first)
        context = [np.arange(low, high), pause[: int(rng.integers(4, 12))]]
        done = np.zeros(len(PARTS), np.float32)
        chosen = _choose(steps, rng)
        for index, step in enumerate(steps):
            shown, kind = _find(piece, step, rng)
            if index in chosen:
                fine, start = _jittered(piece, shown, rng)
                before = np.concatenate(context)
                # The context ends where the clip starts, whichever way the start is off.
                early = max(0, start - int(fine[0]))
                late = np.arange(start, max(start, int(fine[0])))
                before = np.concatenate([before[: len(before) - early], late])
                facts = (KINDS.index(kind), int(piece.recording.parts[shown]), number)
                builder.add(piece.recording, before, fine, facts, done.copy())
            # History stays what the plan says, so a wrong piece of another part is not kept.
            if piece.recording.parts[shown] != step.part:
                shown = piece.right[step.part]
            start, end, after = piece.edges[shown].tolist()
            pause_end = min(after, end + int(rng.integers(4, 12)))
            context.append(np.arange(start, pause_end))
            done[step.part] = 1


def _choose(steps: list[PlannedStep], rng: np.random.Generator) -> set[int]:
    right = [i for i, step in enumerate(steps) if step.mistake is None]
    wrong = {i for i, step in enumerate(steps) if step.mistake is not None}
    return wrong | set(rng.permutation(right)[:PICKS].tolist())


def _find(piece: _Piece, step: PlannedStep, rng: np.random.Generator) -> tuple[int, str]:
    """The piece that shows this step, and what it really shows."""
    if step.mistake in EXECUTION:
        shows = piece.wrong[step.mistake]
        same = [k for k in shows if piece.recording.parts[k] == step.part]
        return (same or shows)[int(rng.integers(len(same or shows)))], step.mistake
    return piece.right[step.part], step.mistake or "ok"


def _jittered(piece: _Piece, shown: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    """Frames of a step with boundaries as a segmenter gives them, and where it really starts."""
    start, end, after = piece.edges[shown].tolist()
    begin_shift, end_shift = np.round(rng.uniform(-1, 1, 2) * JITTER_SECONDS * FPS).astype(int)
    first = max(0, start + int(begin_shift))
    last = min(after, end + int(end_shift))
    return np.arange(first, max(last, first + 4)), start


def real_samples(
    recording: BankedRecording,
    spans: NDArray[np.float64],
    kinds: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> Samples:
    """Samples of a continuous recording, with the context as the stream gives it."""
    builder = _Builder(recording.vectors.shape[1])
    done = np.zeros(len(PARTS), np.float32)
    for (t_start, t_end), kind, part in zip(
        spans.tolist(), kinds.tolist(), parts.tolist(), strict=True
    ):
        low, high = np.searchsorted(recording.times, (t_start, t_end))
        builder.add(
            recording, np.arange(0, low), np.arange(low, max(high, low + 1)),
            (kind, part, max(recording.recipe, 0)), done.copy(),
        )  # fmt: skip
        if part >= 0 and KINDS[kind] != "wrongpart":
            done[part] = 1
    return builder.build(len(builder))
