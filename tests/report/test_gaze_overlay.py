"""The ring on the live picture: where the wearer looks, whatever was cut off on the way."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fakes import frame

from egomon.branches.bundle.card import CropMode, Preprocessing
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.cli.page.live_page import camera_of
from egomon.fusion.media.images import picture_of
from egomon.report.gaze_overlay import ringed
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Gaze


@pytest.mark.parametrize(
    ("crop", "pct", "detail", "x", "shown"),
    [
        ("squash", 1.0, False, 0.75, 0.75),
        ("squash", 0.8, False, 0.7, 0.75),
        ("center", 0.8, False, 0.6, 0.75),
        ("center", 1.0, False, 0.625, 0.75),  # the middle half of a picture twice as wide as high
        ("letterbox", 1.0, False, 0.75, 0.75),
        ("center", 1.0, True, 0.75, 0.75),  # the whole picture
        ("center", 1.0, False, 0.8, None),
    ],
)
def test_a_ring_shows_where_the_wearer_looks(
    crop: CropMode, pct: float, detail: bool, x: float, shown: float | None
) -> None:
    gaze = Gaze(x, 0.5, worn=True)
    plain = replace(frame(0.0, value=120, px=200), gaze=gaze)
    if detail:
        plain = replace(plain, detail=np.full((200, 200, 3), 120, np.uint8))
    before = plain.image.copy()
    picture = picture_of(plain, (800, 400))
    drawn = ringed(picture, plain, (800, 400), Preprocessing(crop=crop, crop_pct=pct))
    rows, columns = np.nonzero((drawn != 120).any(axis=2))
    if shown is None:
        assert not len(rows)
    else:
        high, wide = picture.shape[:2]
        assert columns.mean() / wide == pytest.approx(shown, abs=0.01)
        assert rows.mean() / high == pytest.approx(0.5, abs=0.01)
        assert rows.max() - rows.min() == columns.max() - columns.min(), "round"
    assert np.array_equal(plain.image, before)


def test_the_picture_of_a_letterboxed_frame_has_no_bars() -> None:
    prepare = ImagePreparer(128, "letterbox")
    for wide, high in ((800, 400), (300, 301), (90, 200)):
        source = np.full((high, wide, 3), 200, np.uint8)
        each = replace(frame(0.0), detail=prepare(source), letterboxed=True)
        picture = picture_of(each, (wide, high))
        assert picture.min() == 200
        assert picture.shape[1] / picture.shape[0] == pytest.approx(wide / high, rel=0.03)
        assert max(picture.shape) == 128


def test_no_ring_is_drawn_for_glasses_that_lie_on_the_table_or_a_gaze_far_away() -> None:
    for gaze in (None, Gaze(0.5, 0.5, worn=False), Gaze(3e38, -3e38, worn=True)):
        each = replace(frame(0.0, px=64), gaze=gaze)
        assert not ringed(each.image, each, (640, 480), Preprocessing()).any()


def test_a_ring_at_the_border_is_cut_off_and_is_bright_within_dark() -> None:
    for corner in (0.0, 1.0):
        plain = replace(frame(0.0, value=120, px=200), gaze=Gaze(corner, corner, worn=True))
        drawn = ringed(plain.image, plain, None, Preprocessing())
        row = (drawn if corner == 0.0 else drawn[::-1, ::-1])[0]
        assert [row[at].tolist() for at in (0, 5, 8, 11, 20)] == [
            [120] * 3, [0] * 3, [255, 220, 0], [0] * 3, [120] * 3,
        ]  # fmt: skip


def test_the_live_picture_has_the_ring() -> None:
    buffer = RollingBuffer(seconds=5, max_bytes=1 << 20, on_full="drop_oldest")
    item = SimpleNamespace(
        name="cam0", buffer=buffer, size=(640, 480), preprocessing=Preprocessing(crop="squash")
    )
    camera = camera_of([item])  # type: ignore[list-item]
    gaze = Gaze(0.5, 0.5, worn=True)
    for t, each in ((1, gaze), (2, None)):
        buffer.push(replace(frame(t, value=120, px=64), gaze=each))
        found = camera("cam0", -1)
        assert found is not None
        picture = cv2.imdecode(np.frombuffer(found[1], np.uint8), cv2.IMREAD_COLOR)
        assert (np.ptp(picture) > 50) == (each is not None)
