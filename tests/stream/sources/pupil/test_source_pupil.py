from __future__ import annotations

import functools
import itertools
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner
from fakes import RecordingListener
from phone import QUICK, at, phone, sensor
from rtsp_server import FPS, RtspServer
from videos import TcpServer

from egomon.cli.app import app
from egomon.errors import MissingExtraError, SourceOpenError
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.open import open_source
from egomon.stream.sources.pupil.camera import open_pupil
from egomon.stream.sources.pupil.discovery import Glasses, find_glasses
from egomon.stream.sources.synthetic import read_index
from egomon.testing import check_source

HERE = ("127.0.0.1",)


@contextmanager
def announced(*phones: tuple[str, int]) -> Iterator[None]:
    """Announce names and ports over mDNS, on loopback only."""
    from zeroconf import ServiceInfo, Zeroconf

    network = Zeroconf(interfaces=list(HERE))
    try:
        for name, port in phones:
            network.register_service(
                ServiceInfo(
                    "_http._tcp.local.",
                    f"{name}._http._tcp.local.",
                    addresses=[socket.inet_aton("127.0.0.1")],
                    port=port,
                    server="bench-phone.local.",
                )
            )
        yield
    finally:
        network.close()


def look(options: SourceOptions = QUICK) -> Source:
    """Open the first glasses found, listening on loopback only."""
    return open_pupil("pupil://", OpenContext("glasses", options), interfaces=HERE)


def test_the_scene_camera_keeps_the_contract() -> None:
    eyes = sensor(1, sensor="eyes", params="camera=eyes")
    away = sensor(1, conn_type="WEBSOCKET", protocol="ws")
    with RtspServer() as rtsp, phone(eyes, away, sensor(rtsp.port)) as server:
        seen = check_source(lambda: open_source(at(server)), frames=60, ends=False)
        assert set(server.asked) == {"/api/status"}
        assert f"DESCRIBE rtsp://127.0.0.1:{rtsp.port}/?camera=world" in rtsp.asked
    steps = [b[0] - a[0] for a, b in itertools.pairwise(seen)]
    assert steps == pytest.approx([1 / FPS] * len(steps), abs=1e-3)


def test_its_pictures_come_whole_and_in_order() -> None:
    with (
        RtspServer() as rtsp,
        phone(sensor(rtsp.port)) as server,
        open_source(at(server), name="glasses") as source,
    ):
        grabs = [source.read() for _ in range(30)]
        assert (source.info.kind, source.info.width, source.info.height) == ("live", 320, 240)
        assert source.info.uri == at(server)
    numbers = [read_index(grab.to_rgb()) for grab in grabs if grab is not None]
    assert numbers == list(range(numbers[0], numbers[0] + 30))


def test_glasses_are_found_by_their_announcement_and_others_are_not() -> None:
    with announced(("PI monitor:Bench phone:a1", 8080), ("Printer", 80)):
        assert find_glasses(5.0, first=True, interfaces=HERE) == [
            Glasses("Bench phone", "127.0.0.1", 8080)
        ]
        with announced(("PI monitor:Apron:b2", 8081)):
            found = find_glasses(2.0, interfaces=HERE)
    assert [glasses.reference for glasses in found] == [
        "pupil://127.0.0.1:8081",
        "pupil://127.0.0.1:8080",
    ]


def test_the_devices_verb_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    here = functools.partial(find_glasses, first=True, interfaces=HERE)
    monkeypatch.setattr("egomon.stream.sources.pupil.discovery.find_glasses", here)
    with announced(("PI monitor:Bench phone:a1", 8080)):
        listed = CliRunner().invoke(app, ["devices", "--search", "5s"]).stdout
        found = json.loads(CliRunner().invoke(app, ["devices", "--json"]).stdout)
    assert "-  Bench phone (Pupil Labs)  pupil://127.0.0.1:8080\n" in listed
    assert found[-1] == {
        "index": None,
        "name": "Bench phone (Pupil Labs)",
        "path": "pupil://127.0.0.1:8080",
    }


