"""A real RTSP server: GStreamer's, from Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fakes import RecordingListener

from egomon.errors import SourceOpenError
from egomon.stream.frame import Grab
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.open import open_source

SERVER = Path(__file__).parents[1] / "gst_server.py"
PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly"
)
CHECK = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0');"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    "assert all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'videotestsrc')))"
)
PASSWORD = "p#ss/w@rd"


@cache
def python_with_gstreamer() -> str | None:
    for python in (sys.executable, "/usr/bin/python3", shutil.which("python3")):
        if python and Path(python).exists():
            done = subprocess.run([python, "-c", CHECK], capture_output=True, timeout=60)
            if done.returncode == 0:
                return python
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    python = python_with_gstreamer()
    if python is None:
        pytest.skip(f"no GStreamer RTSP server on this machine; apt-get install {PACKAGES}")
    with subprocess.Popen(
        [python, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield f"admin:{quote(PASSWORD, safe='')}@127.0.0.1:{int(process.stdout.readline())}"
        process.communicate(timeout=20)


def read(
    address: str, count: int, listener: RecordingListener | None = None, **options: object
) -> list[Grab]:
    with open_source(
        f"rtsp://{address}",
        options=SourceOptions(**options),  # type: ignore[arg-type]
        listener=listener or RecordingListener(),
    ) as source:
        grabs = [grab for _ in range(count) if (grab := source.read()) is not None]
        assert len(grabs) == count
        assert (source.info.width, source.info.height) == (320, 240)
    assert {grab.epoch for grab in grabs} == {0}
    return grabs


def test_one_who_joins_between_rare_key_frames_is_patient(server: str) -> None:
    # The first viewer makes the stream run; the second comes 1 s after a key frame, of every 3 s.
    with open_source(f"rtsp://{server}/rare") as first:
        for _ in range(15):
            assert first.read() is not None
        listener = RecordingListener()
        read(f"{server}/rare", 20, listener, read_timeout_seconds=1.0, stall_seconds=0.5)
    assert "reconnecting" not in [change.state for change in listener.states]
    assert [change.code for change in listener.states if change.state != "online"][1:-1] in (
        [],
        ["STREAM_NO_KEY_FRAME"],
    )


def test_a_camera_that_refuses_tcp_is_read_over_udp(server: str) -> None:
    read(f"{server}/udp", 10)
    with pytest.raises(SourceOpenError):
        read(f"{server}/udp", 1, rtsp_transport="tcp")


def test_a_camera_of_one_frame_a_second_opens(server: str) -> None:
    grabs = read(f"{server}/slow", 4, open_timeout_seconds=30)
    assert grabs[-1].t_seconds == pytest.approx(3, abs=0.1)


def test_a_picture_in_pieces_is_whole_and_nothing_is_out_of_order(server: str) -> None:
    listener = RecordingListener()
    grabs = read(f"{server}/pieces", 40, listener)
    assert listener.gaps == []
    for grab in grabs:  # a white ball on black: half a picture has grey blocks instead
        values = grab.to_rgb().mean(-1)
        assert ((values < 40) | (values > 150)).mean() > 0.97
    assert np.diff([grab.t_seconds for grab in grabs]) == pytest.approx(1 / 15, abs=5e-3)


def test_a_wrong_password_is_told(server: str) -> None:
    with pytest.raises(SourceOpenError) as caught:
        read(f"admin:wrong@{server.partition('@')[2]}/udp", 1)
    assert caught.value.code == "STREAM_AUTH_FAILED"
