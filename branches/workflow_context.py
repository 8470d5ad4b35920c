"""The workflow so far: every frame vector of the last hour, cheap to append and to gather from."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from egomon.branches.frame_sampling import span_indices, uniform_indices
from egomon.branches.interfaces import ClipView, ContextView, Float32, Float64, StepGuess, StepSeen

# Four minutes at 4 frames/s; it doubles from there.
FIRST_ROWS = 1024
# Resident memory at 4 frames/s and D = 512: +14.8 MB in the first hour and 0 in the second; one
# array that was doubled and compacted took 14.6 and another 16.8.
PIECE_ROWS = 512
"""Vectors are held in blocks of this size, which never move: an array that grew or was compacted
left as much again with the allocator."""
# Half a day of steps of a minute and a half; a stream without a reset must not grow for ever.
MOST_STEPS = 512


class WorkflowContext:
    """V^c, causal and bounded: frame vectors since the last reset, at most `max_seconds` of them.

    Append is O(1) amortised and a view O(count), at any length of the stream. Vectors are kept as
    float16 (half the memory, cosine error below 1e-6). One thread owns a context; the views it
    gives are copies and may go anywhere.
    """

    def __init__(self, dim: int, *, max_seconds: float, context_frames: int) -> None:
        self._max_seconds = max_seconds
        self._context_frames = context_frames
        self._times: Float64 = np.empty(FIRST_ROWS, dtype=np.float64)
        self._first = self._end = 0
        self._gone = 0
        """Frames that came before the first of `_times`."""
        self._dim = dim
        self._pieces: deque[NDArray[np.float16]] = deque()
        self._pieces_gone = 0
        self._reset_at = -np.inf
        self._steps: deque[StepSeen] = deque(maxlen=MOST_STEPS)

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def nbytes(self) -> int:
        """Bytes allocated for vectors and times."""
        return sum(piece.nbytes for piece in self._pieces) + self._times.nbytes

    def append(self, times: Float64, vectors: Float32) -> None:
        """Add frames in order of time: (B,) and (B, D).

        Raises:
            ValueError: a time is not after the one before it.
        """
        for t, vector in zip(times, vectors, strict=True):
            if len(self) and t <= self._times[self._end - 1]:
                raise ValueError(f"frame at {t} s is not after {self._times[self._end - 1]} s")
            if self._end == len(self._times):
                self._make_room()
            self._times[self._end] = t
            piece, row = divmod(self._gone + self._end, PIECE_ROWS)
            if piece == self._pieces_gone + len(self._pieces):
                self._pieces.append(np.empty((PIECE_ROWS, self._dim), dtype=np.float16))
            self._pieces[-1][row] = vector
            self._end += 1
        self._forget()

    def add_step(self, step: StepGuess, t_start: float, t_end: float) -> None:
        """Remember that a step was recognised."""
        self._steps.append(StepSeen(step, t_start, t_end))

    def reset(self, t_seconds: float) -> None:
        """Begin a new workflow at this time; earlier frames no longer count."""
        self._reset_at = t_seconds
        self._steps.clear()

    def clip(self, t_start: float, t_end: float, count: int) -> ClipView:
        """V^f: at most `count` vectors of the span, evenly gathered."""
        times = self._times[self._first : self._end]
        chosen = self._first + span_indices(times, t_start, t_end, count)
        return ClipView(self._gather(chosen), self._times[chosen], t_start, t_end)

    def count(self, t_start: float, t_end: float) -> int:
        """Number of frames held in the span."""
        times = self._times[self._first : self._end]
        low, high = np.searchsorted(times, (t_start, t_end), side="left")
        return int(high - low)

    def view(self, until: float) -> ContextView:
        """V^c: vectors from the start of the workflow to `until` (exclusive), evenly gathered."""
        start = max(self._reset_at, until - self._max_seconds)
        times = self._times[self._first : self._end]
        low, high = np.searchsorted(times, (start, until), side="left")
        chosen = self._first + low + uniform_indices(int(high - low), self._context_frames)
        found = self._times[chosen]
        return ContextView(
            vectors=self._gather(chosen),
            times=found,
            t_start=float(found[0]) if len(found) else until,
            t_end=until,
            steps=tuple(step for step in self._steps if start <= step.t_start < until),
        )

    def _gather(self, rows: NDArray[np.int64]) -> Float32:
        """Copies of the vectors at these places of `_times`: (len(rows), D)."""
        out = np.empty((len(rows), self._dim), dtype=np.float32)
        for i, number in enumerate((rows + self._gone).tolist()):
            piece, row = divmod(number, PIECE_ROWS)
            out[i] = self._pieces[piece - self._pieces_gone][row]
        return out

    def _forget(self) -> None:
        oldest = self._times[self._end - 1] - self._max_seconds if len(self) else -np.inf
        while len(self) and self._times[self._first] < oldest:
            self._first += 1
        while (self._pieces_gone + 1) * PIECE_ROWS <= self._gone + self._first:
            self._pieces.popleft()
            self._pieces_gone += 1

    def _make_room(self) -> None:
        """Move up where a sixteenth is free, else double: O(1) amortised, and bounded for ever."""
        rows, size, times = len(self), len(self._times), self._times
        if self._first * 16 < size:
            self._times = np.empty(2 * size, dtype=np.float64)
        self._times[:rows] = times[self._first : self._end]
        self._gone += self._first
        self._first, self._end = 0, rows
