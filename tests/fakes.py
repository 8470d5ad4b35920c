"""Fakes that tests share: sources, branches and clocks without cameras, models or time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.interfaces import BranchScore, ClipView, ContextView, Float32, StepGuess
from egomon.stream.frame import Frame, Segment
from egomon.testing.fakes import (
    NS_PER_SECOND,
    BrightnessEncoder,
    FakeClock,
    FrameList,
    RecordingListener,
    image,
)

__all__ = [
    "NS_PER_SECOND",
    "BrightnessBranch",
    "BrightnessEncoder",
    "FakeClock",
    "FrameList",
    "MeanGate",
    "RecordingListener",
    "ScriptedLarge",
    "frame",
    "image",
    "score",
]


def frame(t: float, *, value: int = 0, epoch: int = 0, index: int = 0, px: int = 8) -> Frame:
    return Frame(
        image=image(value, px),
        detail=None,
        t_seconds=t,
        mono_ns=int(t * NS_PER_SECOND),
        wall_ns=int(t * NS_PER_SECOND),
        index=index,
        epoch=epoch,
    )


class BrightnessBranch:
    """Bright clips are mistakes: log odds from -5 (black) to +5 (white)."""

    def __init__(self, steps: Sequence[str] = ()) -> None:
        self.seen: list[tuple[ClipView, ContextView]] = []
        self._steps = steps

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        self.seen.append((clip, context))
        level = float(clip.vectors[:, 0].mean()) if len(clip.vectors) else 0.0
        step = StepGuess("s0", self._steps[0], 0.9) if self._steps else None
        return score("small", 10.0 * level - 5.0, step=step)


class ScriptedLarge:
    """A large branch that answers, raises or gives NaN as the script says, call by call."""

    def __init__(self, script: Sequence[float | Exception]) -> None:
        self._script = list(script)
        self.calls: list[int] = []

    def score(self, segment: Segment) -> BranchScore:
        self.calls.append(segment.index)
        answer = self._script.pop(0) if self._script else 0.0
        if isinstance(answer, Exception):
            raise answer
        return score("large", answer)


class MeanGate:
    """Equal weights."""

    def fuse(self, small: BranchScore, large: BranchScore) -> tuple[Float32, Float32]:
        logits = (small.logits + large.logits) / 2
        return logits.astype(np.float32), np.array([0.5, 0.5], dtype=np.float32)


def score(branch: str, log_odds: float, *, step: StepGuess | None = None) -> BranchScore:
    return BranchScore(
        branch=branch,  # type: ignore[arg-type]
        logits=np.array([-log_odds / 2, log_odds / 2], dtype=np.float32),
        feature=np.zeros(2, dtype=np.float32),
        latency_ms=1.0,
        step=step,
    )
