from __future__ import annotations

import io
import itertools
import threading
import time
import traceback
from collections.abc import Iterator
from functools import cache

import cv2
import pytest
from fakes import RecordingListener
from http_server import serving
from videos import TcpServer, mpegts_packets, pictures, write_video

from egomon.errors import SourceOpenError
from egomon.stream.source import StateChange
from egomon.stream.sources.open import SourceOptions, kind_of, open_source
from egomon.stream.sources.synthetic import read_index
from egomon.testing import check_source

# What FFmpeg needs to recognise the stream is sent at once, the rest in real time.
HEAD = 30
PASSWORD = "hunter" + str(2)  # put together: tracebacks show the source line
QUICK = SourceOptions(open_timeout_seconds=5, read_timeout_seconds=1.0, stall_seconds=0.4)


@cache
def pieces() -> list[bytes]:
    return mpegts_packets(150)


def test_a_tcp_stream_keeps_the_contract() -> None:
    with TcpServer(pieces(), fps=120, head=HEAD) as server:
        seen = check_source(
            lambda: open_source(f"tcp://127.0.0.1:{server.port}"), frames=60, ends=False
        )
    steps = [b[0] - a[0] for a, b in itertools.pairwise(seen)]
    assert steps == pytest.approx([1 / 30] * len(steps), abs=1e-3)


def test_a_stream_keeps_its_pictures_in_order() -> None:
    numbers = []
    with (
        TcpServer(pieces(), fps=120, head=HEAD) as server,
        open_source(f"tcp://127.0.0.1:{server.port}", name="cam") as source,
    ):
        assert source.info.kind == "live"
        assert (source.info.width, source.info.height) == (320, 240)
        for _ in range(40):
            grab = source.read()
            assert grab is not None
            numbers.append(read_index(grab.to_rgb()))
    assert numbers == list(range(numbers[0], numbers[0] + 40))


@pytest.mark.parametrize("scheme", ["rtsp", "tcp", "http"])
def test_a_black_hole_times_out_with_a_code(scheme: str) -> None:
    with TcpServer([]) as server:
        begin = time.monotonic()
        with pytest.raises(SourceOpenError) as caught:
            open_source(
                f"{scheme}://me:{PASSWORD}@127.0.0.1:{server.port}/live",
                options=SourceOptions(open_timeout_seconds=0.6),
            )
        assert time.monotonic() - begin > 0.5
    assert caught.value.code == "STREAM_TIMEOUT"
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_opening_a_black_hole_is_cut_short_from_another_thread() -> None:
    stop, errors = threading.Event(), []
    patient = SourceOptions(open_timeout_seconds=600)

    def run(port: int) -> None:
        try:
            open_source(f"rtsp://127.0.0.1:{port}/x", options=patient, stop=stop)
        except SourceOpenError as error:
            errors.append(error)

    with TcpServer([]) as server:
        thread = threading.Thread(target=run, args=(server.port,))
        thread.start()
        thread.join(0.4)
        assert thread.is_alive()
        stop.set()
        thread.join(30)
        assert len(errors) == 1


def test_close_unblocks_a_read_that_waits_for_a_first_connection() -> None:
    with TcpServer([]) as server:
        options = SourceOptions(open_timeout_seconds=600, wait_source=True)
        source = open_source(f"rtsp://127.0.0.1:{server.port}/x", options=options)
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(source.read()))
        thread.start()
        thread.join(0.4)
        assert thread.is_alive()
        source.close()
        thread.join(30)
    assert answers == [None]


def test_close_unblocks_a_read_of_a_stalled_stream() -> None:
    class Stalls(RecordingListener):
        def on_state(self, change: StateChange) -> None:
            if change.state == "stalled":
                stalled.set()

    stalled, ended = threading.Event(), []
    options = SourceOptions(stall_seconds=0.3, read_timeout_seconds=600)
    with TcpServer(pieces(), fps=300, head=HEAD, after=60, stall=True, once=False) as server:
        source = open_source(f"tcp://127.0.0.1:{server.port}", options=options, listener=Stalls())
        thread = threading.Thread(target=lambda: ended.extend(iter(source.read, None)))
        thread.start()
        assert stalled.wait(20)
        source.close()
        thread.join(30)
        assert not thread.is_alive()
    assert ended
    assert source.read() is None


def test_a_server_that_dies_and_returns_is_found_again_with_a_new_epoch() -> None:
    listener = RecordingListener()
    with (
        TcpServer(pieces(), fps=120, head=HEAD, after=60) as server,
        open_source(f"tcp://127.0.0.1:{server.port}", options=QUICK, listener=listener) as source,
    ):
        grabs = []
        while len(grabs) < 400 and (not grabs or grabs[-1].epoch == 0):
            grab = source.read()
            assert grab is not None
            grabs.append(grab)
        assert server.connections == 2
    assert grabs[-1].epoch == 1
    assert grabs[-1].t_seconds > grabs[-2].t_seconds
    (gap,) = [gap for gap in listener.gaps if gap.cause == "reconnect"]
    assert (gap.from_seconds, gap.to_seconds) == (grabs[-2].t_seconds, grabs[-1].t_seconds)
    states = [change.state for change in listener.states]
    assert states[:4] == ["connecting", "online", "reconnecting", "online"]
    lost = listener.states[2]
    assert (lost.code, lost.attempt) == ("STREAM_ENDED", 1)


