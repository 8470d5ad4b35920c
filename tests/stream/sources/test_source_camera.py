"""Cameras as OpenCV opens them; test_source_v4l2 has those of Linux."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import RecordingListener

from egomon.errors import SourceOpenError
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.network.reconnecting import Reconnecting
from egomon.stream.sources.open import open_source
from egomon.stream.sources.webcam.camera import open_camera
from egomon.stream.sources.webcam.camera_list import describe_devices, list_devices
from egomon.stream.sources.webcam.opencv import OpenCvCamera
from egomon.testing import check_source

BLUE_BGR = (200, 20, 10)


class FakeCapture:
    """As `cv2.VideoCapture`, without a camera; remembers calls."""

    def __init__(
        self, frames: int = 1000, opened: bool = True, gate: threading.Event | None = None
    ) -> None:
        self.frames, self.opened, self.gate = frames, opened, gate
        self.calls: list[str] = []
        self.settings: list[tuple[int, float]] = []
        self.grabbed = self.retrieved = 0
        self.bad_pictures: set[int] = set()
        self.released = False
        self.threads: set[int] = set()
        self.stamps = False

    def isOpened(self) -> bool:
        return self.opened

    def set(self, key: int, value: float) -> bool:
        assert self.grabbed == 0, "settings after the first frame have no effect"
        self.settings.append((key, value))
        return True

    def get(self, key: int) -> float:
        values = {
            cv2.CAP_PROP_FRAME_WIDTH: 64.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 48.0,
            cv2.CAP_PROP_FPS: 30.0,
            cv2.CAP_PROP_POS_MSEC: 5000 + self.grabbed * 40.0 if self.stamps else 0.0,
        }
        return values[key]

    def grab(self) -> bool:
        self.threads.add(threading.get_ident())
        if self.gate is not None and self.grabbed >= 8:
            self.gate.wait(10)
        self.grabbed += 1
        return self.grabbed <= self.frames

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self.threads.add(threading.get_ident())
        self.retrieved += 1
        if self.retrieved in self.bad_pictures:
            return False, None
        return True, np.full((48, 64, 3), BLUE_BGR, np.uint8)

    def release(self) -> None:
        self.released = True


def camera(
    factory: Callable[[], FakeCapture],
    listener: RecordingListener | None = None,
    **options: object,
) -> Reconnecting:
    return open_camera(
        "0",
        OpenContext(
            options=SourceOptions(**options),  # type: ignore[arg-type]
            listener=listener or RecordingListener(),
        ),
        lambda reference, options: OpenCvCamera(reference, options, factory()),
    )


def test_a_camera_keeps_the_contract() -> None:
    gates: list[threading.Event] = []

    def waits(source: Source) -> None:
        for _ in range(3):
            source.read()

    check_source(lambda: camera(lambda: FakeCapture()), frames=20, ends=False)

    def gated() -> FakeCapture:
        gates.append(threading.Event())
        return FakeCapture(gate=gates[-1])

    source = camera(gated)
    waits(source)
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(source.read()))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    source.close()
    thread.join(3)
    for gate in gates:
        gate.set()
    assert answers == [None]


def test_settings_come_before_the_first_frame_and_warm_up_frames_are_dropped() -> None:
    capture = FakeCapture()
    with camera(lambda: capture, size=(1280, 720), fps=15.0, warmup_frames=4) as source:
        assert capture.grabbed == 4
        keys = [key for key, _ in capture.settings]
        assert keys == [
            cv2.CAP_PROP_FOURCC,
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FPS,
            cv2.CAP_PROP_BUFFERSIZE,
        ]
        assert capture.settings[0][1] == cv2.VideoWriter.fourcc(*"MJPG")
        assert capture.settings[-1][1] == 1
        assert source.info.kind == "live"
        assert (source.info.width, source.info.height, source.info.fps) == (64, 48, 30.0)
    assert capture.released


def test_pictures_are_rgb_and_decoded_only_when_asked_for_in_one_thread() -> None:
    capture = FakeCapture()
    with camera(lambda: capture) as source:
        for number in range(10):
            grab = source.read()
            assert grab is not None
            if number == 6:
                picture = grab.to_rgb()
    assert picture[0, 0].tolist() == list(reversed(BLUE_BGR))
    assert picture.flags.c_contiguous
    assert capture.retrieved == 1
    assert len(capture.threads) == 1
    assert capture.threads != {threading.get_ident()}


def test_the_drivers_own_time_is_used_where_there_is_one() -> None:
    capture = FakeCapture()
    capture.stamps = True
    with camera(lambda: capture) as source:
        times = [grab.t_seconds for grab in (source.read() for _ in range(5)) if grab]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_a_damaged_picture_becomes_the_one_before_and_is_counted() -> None:
    capture, listener = FakeCapture(), RecordingListener()
    capture.bad_pictures = {1, 3}
    with camera(lambda: capture, listener) as source:
        grabs = [source.read() for _ in range(1)]
        pictures = [grabs[0].to_rgb()] if grabs[0] else []
        for _ in range(2):
            grab = source.read()
            assert grab is not None
            pictures.append(grab.to_rgb())
    assert not pictures[0].any()
    assert (pictures[2] == pictures[1]).all()
    assert pictures[1].any()
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [("decode_error", 1)] * 2


def test_an_unplugged_camera_is_opened_again() -> None:
    captures = [FakeCapture(frames=9), FakeCapture(opened=False), FakeCapture()]
    opened: list[str] = []
    listener = RecordingListener()

    def factory() -> FakeCapture:
        opened.append("")
        return captures[len(opened) - 1]

    with camera(factory, listener) as source:
        epochs = [grab.epoch for grab in (source.read() for _ in range(8)) if grab]
    assert epochs == [0] * 4 + [1] * 4
    assert captures[0].released
    assert captures[1].released
    codes = [change.code for change in listener.states if change.state == "reconnecting"]
    assert codes == ["DEVICE_NOT_FOUND", "DEVICE_BUSY"]


def test_a_camera_that_was_lost_leaves_nothing_to_the_collector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, logger="egomon")  # a record that is kept holds its error
    captures: list[weakref.ref[FakeCapture]] = []

    def factory() -> FakeCapture:
        capture = FakeCapture(frames=9)
        captures.append(weakref.ref(capture))
        return capture

    gc.disable()
    try:
        with camera(factory) as source:
            while len(captures) < 3:
                grab = source.read()
                assert grab is not None
                grab.to_rgb()
                del grab
            assert captures[0]() is None
            assert captures[1]() is None
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux2 is Linux's")
def test_a_device_that_is_no_camera_is_said() -> None:
    with pytest.raises(SourceOpenError, match="/dev/null is no camera; ") as caught:
        open_source("/dev/null")
    assert caught.value.code == "DEVICE_NOT_FOUND"


def test_a_missing_camera_is_not_waited_for_and_said_with_what_is_there() -> None:
    patient = SourceOptions(open_timeout_seconds=600)
    with pytest.raises(SourceOpenError, match="no camera at /dev/video97") as caught:
        open_source("97", options=patient)
    assert caught.value.code == "DEVICE_NOT_FOUND"


def test_a_camera_that_cannot_be_opened_is_busy() -> None:
    with pytest.raises(SourceOpenError, match="another program") as caught:
        camera(lambda: FakeCapture(opened=False))
    assert caught.value.code == "DEVICE_BUSY"


def test_devices_are_listed_by_number_with_paths_that_survive_a_reboot(tmp_path: Path) -> None:
    sys_root, dev_root = tmp_path / "sys", tmp_path / "dev"
    for node, name, index in (
        ("video2", "Head cam", 0),
        ("video3", "Head cam", 1),
        ("video10", "Desk cam", 0),
    ):
        (sys_root / node).mkdir(parents=True)
        (sys_root / node / "name").write_text(name + "\n")
        (sys_root / node / "index").write_text(f"{index}\n")
    by_id = dev_root / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    (dev_root / "video2").touch()
    (by_id / "usb-Head-video-index0").symlink_to("../../video2")
    found = list_devices(sys_root=sys_root, dev_root=dev_root)
    assert [(d.index, d.name) for d in found] == [(2, "Head cam"), (10, "Desk cam")]
    assert found[0].path == str(by_id / "usb-Head-video-index0")
    assert found[1].path == str(dev_root / "video10")
    assert describe_devices(found) == "there is 2 (Head cam), 10 (Desk cam)"
    assert list_devices(sys_root=tmp_path / "none", dev_root=dev_root) == []
