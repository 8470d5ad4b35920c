"""Fakes that tests share: sources, branches and clocks without cameras, models or time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from egomon.branches.interfaces import BranchScore, ClipView, ContextView, Float32, StepGuess
from egomon.stream.frame import Frame, Grab, Segment, SourceInfo, UInt8Image
from egomon.stream.source import Discontinuity, StateChange

NS = 1_000_000_000


class FakeClock:
    """Seconds that only a test moves."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def ns(self) -> int:
        return int(self.now * NS)


def image(value: int, px: int = 8) -> UInt8Image:
    return np.full((px, px, 3), value % 256, dtype=np.uint8)


def frame(t: float, *, value: int = 0, epoch: int = 0, index: int = 0, px: int = 8) -> Frame:
    return Frame(
        image=image(value, px),
        detail=None,
        t_seconds=t,
        mono_ns=int(t * NS),
        wall_ns=int(t * NS),
        index=index,
        epoch=epoch,
    )


@dataclass
class FrameList:
    """A source that gives made-up frames: `(t_seconds, epoch, brightness)`."""

    frames: Iterable[tuple[float, int, int]]
    name: str = "fake"
    kind: str = "file"
    px: int = 64
    on_read: Callable[[int], None] = lambda index: None
    closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._frames = iter(self.frames)
        self._count = 0

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.name, "fake:", self.kind, self.px, self.px, 10.0, None)  # type: ignore[arg-type]

    def read(self) -> Grab | None:
        self.on_read(self._count)
        item = None if self.closed else next(self._frames, None)
        if item is None:
            return None
        t, epoch, value = item
        self._count += 1
        return Grab(
            t_seconds=t,
            mono_ns=int(t * NS),
            wall_ns=int(t * NS),
            index=self._count - 1,
            epoch=epoch,
            to_rgb=lambda: image(value, self.px),
        )

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class BrightnessEncoder:
    """Vector of an image: its mean brightness, twice; easy to steer from a test."""

    dim = 2
    image_px = 8

    def __init__(self) -> None:
        self.batches: list[int] = []

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        return np.ascontiguousarray(rgb[: self.image_px, : self.image_px])

    def encode(self, images: np.ndarray) -> Float32:
        self.batches.append(len(images))
        level = images.reshape(len(images), -1).mean(axis=1, dtype=np.float64) / 255.0
        return np.stack([level, level], axis=1).astype(np.float32)


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


class RecordingListener:
    """A `SourceListener` that remembers."""

    def __init__(self) -> None:
        self.states: list[StateChange] = []
        self.gaps: list[Discontinuity] = []

    def on_state(self, change: StateChange) -> None:
        self.states.append(change)

    def on_gap(self, gap: Discontinuity) -> None:
        self.gaps.append(gap)
