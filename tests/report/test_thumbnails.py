"""Pictures of alerts in the report."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from videos import set_display_matrix
from wire_data import alert, ref

from egomon.fusion.messages.types import Data, Evidence
from egomon.report import alert_stills, write_report
from egomon.report import thumbnails as stills

LEVEL_PER_SECOND = 8


def recording(path: Path, seconds: int = 30, begin: int = 0) -> Path:
    """Grey pictures, each second brighter by eight levels; one picture in 60 stands alone."""
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("libx264", rate=4, options={"g": "60"})
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        stream.time_base = Fraction(1, 4)
        for index in range(seconds * 4):
            level = index // 4 * LEVEL_PER_SECOND
            picture = np.full((160, 320, 3), level, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index + 4 * begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def second_of(jpeg: bytes) -> float:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (120, 240, 3)
    return float(picture.mean()) / LEVEL_PER_SECOND


def alert_at(second: float, alert_id: str) -> tuple[str, Data]:
    return "cam0", alert(alert_id=alert_id, segment=ref(1, start=second - 0.5, length=2.0))


def test_each_alert_gets_the_picture_of_its_own_moment(tmp_path: Path) -> None:
    video = recording(tmp_path / "a.mp4")
    events = [alert_at(24, "late"), alert_at(3, "early"), alert_at(4, "next")]
    found = alert_stills(events, {"cam0": video})
    seconds = {name: second_of(jpeg) for name, jpeg in found.items()}
    assert seconds == pytest.approx({"early": 3, "next": 4, "late": 24}, abs=0.6)


def test_names_times_and_orientation_of_a_recording_are_read_as_by_the_monitor(
    tmp_path: Path,
) -> None:
    video = recording(tmp_path / "2026-01-05T10:30:15.mkv", seconds=24, begin=1000)
    found = alert_stills([alert_at(3, "early"), alert_at(20, "late")], {"cam0": video})
    seconds = {name: second_of(jpeg) for name, jpeg in found.items()}
    assert seconds == pytest.approx({"early": 3, "late": 20}, abs=0.6)
    phone = recording(tmp_path / "phone.mp4", seconds=3)
    set_display_matrix(phone, (0, 1 << 16, -1 << 16, 0))
    jpeg = alert_stills([alert_at(1, "a")], {"cam0": phone})["a"]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[0] == 2 * picture.shape[1]


def test_a_live_alert_gets_the_middle_of_its_clip(tmp_path: Path) -> None:
    clip = recording(tmp_path / "clip.mp4", seconds=20)
    found = alert_stills([alert_at(500, "a"), alert_at(600, "b")], {}, {"a": clip})
    assert {name: round(second_of(jpeg)) for name, jpeg in found.items()} == {"a": 10}


def test_an_address_in_a_message_is_never_opened(tmp_path: Path) -> None:
    clip = recording(tmp_path / "clip.mp4", seconds=2)
    evidence = (Evidence(kind="clip", media_type="video/mp4", uri=clip.as_uri()),)
    events: list[tuple[str, Data]] = [("cam0", alert(evidence=evidence))]
    assert alert_stills(events, {}) == {}


def test_a_recording_that_cannot_be_read_gives_no_pictures_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    assert alert_stills([alert_at(1, "a")], {"cam0": broken}) == {}
    assert "no pictures from broken.mp4" in caplog.text


def test_pictures_of_a_page_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = recording(tmp_path / "a.mp4")
    events = [alert_at(1 + index, f"a-{index}") for index in range(20)]
    one = len(alert_stills(events[:1], {"cam0": video})["a-0"])
    monkeypatch.setattr(stills, "MOST_STILLS_BYTES", one * 5)
    assert 1 <= len(alert_stills(events, {"cam0": video})) <= 5


def test_the_page_carries_the_pictures_itself(tmp_path: Path) -> None:
    video = recording(tmp_path / "a.mp4")
    events = [alert_at(3, "a")]
    media = alert_stills(events, {"cam0": video})
    page = write_report(events, tmp_path / "out.html", title="x", media=media).read_text()
    assert '"a":"data:image/jpeg;base64,' in page
    assert str(tmp_path) not in page
