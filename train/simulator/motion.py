"""How hands and parts move through one step, as a function of its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.plan import RenderedMistake

Vec = NDArray[np.float64]
GRIP = np.array([0.0, 0.045])
"""The hand holds a part from below: offset of the hand from the part."""

USUAL = ("reach", "grasp", "carry", "align", "insert", "retract")
USUAL_SHARE = (0.22, 0.07, 0.25, 0.16, 0.14, 0.16)
DROPPED = (
    "reach", "grasp", "carry", "fall", "reach2", "grasp2", "carry2", "align", "insert", "retract",
)  # fmt: skip
DROPPED_SHARE = (0.17, 0.05, 0.12, 0.12, 0.12, 0.04, 0.14, 0.09, 0.09, 0.06)
PHASES = ("card", "idle", *USUAL, "fall", "reach2", "grasp2", "carry2")


@dataclass(slots=True)
class MotionState:
    """Everything the renderer needs to know of one instant."""

    phase: str
    progress: float
    """Progress of the phase, [0, 1]."""
    hand: Vec
    """Working hand, world units."""
    grip: float
    """0 open, 1 closed."""
    part: int = -1
    """Part index of the step; -1 outside steps."""
    part_at: Vec | None = None
    """Where the part is; None while it is not visible."""
    angle: float = 0.0
    """Direction of the part's marked side, radians."""
    depth: float = 0.0
    """How far it is in the port, [0, 1]."""
    lifted: bool = False
    """True while the part is in the hand."""
    mistake: RenderedMistake | None = None
    steadied: bool = False
    """True while the other hand holds the fixture."""
    card: tuple[int, float, float, float] | None = None
    """Order card: sign, x, y, angle."""


def ease(t: float) -> float:
    """Smooth step from 0 to 1."""
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


class Wander:
    """A smooth random curve over time: normal values every `spacing` seconds, joined linearly."""

    def __init__(self, rng: np.random.Generator, seconds: float, spacing: float, size: int) -> None:
        self._knots = np.arange(0.0, seconds + 2 * spacing, spacing)
        self._values = rng.normal(size=(len(self._knots), size))

    def at(self, t_seconds: float) -> Vec:
        """The curve's (size,) value at one time."""
        place = t_seconds / (self._knots[1] - self._knots[0])
        low = min(int(place), len(self._knots) - 2)
        share = place - low
        return np.asarray(self._values[low] * (1 - share) + self._values[low + 1] * share)


