"""Annotation of a rendered frame: positions of things, their state, and a caption."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.motion import PHASES, MotionState
from egomon.train.simulator.record import RenderedRecording
from egomon.train.simulator.shapes import ARROW, CARDS, NOTCH, PARTS, turned

HAND, CARD, PORT = len(PARTS), len(PARTS) + 2, len(PARTS) + 2 + len(CARDS)
ARROW_TIP, NOTCH_TIP = PORT + 1, PORT + 2
THINGS = NOTCH_TIP + 1
"""Classes of the heat maps: parts, working and other hand, cards, port, the marked side of the part
and the notch that it must point to. Without the last two no model learned to see how a part is
turned."""


class PartState(NamedTuple):
    """The state of the visible part; -1 or 0 where nothing is seen."""

    phase: int
    part: int
    """Index of the visible part, -1 = none."""
    card: int
    turned: float
    """Cosine of the angle between its marked side and the notch."""
    depth: float
    distance: float
    """Between part and port, world units."""
    lifted: float


def things(
    recording: RenderedRecording, moment: MotionState, t_seconds: float
) -> NDArray[np.float32]:
    """Where each class is: (THINGS, 2) in [0, 1] of the picture, -1 where it is not shown."""
    look = recording.look
    notch = turned(NOTCH.mean(axis=0), look.port_angle) + look.port
    world: dict[int, NDArray[np.float64]] = {PORT: look.port, NOTCH_TIP: notch}
    if moment.card is not None:
        sign, x, y, _ = moment.card
        world[CARD + sign] = np.array([x, y])
        world[HAND + 1] = moment.hand
    else:
        world[HAND] = moment.hand
        world[HAND + 1] = recording.other_hand(moment, t_seconds)
    if moment.part_at is not None:
        world[moment.part] = moment.part_at
        arrow = turned(ARROW.mean(axis=0) * look.part_radius, moment.angle)
        world[ARROW_TIP] = moment.part_at + arrow
    places = recording.camera(t_seconds, 1)(np.stack(list(world.values())))
    if look.mirrored:
        places[:, 0] = 1 - places[:, 0]
    found = np.full((THINGS, 2), -1.0, np.float32)
    for thing, (x, y) in zip(world, places.tolist(), strict=True):
        if 0 <= x < 1 and 0 <= y < 1:
            found[thing] = x, y
    return found


def state(recording: RenderedRecording, moment: MotionState) -> PartState:
    """The frame's state, for dense supervision."""
    phase = PHASES.index(moment.phase)
    card = -1 if moment.card is None else moment.card[0]
    if moment.part_at is None:
        return PartState(phase, -1, card, 0.0, 0.0, 0.0, 0.0)
    look = recording.look
    turned = float(np.cos(moment.angle - look.port_angle))
    distance = float(np.hypot(*(moment.part_at - look.port)))
    return PartState(phase, moment.part, card, turned, moment.depth, distance, float(moment.lifted))


def caption(recording: RenderedRecording, moment: MotionState, rng: np.random.Generator) -> str:
    """A sentence about the frame; `rng` varies how much it tells."""
    look = recording.look
    words = [_action(recording, moment, rng)]
    if rng.random() < 0.5:
        words.append(f"{look.bench_name} bench")
    if rng.random() < 0.3:
        words.append(f"{look.light_name} light")
    return " ".join(words)


def _action(recording: RenderedRecording, moment: MotionState, rng: np.random.Generator) -> str:
    if moment.card is not None:
        return f"a hand shows the {CARDS[moment.card[0]]} card"
    if moment.phase == "idle":
        return "hands rest no part in hand"
    look, side = recording.look, f"{recording.look.side} hand"
    colour = f"{look.colour_names[moment.part]} " if rng.random() < 0.45 else ""
    part = f"the {colour}{PARTS[moment.part]}"
    wrong = moment.mistake
    turned = " turned wrong" if wrong == "orient" else ""
    match moment.phase:
        case "reach":
            return f"{side} reaches for {part} in the bin"
        case "grasp" | "grasp2":
            return f"{side} grasps {part}"
        case "carry" | "carry2":
            late = turned if moment.progress > 0.55 else ""
            return f"{side} carries {part}{late or ' to the port'}"
        case "fall" | "reach2":
            return f"{part} has fallen on the bench"
        case "align":
            where = "shaking at" if wrong == "fumble" else "at"
            where = "beside" if wrong == "misplace" else where
            return f"{side} holds {part} {where} the port{turned}"
        case "insert":
            where = "beside" if wrong == "misplace" else "into"
            return f"{side} presses {part} {where} the port{turned}"
    if wrong == "misplace":
        return f"{side} leaves {part} beside the port"
    if wrong == "incomplete":
        return f"{side} leaves {part} sticking out of the port"
    return f"{side} leaves the port part inserted"