def test_a_stall_is_reported_then_reconnected() -> None:
    listener = RecordingListener()
    with (
        TcpServer(pieces(), fps=120, head=HEAD, after=60, stall=True) as server,
        open_source(f"tcp://127.0.0.1:{server.port}", options=QUICK, listener=listener) as source,
    ):
        epoch = 0
        while epoch == 0:
            grab = source.read()
            assert grab is not None
            epoch = grab.epoch
        server.go.set()
    states = [(change.state, change.code) for change in listener.states]
    assert states[:5] == [
        ("connecting", None),
        ("online", None),
        ("stalled", "STREAM_TIMEOUT"),
        ("reconnecting", "STREAM_TIMEOUT"),
        ("online", None),
    ]


def test_a_short_stall_is_no_new_epoch() -> None:
    listener = RecordingListener()
    options = SourceOptions(stall_seconds=0.3, read_timeout_seconds=20)
    with (
        TcpServer(pieces(), fps=120, head=HEAD, after=60, stall=True) as server,
        open_source(f"tcp://127.0.0.1:{server.port}", options=options, listener=listener) as source,
    ):
        wake = threading.Timer(1.0, server.go.set)
        wake.start()
        for _ in range(80):
            grab = source.read()
            assert grab is not None
        wake.join()
        assert grab.epoch == 0
        assert server.connections == 1
    states = [change.state for change in listener.states]
    assert states == ["connecting", "online", "stalled", "online", "ended"]


@pytest.fixture
def http() -> Iterator[str]:
    body = write_video(io.BytesIO(), pictures(30), container="matroska").getvalue()
    jpeg = cv2.imencode(".jpg", pictures(1)[0])[1].tobytes()
    with serving(body, jpeg=jpeg) as (address, _):
        yield address


def test_a_recording_over_http_is_a_file_and_keeps_the_contract(http: str) -> None:
    check_source(lambda: open_source(f"{http}/a.mkv"), frames=30)
    with open_source(f"{http}/a.mkv") as source:
        assert source.info.kind == "file"
        assert source.info.duration_seconds == pytest.approx(1.0, abs=0.1)
    with open_source(f"{http}/a.mkv", kind="live") as source:
        assert source.info.kind == "live"


def test_what_an_http_address_is_only_opening_it_can_tell(http: str) -> None:
    assert kind_of(f"{http}/a.mkv") == "file"
    assert kind_of(f"chaos:1:{http}/a.mkv") == "file"
    assert kind_of(f"{http}/mjpeg") == "live"
    assert kind_of("rtsp://127.0.0.1:9/never-opened") == "live"
    assert kind_of("never-opened.mp4") == "file"
    with pytest.raises(SourceOpenError):
        kind_of(f"{http}/missing")
    assert kind_of(f"{http}/missing", SourceOptions(wait_source=True)) == "live"


def test_a_recording_without_a_duration_is_known_by_its_size() -> None:
    target = io.BytesIO()
    write_video(target, pictures(30), container="matroska", muxer={"live": "1"})
    with (
        serving(target.getvalue()) as (address, _),
        open_source(f"{address}/a.mkv") as source,
    ):
        assert source.info.kind == "file"
        assert source.info.duration_seconds is None
        assert len(list(iter(source.read, None))) == 30


@pytest.mark.parametrize("container", ["matroska", "mp4", "mpegts"])
def test_a_server_that_hangs_up_in_the_middle_is_asked_for_the_rest(container: str) -> None:
    body = write_video(io.BytesIO(), pictures(90), container=container).getvalue()
    listener = RecordingListener()
    with (
        serving(body, hang_up_after=len(body) // 4) as (address, requests),
        open_source(f"{address}/a", listener=listener) as source,
    ):
        assert len(list(iter(source.read, None))) == 90
        assert len(requests) > 3
    assert listener.gaps == []
    assert [(change.state, change.code) for change in listener.states][-1] == ("ended", None)


def test_http_errors_have_their_own_codes_and_hide_the_password(http: str) -> None:
    for path, code in (("/secret", "STREAM_AUTH_FAILED"), ("/missing", "STREAM_NOT_FOUND")):
        with pytest.raises(SourceOpenError) as caught:
            open_source(http.replace("//", f"//me:{PASSWORD}@") + path)
        assert caught.value.code == code
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
        assert "***@127.0.0.1" in str(caught.value)


def test_nobody_listening_is_said_at_once() -> None:
    with TcpServer([]) as server:
        port = server.port
    with pytest.raises(SourceOpenError, match="nothing listens") as caught:
        open_source(f"tcp://127.0.0.1:{port}")
    assert caught.value.code == "STREAM_NOT_FOUND"


def test_a_camera_without_times_is_live_and_timed_by_arrival(http: str) -> None:
    with open_source(f"{http}/mjpeg") as source:
        assert source.info.kind == "live"
        grabs = [source.read() for _ in range(10)]
        times = [(grab.t_seconds, grab.mono_ns * 1e-9) for grab in grabs if grab]
    assert len(times) == 10
    for t, arrival in times:
        assert t == pytest.approx(arrival - times[0][1], abs=1e-6)
