"""An HTTP address is watched as what it is: a recording waits and ends, a camera does neither."""

from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
import pytest
from fakes import ScriptedLarge
from http_server import serving
from test_monitor import alerts, bright_at, bundle

from egomon.config import load_settings
from egomon.config_sections import SourceSettings
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData, Data, StatusData
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.messages import RunSummary

FPS = 10


def write(path: Path) -> Path:
    """20 s, bright from 8 to 11: an alert."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _, _, value in bright_at((8, 11), seconds=20):
            image = np.full((64, 64, 3), value, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def watch(reference: str, encode_seconds: float = 0.0) -> tuple[RunSummary, list[Data]]:
    """One run to its end, with models so slow that a live source would lose frames."""
    events: list[Data] = []
    models = bundle(ScriptedLarge([3.0] * 99))
    quick = models.encoder.encode

    def slow(images: np.ndarray) -> np.ndarray:
        time.sleep(encode_seconds)
        return np.asarray(quick(images))

    models.encoder.encode = slow
    monitor = Monitor(
        [SourceRequest.of("cam", reference)],
        load_settings(
            None,
            {
                "bus": {"publish": (), "control": "none"},
                "store": {"path": "none"},
                "source": {"staleness_seconds": 0.05},
            },
        ),
        bundle=models,
        listeners=[lambda name, data: events.append(data)],
    )
    return monitor.run(), events


def nameless(alert: AlertData) -> bytes:
    """Without its id, which comes from the address."""
    return encode(msgspec.structs.replace(alert, alert_id=""))


def test_a_recording_over_http_gives_the_alerts_of_the_file_and_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "work.mkv")
    local, at_home = watch(str(path))
    with serving(path.read_bytes(), hang_up_after=2000) as (address, _):
        far, away = watch(f"{address}/work.mkv", encode_seconds=0.1)
    assert [a.phase for a in alerts(away)] == ["new", "end"]
    assert list(map(nameless, alerts(away))) == list(map(nameless, alerts(at_home)))
    assert far.frames == local.frames == {"decoded": 200, "sampled": 80, "encoded": 80}
    assert far.stopped_by == "end"
    assert [e.source_state for e in away if isinstance(e, StatusData)][-1] == "ended"


def test_a_camera_over_http_is_live() -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    with serving(b"", jpeg=jpeg) as (address, _):
        assert SourceRequest.of("cam", f"{address}/mjpeg").is_live


@pytest.mark.parametrize("kind", ["live", "file"])
def test_who_says_what_it_is_is_believed_without_asking(kind: str) -> None:
    with serving(b"no video") as (address, requests):
        settings = SourceSettings(kind=kind)
        request = SourceRequest.of("cam", f"{address}/a.mkv", settings=settings)
        assert request.is_live == (kind == "live")
        assert requests == []
