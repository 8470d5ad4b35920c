"""Faces are covered before anything is written; where they cannot be, nothing is."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from fakes import image
from test_clip_writer import Bench, Sink, filled
from test_lifecycle import make, run

from egomon.errors import StoreError
from egomon.fusion.media.attach import EVIDENCE_FAILED, EvidenceAttacher
from egomon.fusion.media.face_blur import FaceBlur, cover
from egomon.fusion.media.yunet import Box
from egomon.stream.frame import Frame, Segment, UInt8Image

FACE: Box = (16.0, 24.0, 16.0, 16.0)


class Finder:
    """Finds what the script says, picture by picture; after it, nothing."""

    def __init__(self, *script: list[Box] | Exception) -> None:
        self._script = list(script)
        self.shapes: list[tuple[int, ...]] = []

    def find(self, picture: UInt8Image) -> list[Box]:
        self.shapes.append(picture.shape)
        found = self._script.pop(0) if self._script else []
        if isinstance(found, Exception):
            raise found
        return found


def checkered(px: int = 64) -> UInt8Image:
    """Black and white, dot by dot: any blur shows."""
    dots = np.indices((px, px)).sum(axis=0) % 2 * 255
    return np.repeat(dots[..., None], 3, axis=2).astype(np.uint8)


def frames(count: int) -> list[Frame]:
    return [Frame(image(0), checkered(), i / 4, 0, 0, i, 0) for i in range(count)]


def is_covered(picture: UInt8Image) -> bool:
    """Whether the face is of nearly one colour; uncovered it has black and white dots."""
    return bool(np.ptp(picture[24:40, 16:32].astype(int)) < 80)


def test_a_face_and_its_margin_are_a_few_colours_and_the_rest_is_untouched() -> None:
    picture = checkered()
    out = cover(picture, [FACE])
    assert is_covered(out)
    changed = np.argwhere((out != picture).any(axis=2))
    assert changed.min(axis=0).tolist() == [20, 12]
    assert changed.max(axis=0).tolist() == [43, 35]
    assert np.array_equal(picture, checkered())


@pytest.mark.parametrize(
    "box", [(-40, -40, 8, 8), (-8, -8, 30, 30), (50, 50, 99, 99), (9, 9, 0, 0)]
)
def test_a_face_at_the_border_or_outside_is_no_error(box: Box) -> None:
    assert cover(checkered(), [box]).shape == (64, 64, 3)


def test_a_face_is_covered_in_the_frames_beside_the_one_that_shows_it() -> None:
    made = FaceBlur(Finder([], [], [FACE], [], [])).frames(frames(5), None)
    assert [is_covered(frame.image) for frame in made] == [False, True, True, True, False]
    assert all(frame.detail is None for frame in made)


def test_faces_are_looked_for_in_the_sources_own_proportions() -> None:
    finder = Finder()
    FaceBlur(finder).frames(frames(1), (1280, 640))
    assert finder.shapes == [(32, 64, 3)]


def test_a_clip_shows_no_face_and_says_that_it_is_blurred(tmp_path: Path) -> None:
    made = FaceBlur(Finder(*[[FACE]] * 8)).write_clip(tmp_path / "b.mp4", frames(8))
    assert made.blurred
    with av.open(str(tmp_path / "b.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 8
    assert all(is_covered(picture) for picture in shown)


def test_a_clip_whose_faces_cannot_be_looked_for_is_not_written_and_the_fault_passes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blur = FaceBlur(Finder([], [FACE], RuntimeError("no memory")))
    with Bench(tmp_path, blur.write_clip) as bench, caplog.at_level(logging.WARNING):
        bench.clip("a-1")
        assert list(tmp_path.iterdir()) == []
        assert bench.store.media("a-1") == []
        assert "no memory" in (bench.writer.fault or "")
        assert (bench.writer.failed, blur.failed) == (1, 1)
        bench.clip("a-2")
        assert bench.writer.fault is None
    assert [path.name for path in tmp_path.iterdir()] == ["a-2.mp4"]


def test_an_alert_whose_picture_cannot_be_blurred_goes_out_without_it_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    blur = FaceBlur(Finder(RuntimeError("no memory"), [FACE]))
    sink, lifecycle = Sink(), make(overlapping=False)
    sink.store_error = None  # type: ignore[attr-defined]
    attacher = EvidenceAttacher(sink, snapshot=True, blur=blur)  # type: ignore[arg-type]
    stage = SimpleNamespace(lifecycle=lifecycle, on_open=None)
    attacher.add_source(stage, "cam", filled(1.0))  # type: ignore[arg-type]
    shown = Segment(0, "cam", 0, 1, 0, np.zeros(1), tuple(frames(1)))
    faults = []
    for _ in range(2):
        (new,) = (e for e in run(lifecycle, [9]) if e.phase == "new")
        lifecycle.close("shutdown")
        stage.on_open(new.alert_id, shown)
        attacher.emit("cam", new)
        faults.append(attacher.faults().get(EVIDENCE_FAILED))
    assert [count for _, count in sink.sent] == [0, 1]
    assert sink.sent[0][0].evidence == ()
    assert sink.sent[1][0].evidence[0].blurred
    assert (faults[0] or "").startswith("faces cannot be blurred")
    assert faults[1] is None
    assert blur.failed == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_picture_that_goes_out_shows_no_face() -> None:
    shown = Segment(0, "cam", 0, 1, 0, np.zeros(3), tuple(frames(3)))
    made = FaceBlur(Finder([FACE])).snapshot(shown)
    assert made is not None
    picture = cv2.imdecode(np.frombuffer(made[1], np.uint8), cv2.IMREAD_COLOR)
    assert is_covered(picture)
    assert FaceBlur(Finder()).snapshot(Segment(0, "cam", 0, 1, 0, np.zeros(0))) is None


def test_a_failure_is_told_as_one_sentence() -> None:
    with pytest.raises(
        StoreError, match="faces cannot be looked for, so nothing is kept: no memory"
    ):
        FaceBlur(Finder(RuntimeError("no memory"))).frames(frames(1), None)
