"""Each of the eight ways in which a camera may be held or mirror its picture."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.sidedata.sidedata import SideDataContainer
from videos import set_display_matrix, write_video

from egomon.stream.sources.decoding.orientation import UPRIGHT, orientation_of
from egomon.stream.sources.open import open_source

ONE = 1 << 16
WAYS = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda p: p[::-1, ::-1],
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): lambda p: np.rot90(p, 1),
    (0, 1, 1, 0): lambda p: p.swapaxes(0, 1),
    (0, -1, -1, 0): lambda p: np.rot90(p, 2).swapaxes(0, 1),
}


def picture() -> np.ndarray:
    """No turn or mirror image of it looks the same."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :32], image[:32, 64:], image[32:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return image


def seen(tmp_path: Path, matrix: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, int]]:
    path = tmp_path / "held.mp4"
    write_video(path, [picture()] * 2)
    set_display_matrix(path, matrix)
    with open_source(str(path)) as source:
        grab = source.read()
        assert grab is not None
        return grab.to_rgb(), (source.info.width, source.info.height)


@pytest.mark.parametrize("matrix", WAYS)
def test_a_picture_is_turned_and_mirrored_as_its_matrix_says(
    tmp_path: Path, matrix: tuple[int, ...]
) -> None:
    image, size = seen(tmp_path, tuple(value * ONE for value in matrix))
    wanted = WAYS[matrix](picture())
    assert image.shape == wanted.shape
    assert size == (wanted.shape[1], wanted.shape[0])
    assert np.abs(image.astype(int) - wanted).mean() < 12
    assert image.flags.c_contiguous


def test_an_orientation_sent_inside_the_video_holds_for_the_frames_after_it(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.ts", tmp_path / "turned.ts"
    write_video(plain, [picture()] * 8, options={"g": "4", "bf": "0"})
    with av.open(plain) as source, av.open(turned, "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        said = "h264_metadata=display_orientation=insert:rotate=90"
        turn = BitStreamFilterContext(said, source.streams.video[0])
        for packet in source.demux(video=0):
            for filtered in turn.filter(packet if packet.size else None):
                filtered.stream = stream
                target.mux(filtered)
    with open_source(str(turned)) as opened:
        images = [grab.to_rgb().astype(int) for grab in iter(opened.read, None)]
    wanted = np.rot90(picture())
    assert len(images) == 8
    assert all(image.shape == wanted.shape for image in images)
    assert max(np.abs(image - wanted).mean() for image in images) < 12


def test_a_camera_held_almost_straight_is_straightened_to_the_nearest_way(tmp_path: Path) -> None:
    cosine, sine = round(0.97 * ONE), round(0.24 * ONE)
    image, _ = seen(tmp_path, (cosine, sine, sine, -cosine))  # mirrored, and 14 degrees off
    assert np.abs(image.astype(int) - np.flipud(picture())).mean() < 12


def test_a_matrix_of_zeros_says_nothing(tmp_path: Path) -> None:
    image, _ = seen(tmp_path, (0, 0, 0, 0))
    assert np.abs(image.astype(int) - picture()).mean() < 12


def test_a_picture_goes_without_waiting_for_the_collector() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert orientation_of(frame) == UPRIGHT
    assert not [each for each in gc.get_referrers(frame) if isinstance(each, SideDataContainer)]
