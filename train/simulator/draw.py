"""Draws one frame: bench, parts, hands, order card, then blur, light and sensor noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from egomon.train.simulator.look import BENCH_PX, MARGIN, RGB, Appearance, Image, paint
from egomon.train.simulator.motion import MotionState, Vec
from egomon.train.simulator.shapes import ARROW, CARDS, HOLES, OUTLINES, PARTS, SIGNS, turned

SHIFT = 4
"""cv2 draws at 1/16 pixel."""


@lru_cache(maxsize=8)
def _noise(size_px: int, level: int) -> tuple[Image, ...]:
    """Six sensor-noise pictures around 128; the same for every recording."""
    rng = np.random.default_rng([5, level])
    sigma = (2.0, 4.0, 7.0)[level]
    shape = (size_px, size_px, 3)
    return tuple(np.clip(rng.normal(128, sigma, shape), 0, 255).astype(np.uint8) for _ in range(6))


class Viewpoint:
    """Where the head looks: a homography from world units to pixels of a square image."""

    def __init__(self, size_px: int, shift: Vec, roll: float, zoom: float, pitch: float) -> None:
        c, s = np.cos(roll) * zoom, np.sin(roll) * zoom
        tx, ty = shift
        move = np.array(
            [[c, -s, 0.5 + tx - 0.5 * (c - s)], [s, c, 0.5 + ty - 0.5 * (s + c)], [0, 0, 1]]
        )
        far = 0.3 * pitch  # the top of the bench is farther away
        lean = np.array([[1, -pitch / 2, far], [0, 1 - pitch / 2, far], [0, -pitch, 1 + 2 * far]])
        self.size_px = size_px
        self.matrix = np.diag([size_px, size_px, 1.0]) @ lean @ move

    def __call__(self, points: NDArray[np.floating]) -> Vec:
        """World points (N, 2) to pixels (N, 2)."""
        places = np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(places[:, :2] / places[:, 2:])


class Painter:
    """Draws the moments of one recording at one size."""

    def __init__(self, look: Appearance, size_px: int) -> None:
        self.look, self.size_px = look, size_px
        self._light = look.light(size_px)
        self._noise = _noise(size_px, look.noise_level)

    def frame(
        self,
        moment: MotionState,
        other_hand: Vec,
        camera: Viewpoint,
        blur: bool,
        rng: np.random.Generator,
    ) -> Image:
        """One RGB frame (S, S, 3); `rng` picks blur direction, gain and noise only."""
        size = self.size_px
        unit = 1 + 2 * MARGIN
        from_bench = np.array(
            [[unit / BENCH_PX, 0, -MARGIN], [0, unit / BENCH_PX, -MARGIN], [0, 0, 1]]
        )
        image: Image = cv2.warpPerspective(
            self.look.bench, camera.matrix @ from_bench, (size, size), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # type: ignore[assignment]  # fmt: skip
        if moment.part_at is not None and not moment.lifted:
            self._part(image, moment, camera)
        if moment.card is None:
            self._hand(image, other_hand, 0.4, -1, camera)
        side = -1 if moment.card is not None else 1
        fingers = self._hand(image, moment.hand, moment.grip, side, camera)
        if moment.part_at is not None and moment.lifted:
            self._part(image, moment, camera)
        self._thumb(image, fingers)
        if moment.card is not None:
            self._card(image, moment.card, camera)
        return self._sensor(image, blur, rng)

    def _sensor(self, image: Image, blur: bool, rng: np.random.Generator) -> Image:
        if self.look.mirrored:
            image = cv2.flip(image, 1)  # type: ignore[assignment]
        sideways, gain, pick = rng.random() < 0.6, rng.uniform(0.96, 1.04), int(rng.integers(6))
        if blur:
            width = max(3, self.size_px // 40) | 1
            image = cv2.blur(image, (width, 1) if sideways else (1, width))  # type: ignore[assignment]
        image = cv2.multiply(image, self._light, scale=gain / 128)  # type: ignore[assignment]
        return cv2.addWeighted(image, 1, self._noise[pick], 1, -128)  # type: ignore[return-value]

    def _fill(self, image: Image, corners: Vec, colour: RGB) -> None:
        cv2.fillPoly(image, [_fixed(corners)], colour, cv2.LINE_AA, SHIFT)

    def _part(self, image: Image, moment: MotionState, camera: Viewpoint) -> None:
        part_at = moment.part_at
        if part_at is None:
            return
        name = PARTS[moment.part]
        radius = self.look.part_radius * (1 - 0.18 * moment.depth)
        shade = 1 - (0.6 if moment.lifted else 0.5) * moment.depth
        colour = paint(self.look.part_colours[moment.part], shade)
        bright = sum(colour) > 200

        def place(points: NDArray[np.floating]) -> Vec:
            return camera(turned(points * radius, moment.angle) + part_at)

        corners = _fixed(place(OUTLINES[name]))
        edge = paint(colour, 0.45) if bright else (150, 150, 150)
        cv2.fillPoly(image, [corners], colour, cv2.LINE_AA, SHIFT)
        cv2.polylines(image, [corners], True, edge, max(1, self.size_px // 120), cv2.LINE_AA, SHIFT)
        if name in HOLES:
            angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
            ring = np.stack([np.cos(angles), np.sin(angles)], 1) * HOLES[name]
            self._fill(image, place(ring), (30, 30, 30))
        rim = np.array([(0.15, -0.45), (1.25, 0.0), (0.15, 0.45)])
        self._fill(image, place(rim), paint((240, 240, 240), max(shade, 0.6)))
        self._fill(image, place(ARROW), paint((255, 40, 40), max(shade, 0.6)))

    def _hand(self, image: Image, at: Vec, grip: float, side: int, camera: Viewpoint) -> Vec:
        """Arm, palm and fingers; gives the thumb's base and tip, which go over a held part."""
        x, y = at
        look, size = self.look, self.size_px
        spread = 0.030 + 0.034 * (1 - grip)
        tips = [
            (x + spread * (i - 1.5) * 0.9, y - 0.015 - 0.01 * (1 - abs(i - 1.5))) for i in range(4)
        ]
        knuckles = [(x + 0.026 * (i - 1.5) + side * 0.012, y + 0.075) for i in range(4)]
        thumb = [(x - side * 0.018, y + 0.11), (x - side * (spread + 0.012), y + 0.035)]
        arm = [(x + side * 0.03, y + 0.16), (0.5 + side * 0.34 + (x - 0.5) * 0.25, 1.35)]
        palm = [(x + side * 0.015, y + 0.10)]
        places = camera(np.array(arm + palm + thumb + tips + knuckles))
        wrist, elbow = places[0], places[1]
        along = (elbow - wrist) / (np.hypot(*(elbow - wrist)) + 1e-6)
        across = np.array([-along[1], along[0]]) * size
        sleeve = np.stack(
            [
                wrist + across * 0.042,
                wrist - across * 0.042,
                elbow - across * 0.085,
                elbow + across * 0.085,
            ]
        )
        self._fill(image, sleeve, look.sleeve_colour)
        px, py = places[2].astype(int).tolist()
        cv2.ellipse(
            image,
            (px, py),
            (int(size * 0.062), int(size * 0.075)),
            0,
            0,
            360,
            look.hand_colour,
            -1,
            cv2.LINE_AA,
        )
        width = max(2, round(size * 0.04))
        for i in range(4):
            colour = look.hand_shade if i % 2 else look.hand_colour
            _line(image, places[9 + i], places[5 + i], colour, width)
        return places[3:5]

    def _thumb(self, image: Image, places: Vec) -> None:
        _line(
            image, places[0], places[1], self.look.hand_shade, max(1, round(self.size_px * 0.028))
        )

    def _card(self, image: Image, card: tuple[int, float, float, float], camera: Viewpoint) -> None:
        sign, x, y, angle = card
        ink = (30, 30, 40)

        def place(points: NDArray[np.floating]) -> Vec:
            return camera(turned(np.asarray(points) * 0.17, angle) + np.array([x, y]))

        self._fill(image, place(np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])), (240, 240, 235))
        for outline in SIGNS[CARDS[sign]]:
            self._fill(image, place(outline), ink)
        if CARDS[sign] == "eye":
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            self._fill(
                image, place(0.22 * np.stack([np.cos(angles), np.sin(angles)], 1)), (240, 240, 235)
            )


def _fixed(points: Vec) -> NDArray[np.int32]:
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def _line(image: Image, start: Vec, end: Vec, colour: RGB, width: int) -> None:
    (x0, y0), (x1, y1) = _fixed(np.stack([start, end])).tolist()
    cv2.line(image, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA, SHIFT)
