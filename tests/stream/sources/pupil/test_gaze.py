"""Gaze of Pupil Labs glasses: what a phone sends reaches the frames, and none of it harms them."""

from __future__ import annotations

import logging
import math
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakes import FakeClock, ScriptedLarge
from phone import QUICK, at, phone, sensor
from rtsp_server import GazeServer, RtspServer, gaze_datum, interleaved
from test_monitor import bundle

from egomon.config import load_settings
from egomon.config_sections import SourceSettings
from egomon.errors import SourceError, SourceLostError
from egomon.fusion.messages.types import Data, SegmentData, SegmentGaze
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.source_request import source_options
from egomon.stream.frame import Gaze
from egomon.stream.source import Source
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.device_thread import Cancelled
from egomon.stream.sources.open import open_source
from egomon.stream.sources.pupil.gaze import GazeReader, parse_gaze
from egomon.stream.sources.pupil.rtsp_client import (
    RtspClient,
    control_url,
    find_medium,
    rtp_payload,
)

QUARTER = interleaved(gaze_datum(80, 180))
"""In a picture of 320 by 240: a quarter from the left, three from the top."""
BAD_REQUEST = b"RTSP/1.0 400 Bad Request\r\nCSeq: 9\r\n\r\n"


def gaze_sensor(port: int, **changes: Any) -> dict[str, Any]:
    return sensor(port, **{"sensor": "gaze", "params": "camera=gaze", **changes})


@contextmanager
def glasses(gaze: GazeServer, options: SourceOptions = QUICK) -> Iterator[Source]:
    """Open glasses whose gaze comes from this server."""
    with (
        RtspServer() as rtsp,
        gaze,
        phone(sensor(rtsp.port), gaze_sensor(gaze.port)) as server,
        open_source(at(server), options=options) as source,
    ):
        yield source


def gazes(source: Source, frames: int) -> list[Gaze | None]:
    grabs = [source.read() for _ in range(frames)]
    return [grab.gaze for grab in grabs if grab is not None]


def read_until(source: Source, wanted: Callable[[Gaze | None], bool]) -> Gaze | None:
    """The first frame's gaze that is as wanted; the fake plays 120 frames a second."""
    for _ in range(600):
        grab = source.read()
        assert grab is not None
        if wanted(grab.gaze):
            return grab.gaze
    raise AssertionError("no such frame in 600")


def read_without_gaze(source: Source, frames: int = 12) -> None:
    """Read until so many frames in a row have no gaze: what was sent before is used up."""
    row = 0
    for _ in range(600):
        grab = source.read()
        assert grab is not None
        row = row + 1 if grab.gaze is None else 0
        if row == frames:
            return
    raise AssertionError(f"no {frames} frames without gaze in 600")


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 5
    while not (found := true()):
        assert time.monotonic() < end, "not within 5 s"
        threading.Event().wait(0.005)
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = caplog.records
    return [
        each.getMessage() for each in records if each.name == "egomon.stream.sources.pupil.gaze"
    ]


def threads_of_gaze() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("gaze ")]


def test_the_newest_gaze_is_on_each_frame_as_shares_of_the_picture() -> None:
    server = GazeServer(QUARTER)
    with glasses(server) as source:
        assert read_until(source, lambda gaze: gaze is not None) == Gaze(0.25, 0.75, worn=True)
        server.piece = interleaved(gaze_datum(160, 0))
        read_until(source, lambda gaze: gaze == Gaze(0.5, 0.0, worn=True))
        assert set(gazes(source, 30)) <= {Gaze(0.5, 0.0, worn=True), None}
    address = f"rtsp://127.0.0.1:{server.port}/?camera=gaze"
    wanted = [f"OPTIONS {address}", f"DESCRIBE {address}", f"SETUP {address}/trackID=1"]
    assert server.asked[:4] == [*wanted, f"PLAY {address}"]