def test_without_an_address_the_glasses_that_are_announced_are_read() -> None:
    with RtspServer() as rtsp, phone(sensor(rtsp.port)) as server:
        port = server.server_address[1]
        with announced(("PI monitor:Bench phone:a1", port)), look() as source:
            assert source.read() is not None


def test_no_glasses_in_the_network_is_one_sentence() -> None:
    with pytest.raises(SourceOpenError, match="no Pupil Labs glasses found; is the phone") as got:
        look(SourceOptions(open_timeout_seconds=1))
    assert got.value.code == "DEVICE_NOT_FOUND"


def test_looking_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'egomon\[pupil\]'"):
        open_source("pupil://")
    with (
        RtspServer() as rtsp,
        phone(sensor(rtsp.port)) as server,
        open_source(at(server)) as source,  # an address needs no search
    ):
        assert source.read() is not None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"components": [sensor(1, connected=False, ip=None)]}, "plug the glasses"),
        ({"components": []}, "plug the glasses into the phone"),
        ({"status": 404}, "does not answer like Pupil Labs glasses"),
        ({"body": b"<html>a router</html>"}, "does not answer like Pupil Labs glasses"),
        ({"body": b'{"result": 3}'}, "does not answer like Pupil Labs glasses"),
        ({"body": b"[]"}, "does not answer like Pupil Labs glasses"),
    ],
)
def test_a_wrong_host_and_a_camera_that_is_off_are_one_sentence(
    said: dict[str, Any], words: str
) -> None:
    others = {key: value for key, value in said.items() if key != "components"}
    with (
        phone(*said.get("components", ()), **others) as server,
        pytest.raises(SourceOpenError, match=words) as got,
    ):
        open_source(at(server))
    assert at(server) in str(got.value)
    assert "\n" not in str(got.value)


def test_a_host_where_nothing_listens_is_said_at_once() -> None:
    with TcpServer([]) as server:
        port = server.port
    patient = SourceOptions(open_timeout_seconds=600)
    with pytest.raises(SourceOpenError, match="nothing listens at pupil://") as got:
        open_source(f"pupil://127.0.0.1:{port}", options=patient)
    assert got.value.code == "STREAM_NOT_FOUND"


def test_a_phone_that_accepts_and_stays_silent_times_out() -> None:
    with TcpServer([]) as server, pytest.raises(SourceOpenError, match="in time") as got:
        open_source(
            f"pupil://127.0.0.1:{server.port}", options=SourceOptions(open_timeout_seconds=1)
        )
    assert got.value.code == "STREAM_TIMEOUT"


@pytest.mark.parametrize("stall", [False, True])
def test_glasses_that_vanish_are_found_again_where_the_phone_says(stall: bool) -> None:
    listener = RecordingListener()
    with (
        RtspServer(after=90, stall=stall) as first,
        RtspServer() as second,
        phone(sensor(first.port)) as server,
        open_source(at(server), options=QUICK, listener=listener) as source,
    ):
        assert source.read() is not None
        server.components[:] = [sensor(second.port)]
        epoch = 0
        while epoch == 0:
            grab = source.read()
            assert grab is not None
            epoch = grab.epoch
        assert (first.connections, second.connections) == (1, 1)
    lost = next(change for change in listener.states if change.state == "reconnecting")
    assert lost.code == ("STREAM_TIMEOUT" if stall else "STREAM_ENDED")
    assert at(server) in str(lost.message)
    assert [change.state for change in listener.states][-2:] == ["online", "ended"]


def test_closing_cuts_a_search_short() -> None:
    options = SourceOptions(open_timeout_seconds=600, wait_source=True)
    source, answers = look(options), []
    thread = threading.Thread(target=lambda: answers.append(source.read()))
    thread.start()
    thread.join(0.4)
    assert thread.is_alive()
    source.close()
    thread.join(30)
    assert answers == [None]
