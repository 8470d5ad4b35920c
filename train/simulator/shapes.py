"""Outlines of the parts and of the signs on the order cards, in units of their own size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""(N, 2) outline; a part's marked side points to +x."""

ARROW = np.array([(0.25, -0.3), (1.05, 0.0), (0.25, 0.3)])
"""Painted on every part, in units of the part: shows which side must point to the notch."""
NOTCH = np.array([(0.245, -0.055), (0.245, 0.055), (0.15, 0.0)])
"""Painted on the fixture, in world units from the port: where the arrow must point."""

PARTS = ("gear", "bracket", "tee", "nut", "wedge", "cross", "ring", "plate")
CARDS = ("star", "bars", "moon", "grid", "bolt", "eye", "hook", "tree")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (210, 50, 50),
    "green": (60, 170, 60),
    "blue": (40, 100, 200),
    "yellow": (230, 200, 40),
    "white": (225, 225, 225),
    "black": (40, 40, 40),
    "orange": (240, 130, 30),
    "purple": (150, 60, 170),
    "cyan": (50, 190, 200),
    "grey": (130, 130, 130),
}
"""Paint of a part, RGB; drawn afresh for each recording, so colour says nothing of identity."""


def _circle(radius: float, count: int, first: float = 0.0, last: float = 2 * math.pi) -> Points:
    angles = np.linspace(first, last, count, endpoint=last - first < 2 * math.pi - 1e-6)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1).astype(np.float32)


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, np.float32)


def _gear() -> Points:
    radii = np.where(np.arange(24) % 4 < 2, 1.1, 0.72)
    return (_circle(1.0, 24) * radii[:, None]).astype(np.float32)


OUTLINES: dict[str, Points] = {
    "gear": _gear(),
    "bracket": _points((-1, -1), (-0.4, -1), (-0.4, 0.35), (1.1, 0.35), (1.1, 1), (-1, 1)),
    "tee": _points(
        (-0.9, -1.05), (-0.3, -1.05), (-0.3, -0.3), (1.15, -0.3), (1.15, 0.3), (-0.3, 0.3),
        (-0.3, 1.05), (-0.9, 1.05),
    ),
    "nut": _circle(1.0, 6),
    "wedge": _points((-0.95, -0.95), (-0.95, 0.95), (1.3, 0)),
    "cross": _points(
        (-0.3, -1.1), (0.3, -1.1), (0.3, -0.3), (1.15, -0.3), (1.15, 0.3), (0.3, 0.3), (0.3, 1.1),
        (-0.3, 1.1), (-0.3, 0.3), (-1.1, 0.3), (-1.1, -0.3), (-0.3, -0.3),
    ),
    "ring": _circle(1.0, 22),
    "plate": _points((-1.25, -0.55), (1.25, -0.55), (1.25, 0.55), (-1.25, 0.55)),
}  # fmt: skip

HOLES: dict[str, float] = {"gear": 0.32, "nut": 0.5, "ring": 0.62}
"""Radius of the dark hole in the middle; absent = none."""


def _star() -> Points:
    radii = np.where(np.arange(10) % 2 == 0, 0.8, 0.33)
    angles = math.pi * np.arange(10) / 5
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], 1).astype(np.float32)


def _box(x: float, y: float, width: float, height: float) -> Points:
    return _points((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def _moon() -> Points:
    inner = _circle(0.45, 10, 5.0, 1.3) + np.array([0.35, 0], np.float32)
    return np.concatenate([_circle(0.7, 14, 0.9, 5.4), inner]).astype(np.float32)


SIGNS: dict[str, tuple[Points, ...]] = {
    "star": (_star(),),
    "bars": tuple(_box(-0.7, y, 1.4, 0.25) for y in (-0.6, -0.1, 0.4)),
    "moon": (_moon(),),
    "grid": tuple(_box(x, y, 0.5, 0.5) for x in (-0.65, 0.15) for y in (-0.65, 0.15)),
    "bolt": (
        _points(
            (-0.1, -0.8), (0.5, -0.8), (0.1, -0.1), (0.5, -0.1), (-0.4, 0.85), (-0.1, 0.1),
            (-0.5, 0.1),
        ),
    ),
    "eye": (
        _points((-0.8, 0), (-0.3, -0.45), (0.3, -0.45), (0.8, 0), (0.3, 0.45), (-0.3, 0.45)),
    ),
    "hook": (
        _points(
            (-0.5, -0.8), (-0.15, -0.8), (-0.15, 0.4), (0.3, 0.4), (0.3, 0.1), (0.65, 0.1),
            (0.65, 0.75), (-0.5, 0.75),
        ),
    ),
    "tree": (
        _points(
            (0, -0.85), (0.6, 0), (0.2, 0), (0.7, 0.55), (0.15, 0.55), (0.15, 0.85),
            (-0.15, 0.85), (-0.15, 0.55), (-0.7, 0.55), (-0.2, 0), (-0.6, 0),
        ),
    ),
}  # fmt: skip


def turned(points: NDArray[np.floating], angle: float) -> NDArray[np.float64]:
    """Rotate (N, 2) points by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[c, s], [-s, c]]), np.float64)
