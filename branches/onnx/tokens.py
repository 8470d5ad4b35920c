"""The tokens of a clip's prompt, from a table that the exporter took from the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

TOKENS = "egomon.tokens"
"""Metadata: a `TokenTable` as JSON."""
WEIGHTS = "egomon.weights_sha256"
"""Metadata: hash of the weights of the model that the file was made from."""

Int64 = NDArray[np.int64]


class TokenTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of a prompt: its head, each pair of frames with its time, and its tail."""

    head: tuple[int, ...]
    opening: tuple[int, ...]
    """Of `<`, with which a time begins."""
    digits: tuple[int, ...]
    """Of 0 to 9."""
    point: tuple[int, ...]
    closing: tuple[int, ...]
    """Of ` seconds>`."""
    start: int
    """Before the visual tokens of a pair of frames ..."""
    video: int
    """... each of them, as a placeholder ..."""
    end: int
    """... and after them."""
    tail: tuple[int, ...]
    side: int
    """Visual tokens of a pair of frames are side x side."""

    def inputs(self, times: Sequence[float]) -> tuple[Int64, Int64]:
        """Tokens and their positions.

        Args:
            times: seconds of the frames from the clip's start, an even number of them.

        Returns:
            ids (L,), and positions (3, L): time, height and width (Qwen2-VL's M-RoPE).
        """
        ids: list[int] = []
        positions: list[Int64] = []
        now = 0

        def text(tokens: Sequence[int]) -> None:
            nonlocal now
            ids.extend(tokens)
            positions.append(np.tile(np.arange(now, now + len(tokens)), (3, 1)))
            now += len(tokens)

        rows, columns = np.divmod(np.arange(self.side**2), self.side)
        grid = np.stack([np.zeros_like(rows), rows, columns])
        text(self.head)
        for first, second in zip(times[::2], times[1::2], strict=True):
            text((*self.stamp(stamp_of(_mean(first, second))), self.start))
            ids.extend([self.video] * self.side**2)
            positions.append(grid + now)
            now += self.side
            text((self.end,))
        text(self.tail)
        return np.array(ids, np.int64), np.concatenate(positions, axis=1)

    def stamp(self, text: str) -> tuple[int, ...]:
        """Tokens of a time as `stamp_of` writes it."""
        whole, _, tenths = text.removeprefix("<").removesuffix(" seconds>").partition(".")
        before = (self.digits[int(d)] for d in whole)
        after = (self.digits[int(d)] for d in tenths)
        return (*self.opening, *before, *self.point, *after, *self.closing)


def stamp_of(seconds: float) -> str:
    """A time as the processor writes it."""
    return f"<{seconds:.1f} seconds>"


def _mean(first: float, second: float) -> float:
    """Of two times in whole milliseconds, in which the processor gets them."""
    a, b = (round(1000 * max(t, 0.0)) / 1000 for t in (first, second))
    return (a + b) / 2
