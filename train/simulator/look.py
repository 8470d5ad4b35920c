"""Appearance of one recording: bench, light, colours, gloves, positions; all drawn at once.

Everything is drawn at one fixed resolution and warped to the wanted size, so the same seed gives
the same scene at any size.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.motion import Vec
from egomon.train.simulator.shapes import COLOURS, NOTCH, PARTS, turned

Image = NDArray[np.uint8]
RGB = tuple[int, int, int]

BENCH_PX = 336
"""Side of the bench picture; it covers world coordinates [-0.25, 1.25] in both directions."""
MARGIN = 0.25
BENCHES: dict[str, RGB] = {
    "wooden": (170, 130, 90),
    "metal": (160, 160, 160),
    "green": (80, 130, 90),
    "dark": (60, 55, 55),
    "light": (215, 210, 205),
}
LIGHTS = {"dim": 0.6, "normal": 0.87, "bright": 1.1}
SKINS: tuple[RGB, ...] = (
    (205, 150, 120), (175, 120, 90), (120, 80, 55), (40, 40, 40), (200, 200, 200), (40, 110, 190),
    (230, 160, 40), (90, 170, 90),
)  # fmt: skip
"""Hands and gloves."""


def to_bench(points: NDArray[np.floating]) -> Vec:
    """World coordinates to pixels of the bench picture."""
    return (np.asarray(points, np.float64) + MARGIN) / (1 + 2 * MARGIN) * BENCH_PX


def paint(values: NDArray[Any] | RGB, scale: float = 1.0) -> RGB:
    """Floats to a colour that cv2 takes."""
    r, g, b = np.clip(np.asarray(values, np.float64) * scale, 0, 255).astype(int).tolist()
    return r, g, b


class Appearance:
    """One recording's appearance; positions are in world units, the visible bench is [0, 1]²."""

    def __init__(self, rng: np.random.Generator) -> None:
        columns, rows = (0.14, 0.38, 0.62, 0.86), (0.10, 0.31)
        slots = np.array([(x, y) for y in rows for x in columns]) + rng.normal(size=(8, 2)) * 0.01
        # Shuffled for each recording: a bin's place says nothing of what lies in it.
        self.bins = slots[rng.permutation(len(PARTS))]
        self.port = np.array([0.5 + rng.uniform(-0.13, 0.13), 0.68 + rng.uniform(-0.05, 0.05)])
        self.port_angle = float(rng.uniform(-0.6, 0.6))
        self.part_radius = 0.108 * float(rng.uniform(0.94, 1.06))
        names = tuple(COLOURS)
        self.colour_names = tuple(names[int(rng.integers(len(names)))] for _ in PARTS)
        self.part_colours = tuple(
            paint(np.array(COLOURS[name]) + rng.normal(size=3) * 16) for name in self.colour_names
        )
        self.mirrored = bool(rng.random() < 0.5)
        skin = np.array(SKINS[int(rng.integers(len(SKINS)))], np.float64)
        self.hand_colour = paint(skin + rng.normal(size=3) * 10)
        self.hand_shade = paint(self.hand_colour, 0.62)
        self.sleeve_colour = paint(rng.integers(20, 230, 3))
        self.bench_name = tuple(BENCHES)[int(rng.integers(len(BENCHES)))]
        self.light_name = tuple(LIGHTS)[int(rng.choice(3, p=[0.25, 0.5, 0.25]))]
        self.tilt = float(rng.uniform(0.05, 0.3))
        self.bench = self._bench(rng)
        self._light_centre = rng.uniform(0, 1, 2)
        self._light_fall = float(rng.uniform(0.1, 0.55))
        self._light_tint = 1 + rng.normal(size=3) * 0.06
        self.noise_level = int(rng.integers(3))

    @property
    def side(self) -> str:
        """Which hand works, as the wearer sees it."""
        return "left" if self.mirrored else "right"

    def light(self, size_px: int) -> Image:
        """Light map (S, S, 3), 128 = unchanged."""
        y, x = np.mgrid[0:size_px, 0:size_px] / size_px
        cx, cy = self._light_centre
        fall = 1.08 - self._light_fall * np.hypot(x - cx, y - cy)
        light = LIGHTS[self.light_name] * fall[..., None] * self._light_tint
        return np.asarray(np.clip(light * 128, 0, 255), np.uint8)

    def _bench(self, rng: np.random.Generator) -> Image:
        image = self._table(rng)
        for _ in range(int(rng.integers(0, 9))):
            _distract(image, rng)
        bin_colour = rng.integers(40, 220, 3)
        for centre in self.bins:
            half = np.array([0.108, 0.1])
            _box(image, centre, half, paint(bin_colour), -1)
            _box(image, centre, half, paint(bin_colour, 0.5), BENCH_PX // 100)
            _box(image, centre, half * (0.75, 0.7), paint(bin_colour, 0.35), -1)
        self._fixture(image, rng)
        return image

    def _table(self, rng: np.random.Generator) -> Image:
        coarse = rng.normal(size=(BENCH_PX // int(rng.integers(6, 20)), int(rng.integers(8, 80))))
        grain = cv2.resize(coarse, (BENCH_PX, BENCH_PX), interpolation=cv2.INTER_CUBIC)
        speckle = rng.normal(size=(BENCH_PX, BENCH_PX))
        texture = grain * rng.uniform(4, 16) + speckle * rng.uniform(1, 6)
        base = np.array(BENCHES[self.bench_name]) + rng.normal(size=3) * 14
        return np.asarray(np.clip(base + texture[..., None], 0, 255), np.uint8)

    def _fixture(self, image: Image, rng: np.random.Generator) -> None:
        body = np.array([(-0.2, -0.18), (0.2, -0.18), (0.2, 0.18), (-0.2, 0.18)])
        colour = rng.integers(60, 230, 3)
        corners = to_bench(turned(body, self.port_angle) + self.port).astype(np.int32)
        cv2.fillConvexPoly(image, corners, paint(colour), cv2.LINE_AA)
        cv2.polylines(image, [corners], True, paint(colour, 0.5), BENCH_PX // 90, cv2.LINE_AA)
        x, y = to_bench(self.port).astype(int).tolist()
        hole_px = int(0.135 / (1 + 2 * MARGIN) * BENCH_PX)
        cv2.circle(image, (x, y), hole_px, paint(colour, 0.22), -1, cv2.LINE_AA)
        corners = to_bench(turned(NOTCH, self.port_angle) + self.port).astype(np.int32)
        cv2.fillConvexPoly(image, corners, (255, 40, 40), cv2.LINE_AA)


def _box(image: Image, centre: Vec, half: Vec, colour: RGB, thickness: int) -> None:
    (x0, y0), (x1, y1) = to_bench(np.stack([centre - half, centre + half])).astype(int).tolist()
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness)


def _distract(image: Image, rng: np.random.Generator) -> None:
    """Something on the bench that has nothing to do with the work."""
    x, y = to_bench(rng.uniform(-0.2, 1.2, 2)).tolist()
    width, height = (BENCH_PX * rng.uniform(0.02, 0.1, 2)).tolist()
    angle, colour = math.degrees(rng.uniform(0, math.pi)), paint(rng.integers(20, 235, 3))
    if rng.random() < 0.5:
        corners = cv2.boxPoints(((x, y), (width, height), angle)).astype(np.int32)
        cv2.fillConvexPoly(image, corners, colour, cv2.LINE_AA)
    else:
        axes = (int(width), int(height))
        cv2.ellipse(image, (int(x), int(y)), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
