"""One recording: order card, then steps with pauses between; rendered frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.draw import Painter, Viewpoint
from egomon.train.simulator.look import Appearance, Image
from egomon.train.simulator.motion import MotionState, StepMotion, Wander, ease
from egomon.train.simulator.plan import PlannedStep, PlannedWorkflow, plan

STEP_SECONDS = (3.0, 5.0)
PAUSE_SECONDS = (0.5, 1.3)
CARD_SECONDS = (1.8, 2.8)


@dataclass(frozen=True, slots=True)
class StepSpan:
    """Span of a step in the recording."""

    t_start: float
    t_end: float
    step: PlannedStep


@dataclass(slots=True, eq=False)
class _Span:
    """A stretch of time and what moves in it."""

    t_start: float
    t_end: float
    motion: StepMotion | None = None
    card: tuple[int, float, float, float] | None = None


class RenderedRecording:
    """A planned recording; `frames` renders it. All draws come from the generator given."""

    def __init__(
        self,
        cards: Sequence[int],
        steps: Sequence[PlannedStep],
        rng: np.random.Generator,
        fps: float,
    ) -> None:
        self.fps = fps
        # The look has a generator of its own: nothing about it depends on plan, size or rate.
        self.look = Appearance(np.random.default_rng(int(rng.integers(1 << 62))))
        self._sensor_seed = int(rng.integers(1 << 62))
        self._spans: list[_Span] = []
        self.card_spans: list[tuple[float, float, int]] = []
        self.steps: list[StepSpan] = []
        self._rest = np.array([0.62, 1.05])
        clock = 0.0
        for card in cards:
            length = rng.uniform(*CARD_SECONDS)
            x, y = 0.42 + rng.normal() * 0.06, 0.6 + rng.normal() * 0.05
            self._spans.append(_Span(clock, clock + length, card=(card, x, y, rng.normal() * 0.12)))
            self.card_spans.append((clock, clock + length, card))
            clock += length
        clock = self._pause(clock, rng)
        for step in steps:
            length = rng.uniform(*STEP_SECONDS)  # before the motion: says nothing of mistakes
            at, look = self.look.bins[step.part], self.look
            motion = StepMotion(step.part, step.mistake, at, look.port, look.port_angle, rng)
            self._spans.append(_Span(clock, clock + length, motion=motion))
            self.steps.append(StepSpan(clock, clock + length, step))
            clock = self._pause(clock + length, rng)
        self.seconds = clock
        self._sway = Wander(rng, clock, 1.5, 5)
        self._tremble = Wander(rng, clock, 0.5, 6)
        self._other_hand = Wander(rng, clock, 2.0, 2)
        self._liveliness = rng.uniform(0.4, 1.3)

    def _pause(self, clock: float, rng: np.random.Generator) -> float:
        length = rng.uniform(*PAUSE_SECONDS)
        self._spans.append(_Span(clock, clock + length))
        return clock + float(length)

    @property
    def times(self) -> NDArray[np.float64]:
        """Media time of every frame, seconds."""
        return np.arange(int(self.seconds * self.fps)) / self.fps

    def moment(self, t_seconds: float) -> MotionState:
        """State of the motion at one time."""
        starts = [span.t_start for span in self._spans]
        index = max(0, int(np.searchsorted(starts, t_seconds, side="right")) - 1)
        span = self._spans[index]
        u = (t_seconds - span.t_start) / (span.t_end - span.t_start)
        if span.card is not None:
            return _show(span.card, u)
        if span.motion is not None:
            moment = span.motion.at(u)
            shake = self._tremble.at(t_seconds)[4:] * 0.006
            moment.hand = moment.hand + shake
            if moment.lifted and moment.part_at is not None:
                moment.part_at = moment.part_at + shake
            return moment
        return self._resting(index, u, t_seconds)

    def _resting(self, index: int, u: float, t_seconds: float) -> MotionState:
        moment = MotionState("idle", u, self._rest + self._tremble.at(t_seconds)[4:] * 0.004, 0.0)
        before = self._spans[index - 1].motion
        if before is not None and u < 0.5:  # what was left lying is seen, then cleared away
            last = before.at(1 - 1e-6)
            moment.part, moment.part_at = last.part, last.part_at
            moment.angle, moment.depth = last.angle, last.depth
        return moment

    def camera(self, t_seconds: float, size_px: int) -> Viewpoint:
        """The head's pose at one time."""
        sway, tremble = self._sway.at(t_seconds), self._tremble.at(t_seconds) * 0.004
        lively = self._liveliness
        shift = np.array([sway[0] * 0.035, sway[1] * 0.03]) * lively + tremble[:2]
        roll, zoom = sway[2] * 0.035 * lively, 1 + sway[3] * 0.03
        return Viewpoint(size_px, shift, roll, zoom, self.look.tilt + sway[4] * 0.02)

    def other_hand(self, moment: MotionState, t_seconds: float) -> NDArray[np.float64]:
        """The hand that does not work: resting, or steadying the fixture."""
        if moment.steadied:
            return np.asarray(np.add(self.look.port, (-0.2, 0.08)))
        return np.array([0.22, 1.02]) + self._other_hand.at(t_seconds) * 0.05

    def frames(self, size_px: int, times: Iterable[float] | None = None) -> Iterator[Image]:
        """Render RGB frames (S, S, 3) at `times` (default: all, at the recording's rate)."""
        painter = Painter(self.look, size_px)
        for t_seconds in self.times if times is None else times:
            t = float(t_seconds)
            # One small generator a frame: a frame looks the same whichever others are rendered.
            rng = np.random.default_rng([self._sensor_seed, round(t * 1000)])
            moment, camera = self.moment(t), self.camera(t, size_px)
            before = self.camera(max(0.0, t - 1 / 8), size_px)
            moved = np.abs(camera.matrix[:2, 2] - before.matrix[:2, 2]).sum() / size_px
            blur = bool(moved > 0.012 or rng.random() < 0.05)
            yield painter.frame(moment, self.other_hand(moment, t), camera, blur, rng)


def _show(card: tuple[int, float, float, float], u: float) -> MotionState:
    sign, x, y, angle = card
    shown = ease(u / 0.25) * (1 - ease((u - 0.78) / 0.22))
    y = 1.25 + (y - 1.25) * shown
    hand = np.array([x + 0.02, y + 0.19])
    return MotionState("card", u, hand, 1.0, card=(sign, x, y, angle))


def record(
    workflow: PlannedWorkflow, rng: np.random.Generator, mistake_rate: float, fps: float
) -> RenderedRecording:
    """Plan one recording of a workflow."""
    steps = plan(workflow, rng, mistake_rate)
    return RenderedRecording([workflow.card], steps, rng, fps)