def test_glasses_that_are_not_worn_say_so() -> None:
    with glasses(GazeServer(interleaved(gaze_datum(80, 180, worn=0)))) as source:
        found = read_until(source, lambda gaze: gaze is not None)
    assert found is not None
    assert not found.worn


def test_a_frame_more_than_a_tenth_of_a_second_later_has_no_gaze() -> None:
    clock = FakeClock(100.0)
    with GazeServer(QUARTER) as server:
        reader = GazeReader(
            lambda: f"rtsp://127.0.0.1:{server.port}/",
            (320, 240),
            "pupil://phone",
            timeout_seconds=1.0,
            clock=clock,
        )
        gaze = until(lambda: reader.at(100.0))
        assert reader.at(100.1) == gaze
        assert reader.at(100.11) is None
        reader.close()
    assert not threads_of_gaze()


def test_gaze_that_stops_leaves_the_frames_and_comes_back() -> None:
    server = GazeServer(QUARTER)
    with glasses(server) as source:
        read_until(source, lambda gaze: gaze is not None)
        server.piece = b""
        read_without_gaze(source)
        server.piece = QUARTER
        read_until(source, lambda gaze: gaze is not None)


def test_a_connection_that_is_lost_is_opened_again() -> None:
    server = GazeServer(QUARTER, after=20)
    with glasses(server) as source:
        read_until(source, lambda gaze: gaze is not None)
        read_without_gaze(source)
        read_until(source, lambda gaze: gaze is not None)
    assert server.connections == 2


ODD = (
    interleaved(gaze_datum(80, 180)[:8]),
    interleaved(gaze_datum(math.nan, 180)),
    interleaved(gaze_datum(80, math.inf)),
    interleaved(gaze_datum(80, 180, worn=7)),
    interleaved(gaze_datum(80, 180), kind=98),
    interleaved(gaze_datum(80, 180), version=1),
    interleaved(gaze_datum(80, 180), channel=1),
    interleaved(b""),
    b"$\x00\xff\xff" + b"x" * 40,
    b"$\x00\x00\x04abcd",
    bytes(range(64)),
    BAD_REQUEST,
    QUARTER[:4] + BAD_REQUEST,
)


def test_what_is_no_gaze_is_passed_over_and_the_next_is_read() -> None:
    server = GazeServer()
    with glasses(server) as source:
        for odd in ODD:
            server.piece = odd
            read_without_gaze(source)
            server.piece = odd + 4 * QUARTER
            read_until(source, lambda gaze: gaze == Gaze(0.25, 0.75, worn=True))
    assert server.connections == 1