class StepMotion:
    """The path of one step; all random draws happen here, so `at` is a pure function.

    The step's duration is not known here: it is drawn before, without regard to the mistake.
    """

    def __init__(
        self,
        part: int,
        mistake: RenderedMistake | None,
        bin_at: Vec,
        port_at: Vec,
        port_angle: float,
        rng: np.random.Generator,
    ) -> None:
        self.part, self.mistake = part, mistake
        self.bin_at = bin_at
        self._draw_timing(rng)
        self._draw_targets(port_at, port_angle, rng)
        shaky = mistake == "fumble"
        self.cycles = rng.uniform(2.2, 3.5)
        self.sway = rng.uniform(0.05, 0.085) if shaky else rng.uniform(0, 0.014)
        self.twist = rng.uniform(0.5, 1.0) if shaky else rng.uniform(0, 0.15)
        self.steadied = bool(rng.random() < 0.3)
        self.presses_twice = bool(rng.random() < 0.2)

    def _draw_timing(self, rng: np.random.Generator) -> None:
        dropped = self.mistake == "drop"
        self.phases = DROPPED if dropped else USUAL
        share = np.array(DROPPED_SHARE if dropped else USUAL_SHARE)
        share *= rng.uniform(0.75, 1.25, len(share))
        # Slow but right alignment and pauses while carrying: long phases are no sign of mistakes.
        slow_align, slow_carry = rng.random(2) < 0.25
        if self.mistake == "fumble":
            share[3] *= 2.0
        elif slow_align:
            share[self.phases.index("align")] *= 1.9
        if slow_carry:
            share[2] *= 1.6
        self.ends = np.cumsum(share / share.sum())

    def _draw_targets(self, port_at: Vec, port_angle: float, rng: np.random.Generator) -> None:
        wrong_turn = rng.choice([-1, 1]) * rng.uniform(1.3, math.pi)
        self.target_angle = port_angle + rng.normal() * 0.08
        if self.mistake == "orient":
            self.target_angle = port_angle + wrong_turn
        start = rng.uniform(-math.pi, math.pi)
        self.start_angle = self.target_angle + (start + math.pi) % (2 * math.pi) - math.pi
        heading, offset = rng.uniform(0, 2 * math.pi), rng.uniform(0.19, 0.25)
        self.target = port_at.copy()
        if self.mistake == "misplace":
            self.target += offset * np.array([math.cos(heading), math.sin(heading) * 0.8])
        self.rest = np.array([0.62 + rng.normal() * 0.05, 1.0 + rng.normal() * 0.03])
        self.middle = (self.bin_at + port_at) / 2 + rng.normal(size=2) * 0.05
        self.fallen = self.middle + np.array([rng.uniform(-0.16, 0.16), rng.uniform(0.02, 0.14)])
        self.fallen_angle = self.start_angle + rng.uniform(-2, 2)
        self.deepest = {"incomplete": rng.uniform(0, 0.3), "misplace": 0.0}.get(
            self.mistake or "", 1.0
        )

    def at(self, progress: float) -> MotionState:
        """The moment at `progress` of the whole step, [0, 1)."""
        index = min(int(np.searchsorted(self.ends, progress, side="right")), len(self.phases) - 1)
        begin = self.ends[index - 1] if index else 0.0
        u = float((progress - begin) / (self.ends[index] - begin))
        phase = self.phases[index]
        moment = getattr(self, f"_{phase}")(u)
        assert isinstance(moment, MotionState)
        moment.part, moment.mistake, moment.steadied = self.part, self.mistake, self.steadied
        return moment

    def _reach(self, u: float) -> MotionState:
        return MotionState("reach", u, self.rest + (self.bin_at + GRIP - self.rest) * ease(u), 0.0)

    def _grasp(self, u: float) -> MotionState:
        shown = self.bin_at if u > 0.5 else None  # inside the bin it cannot be seen
        return MotionState(
            "grasp", u, self.bin_at + GRIP, ease(u),
            part_at=shown, angle=self.start_angle, lifted=True,
        )  # fmt: skip

    def _held(self, phase: str, u: float, at: Vec, angle: float) -> MotionState:
        return MotionState(phase, u, at + GRIP, 1.0, part_at=at, angle=angle, lifted=True)

    def _carry(self, u: float) -> MotionState:
        if self.mistake == "drop":
            at = self.bin_at + (self.middle - self.bin_at) * ease(u)
            return self._held("carry", u, at, self.start_angle)
        lift = np.array([0, -0.03 * math.sin(math.pi * u)])
        at = self.bin_at + (self.target - self.bin_at) * ease(u) + lift
        turn = (self.target_angle - self.start_angle) * ease((u - 0.2) / 0.8)
        return self._held("carry", u, at, self.start_angle + turn)

    def _fall(self, u: float) -> MotionState:
        way = min(1.0, 2.2 * u) ** 2
        return MotionState(
            "fall", u, self.middle + GRIP - (0, 0.02 * u), max(0.0, 1 - 3 * u),
            part_at=self.middle + (self.fallen - self.middle) * way,
            angle=self.start_angle + (self.fallen_angle - self.start_angle) * way,
        )  # fmt: skip

    def _reach2(self, u: float) -> MotionState:
        hand = self.middle + GRIP + (self.fallen - self.middle) * ease(u)
        return MotionState("reach2", u, hand, 0.0, part_at=self.fallen, angle=self.fallen_angle)

    def _grasp2(self, u: float) -> MotionState:
        moment = self._held("grasp2", u, self.fallen, self.fallen_angle)
        moment.grip = ease(u)
        return moment

    def _carry2(self, u: float) -> MotionState:
        at = self.fallen + (self.target - self.fallen) * ease(u)
        turn = (self.target_angle - self.fallen_angle) * ease(u)
        return self._held("carry2", u, at, self.fallen_angle + turn)

    def _align(self, u: float) -> MotionState:
        turn = 2 * math.pi * self.cycles * u
        fade = self.sway * math.sin(math.pi * min(1.0, u * 1.05))
        sway = np.array([math.sin(turn), 0.7 * math.sin(0.77 * turn + 1)]) * fade
        angle = self.target_angle + self.twist * math.sin(1.2 * turn)
        return self._held("align", u, self.target + sway, angle)

    def _insert(self, u: float) -> MotionState:
        pressed = min(1.0, 1.6 * u) if self.presses_twice else u
        depth = ease(pressed) * self.deepest
        dip = 0.012 * math.sin(math.pi * u * (2 if self.presses_twice else 1))
        shown = self.target if depth < 0.93 else None
        return MotionState(
            "insert", u, self.target + GRIP + (0, dip), 1.0,
            part_at=shown, angle=self.target_angle, depth=depth, lifted=True,
        )  # fmt: skip

    def _retract(self, u: float) -> MotionState:
        start = self.target + GRIP
        shown = self.target if self.deepest < 0.93 else None
        return MotionState(
            "retract", u, start + (self.rest - start) * ease(u), 0.0,
            part_at=shown, angle=self.target_angle, depth=self.deepest,
        )  # fmt: skip