REFUSALS: dict[str, tuple[dict[str, bytes], str]] = {
    "refuses": ({"DESCRIBE": b"RTSP/1.0 404 Not Found\r\n\r\n"}, "refuses DESCRIBE (404)"),
    "another kind": (
        {"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: 21\r\n\r\nm=audio 0 RTP/AVP 0\r\n"},
        "has no stream of the kind com.pupillabs.gaze1",
    ),
    "endless head": (
        {"OPTIONS": b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 4000},
        "sends a reply without an end",
    ),
    "huge body": (
        {"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n"},
        "sends a reply that cannot be read",
    ),
    "negative body": (
        {"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: -4\r\n\r\n"},
        "sends a reply that cannot be read",
    ),
    "no status": ({"OPTIONS": b"RTSP/1.0 fine\r\n\r\n"}, "sends a reply that cannot be read"),
    "over UDP": (
        {"SETUP": b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port=4-5\r\n\r\n"},
        "does not send over the line of the requests",
    ),
    "not RTSP": ({"OPTIONS": b"HTTP" * 8000}, "sends no packets"),
    "silent": ({"OPTIONS": b""}, "sent nothing in time"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_gives_no_gaze_is_told_once_and_asked_again(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with GazeServer(QUARTER) as server:
        server.answers, why = REFUSALS[name]
        reader = GazeReader(
            lambda: f"rtsp://127.0.0.1:{server.port}/?token=secret",
            (320, 240),
            "pupil://phone",
            timeout_seconds=0.2,
            wait=lambda stop, seconds: stop.wait(0.01),
        )
        until(lambda: server.connections >= 3)
        assert reader.at(0.0) is None
        reader.close()
    shown = f"rtsp://127.0.0.1:{server.port}/?token=***"
    assert told(caplog) == [f"pupil://phone: {shown} {why} (the video goes on without gaze)"]


@pytest.mark.parametrize("how", ["not offered", "off", "nobody there", "refused"])
def test_glasses_without_gaze_are_watched_all_the_same(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with RtspServer() as rtsp, GazeServer(QUARTER) as gaze:
        gaze.answers, _ = REFUSALS["refuses"]
        offered = {
            "not offered": [],
            "off": [gaze_sensor(gaze.port, connected=False)],
            "nobody there": [gaze_sensor(1)],
            "refused": [gaze_sensor(gaze.port)],
        }
        with (
            phone(sensor(rtsp.port), *offered[how]) as server,
            open_source(at(server), options=QUICK) as source,
        ):
            until(lambda: source.read() and told(caplog))
            assert gazes(source, 30) == [None] * 30
    assert len(told(caplog)) == 1


@pytest.mark.parametrize(
    "host", ["phone:123456", "a" * 70, "[phone", "127.0.0.1:{}/ RTSP/1.0\r\nX: y"]
)
def test_an_address_that_none_can_have_is_one_sentence(host: str) -> None:
    with GazeServer() as server, pytest.raises(SourceLostError, match="address"):
        RtspClient(
            f"rtsp://{host.format(server.port)}/",
            encoding="com.pupillabs.gaze1",
            stop=threading.Event(),
            timeout_seconds=1,
        )
    assert not server.asked


def test_waits_between_attempts_grow_to_half_a_minute_and_begin_anew_after_a_good_spell() -> None:
    clock, waits, enough = FakeClock(), list[float](), threading.Event()

    def find() -> str:
        if len(waits) == 9:
            clock.now += 31  # as if this connection had lasted
        raise SourceError("no gaze")

    def wait(stop: threading.Event, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 11:
            stop.set()
            enough.set()

    class Longest(random.Random):
        def random(self) -> float:
            return 1.0

    reader = GazeReader(
        find, (1, 1), "pupil://x", timeout_seconds=1, clock=clock, wait=wait, rng=Longest()
    )
    assert enough.wait(5)
    reader.close()
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5, 1]


def test_closing_ends_its_thread_and_says_goodbye() -> None:
    server = GazeServer()
    with glasses(server) as source:
        source.read()  # the first picture tells the size that gaze is a share of
        until(lambda: len(server.asked) == 4)  # it plays, and sends nothing
        assert threads_of_gaze()
        source.close()
        assert not threads_of_gaze()
        until(lambda: server.asked[-1].startswith("TEARDOWN"))


def test_gaze_can_be_switched_off() -> None:
    server = GazeServer(QUARTER)
    with glasses(server, source_options(SourceSettings(gaze=False))) as source:
        assert set(gazes(source, 30)) == {None}
        assert not threads_of_gaze()
    assert server.connections == 0
    assert source_options(SourceSettings()).gaze


def test_a_run_says_of_each_segment_where_its_wearer_looked() -> None:
    found: list[SegmentGaze | None] = []

    def listen(name: str, data: Data) -> None:
        if isinstance(data, SegmentData):
            found.append(data.gaze)
            if data.gaze is not None:
                monitor.stop("shutdown")

    quiet = {"bus": {"publish": (), "control": "none"}, "store": {"path": "none"}}
    with (
        RtspServer() as rtsp,
        GazeServer(QUARTER) as gaze,
        phone(sensor(rtsp.port), gaze_sensor(gaze.port)) as server,
    ):
        monitor = Monitor(
            [SourceRequest.of("cam", at(server))],
            load_settings(None, quiet),
            bundle=bundle(ScriptedLarge([])),
            listeners=[listen],
            duration_seconds=60.0,
        )
        monitor.run()
    looked = next(filter(None, found))
    assert (looked.worn, looked.x, looked.y) == (1.0, 0.25, 0.75)
    assert 0 < looked.frames <= 8


def test_a_session_is_kept_alive_in_half_its_time() -> None:
    clock, stop = FakeClock(), threading.Event()
    with GazeServer(QUARTER) as server:
        server.session = "7;timeout=20"
        url = f"rtsp://127.0.0.1:{server.port}/"
        with RtspClient(
            url, encoding="com.pupillabs.gaze1", stop=stop, timeout_seconds=5, clock=clock
        ) as reader:
            for now in (0.0, 9.9, 10.0, 15.0, 20.0):
                clock.now = now
                assert reader.next(now + 5) == gaze_datum(80, 180)
            until(lambda: reader.next(25) and len(server.asked) == 6)
            assert server.asked[-2:] == [f"OPTIONS {url}"] * 2
            clock.now = 25
            with pytest.raises(SourceLostError, match="sent nothing in time"):
                reader.next(25)
            stop.set()
            with pytest.raises(Cancelled):
                reader.next(30)


@pytest.mark.parametrize(
    ("more", "x"),
    [
        (b"", 0.25),
        (struct.pack(">14f", *range(14)), 0.25),
        (struct.pack(">20f", *range(20)), 0.25),
        (struct.pack(">ff", 240, 180), 0.5),
    ],
    ids=["gaze", "eye state", "eye state and lids", "two eyes"],
)
def test_every_length_of_datum_gives_its_point(more: bytes, x: float) -> None:
    assert parse_gaze(gaze_datum(80, 180, 255, more), 320, 240) == Gaze(x, 0.75, worn=True)


def test_a_packet_gives_its_payload_without_sources_extension_and_padding() -> None:
    def packet(first: int, rest: bytes) -> bytes:
        return struct.pack(">BBHII", first, 0x80 | 99, 1, 1, 1) + rest

    assert rtp_payload(packet(0x80, b"gaze"), 99) == b"gaze"
    assert rtp_payload(packet(0x82, b"s" * 8 + b"gaze"), 99) == b"gaze"
    assert rtp_payload(packet(0x90, b"\0\0\0\1four" + b"gaze"), 99) == b"gaze"
    assert rtp_payload(packet(0xA0, b"gaze" + b"\0\0\3"), 99) == b"gaze"
    assert rtp_payload(packet(0x90, b"\0"), 99) is None
    assert rtp_payload(packet(0xA0, b"\xff"), 99) is None
    assert rtp_payload(packet(0x80, b"gaze"), 96) is None


def test_random_bytes_are_no_gaze_and_raise_nothing() -> None:
    rng = random.Random(0)
    for _ in range(5000):
        data = rng.randbytes(rng.randrange(64))
        payload = rtp_payload(b"\x80\x63" + data, 99)
        found = None if payload is None else parse_gaze(payload, 320, 240)
        assert found is None or (math.isfinite(found.x) and math.isfinite(found.y))


def test_the_medium_and_its_address_are_taken_from_the_description() -> None:
    text = (
        "v=0\r\na=control:*\r\nm=application 0 RTP/AVP 98\r\na=rtpmap:98 COM.pupillabs.gaze1/9\r\n"
    )
    assert find_medium(text, "com.pupillabs.gaze1") == (98, "*")
    assert find_medium("v=0\r\n", "com.pupillabs.gaze1") is None
    assert control_url("rtsp://a/b/", "rtsp://a/c", "t=1") == "rtsp://a/b/t=1"
    assert control_url("10.0.0.5:8086/", "rtsp://a/c", "*") == "rtsp://a/c"
    assert control_url("", "rtsp://a/c", "rtsp://a/d") == "rtsp://a/d"
