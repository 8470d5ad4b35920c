"""The live page: who may see it, what it streams, what a person says goes back."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from fakes import FakeClock, frame
from wire_data import alert, segment, stats

from egomon.cli.page.live_page import camera_of, served, still_of
from egomon.errors import AddressInUseError, ConfigError, UsageError
from egomon.fusion.messages.types import AlertData, SegmentRef
from egomon.http import server as http_bounds
from egomon.http.access import Access
from egomon.http.app import create_app
from egomon.http.server import MOST_CONNECTIONS
from egomon.report.hub import (
    MOST_ALERTS,
    MOST_CLIENTS,
    MOST_WAITING,
    Client,
    LiveHub,
    TooManyClientsError,
)
from egomon.report.live import page_routes
from egomon.report.server import LiveServer
from egomon.stream.buffer import RollingBuffer

pytest.importorskip("starlette.testclient")
from starlette.applications import Starlette
from starlette.testclient import TestClient

TOKEN = "a-token-of-some-length"
HERE = "http://127.0.0.1:8000"


def application(hub: LiveHub, token: str | None = None) -> Starlette:
    access = Access(token)
    return create_app(page_routes(hub, access), access)


class Verdicts:
    """Feedback of a monitor that knows one alert."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str]] = []

    def __call__(self, alert_id: str, verdict: str) -> bool:
        self.given.append((alert_id, verdict))
        return alert_id == "a1"


@pytest.fixture
def verdicts() -> Verdicts:
    return Verdicts()


@pytest.fixture
def hub(verdicts: Verdicts) -> LiveHub:
    made = LiveHub("bench", feedback=verdicts)
    made.publish("cam0", segment(1, 0.4))
    made.publish("cam0", alert())
    return made


@pytest.fixture
def here(hub: LiveHub) -> Iterator[TestClient]:
    with TestClient(application(hub), base_url=HERE) as client:
        yield client


@pytest.fixture
def guarded(hub: LiveHub) -> Iterator[TestClient]:
    with TestClient(application(hub, TOKEN), base_url="http://bench.example:8000") as client:
        yield client


def say(client: TestClient, verdict: str = "true", alert_id: str = "a1", **headers: str) -> int:
    body = {"alert_id": alert_id, "verdict": verdict}
    return client.post("/feedback", json=body, headers=headers).status_code


def test_the_page_holds_what_was_published(here: TestClient) -> None:
    reply = here.get("/")
    assert reply.status_code == 200
    assert "The bolt is loose" in reply.text
    assert "unsafe-inline" not in reply.headers["content-security-policy"]
    assert reply.headers["x-frame-options"] == "DENY"


def test_a_verdict_reaches_the_monitor(here: TestClient, verdicts: Verdicts, hub: LiveHub) -> None:
    assert say(here, Origin=HERE) == 200
    assert verdicts.given == [("a1", "true")]
    assert hub.snapshot()["verdicts"] == {"a1": "true"}


def test_the_newest_alerts_that_somebody_has_seen_are_in_the_page(hub: LiveHub) -> None:
    hub.seen(f"a{number}" for number in range(MOST_ALERTS + 2))
    hub.seen(["a9"])
    assert hub.snapshot()["seen"] == [f"a{number}" for number in range(2, MOST_ALERTS + 2)]


def test_a_verdict_about_an_unknown_alert_is_not_found(here: TestClient, hub: LiveHub) -> None:
    assert say(here, alert_id="a2", Origin=HERE) == 404
    assert hub.snapshot()["verdicts"] == {}


def test_a_verdict_from_another_origin_is_refused(here: TestClient, verdicts: Verdicts) -> None:
    assert say(here) == 403
    assert say(here, Origin="null") == 403
    assert say(here, Origin="http://evil.example") == 403
    assert say(here, Origin="http://127.0.0.1:9000") == 403
    assert verdicts.given == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"x"', b"{", b'{"alert_id": 1, "verdict": "true"}', b"[" * 4000]
)
def test_a_malformed_verdict_is_a_bad_request(
    here: TestClient, verdicts: Verdicts, body: bytes
) -> None:
    assert here.post("/feedback", content=body, headers={"Origin": HERE}).status_code == 400
    assert say(here, verdict="maybe", Origin=HERE) == 400
    assert verdicts.given == []


def test_a_body_without_end_is_not_read(here: TestClient) -> None:
    reply = here.post("/feedback", content=b" " * 1_000_000, headers={"Origin": HERE})
    assert reply.status_code == 400


def test_a_name_that_was_pointed_at_this_machine_is_refused(hub: LiveHub) -> None:
    with TestClient(application(hub), base_url="http://evil.example:8000") as client:
        for path in ("/", "/events", "/frame/cam0", "/still/a1"):
            assert client.get(path).status_code == 403
        assert say(client, Origin="http://evil.example:8000") == 403


def test_a_foreign_web_page_opens_no_stream_and_takes_no_place() -> None:
    joined: list[object] = []

    class Hub(LiveHub):
        def join(self, loop: asyncio.AbstractEventLoop) -> Client:
            joined.append(loop)
            return super().join(loop)

    hub = Hub("bench", feedback=lambda *_: True)
    hub.publish("cam0", segment(1, 0.4))
    hub.close()  # streams end after the first message
    foreign: list[dict[str, str]] = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
    ]
    with TestClient(application(hub), base_url=HERE) as client:
        for headers in foreign:
            for path in ("/events", "/frame/cam0", "/still/a1"):
                assert client.get(path, headers=headers).status_code == 403
        assert joined == []
        assert client.get("/events", headers={"Origin": HERE}).status_code == 200
        assert len(joined) == 1


def test_a_link_on_another_page_opens_this_one(here: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert here.get("/", headers=link).status_code == 200
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert here.get("/", headers=picture).status_code == 403


def test_browsers_say_where_the_login_form_is_from(guarded: TestClient) -> None:
    assert guarded.get("/").headers["referrer-policy"] == "same-origin"


def test_without_the_token_there_is_only_a_login(guarded: TestClient, verdicts: Verdicts) -> None:
    reply = guarded.get("/")
    assert reply.status_code == 401
    assert "bolt" not in reply.text
    assert 'type="password"' in reply.text
    assert guarded.get("/events").status_code == 401
    assert guarded.get("/frame/cam0").status_code == 401
    assert say(guarded, Origin="http://bench.example:8000") == 401
    assert guarded.get("/", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert guarded.get(f"/?token={TOKEN}").status_code == 401
    assert verdicts.given == []


def test_the_token_opens_the_page_as_a_header(guarded: TestClient, verdicts: Verdicts) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/", headers=bearer).status_code == 200
    assert say(guarded, **bearer) == 200
    assert verdicts.given == [("a1", "true")]


def test_a_login_gives_a_cookie_that_is_not_the_token(guarded: TestClient) -> None:
    origin = {"Origin": "http://bench.example:8000"}
    assert guarded.post("/login", data={"token": TOKEN}).status_code == 403
    assert guarded.post("/login", data={"token": "wrong"}, headers=origin).status_code == 401
    reply = guarded.post("/login", data={"token": TOKEN}, headers=origin, follow_redirects=False)
    assert reply.status_code == 303
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert guarded.get("/").status_code == 200
    assert say(guarded, Origin="http://evil.example") == 403


def test_a_source_that_does_not_exist_has_no_picture(here: TestClient) -> None:
    assert here.get("/frame/cam9").status_code == 404


def test_a_slow_client_is_told_to_load_anew_and_memory_stays_bounded(hub: LiveHub) -> None:
    async def slow() -> list[str] | None:
        client = hub.join(asyncio.get_running_loop())
        for index in range(5 * MOST_WAITING):
            hub.publish("cam0", segment(index, 0.5))
        await asyncio.sleep(0)
        return await client.take(1.0)

    changes = asyncio.run(slow())
    assert changes is not None
    assert len(changes) <= MOST_WAITING
    assert json.loads(changes[0]) == {"kind": "reload"}


def test_a_client_that_ends_hears_none_and_a_silent_one_nothing(hub: LiveHub) -> None:
    async def life() -> tuple[list[str] | None, list[str] | None]:
        client = hub.join(asyncio.get_running_loop())
        silent = await client.take(0.001)
        hub.close()
        return silent, await client.take(1.0)

    assert asyncio.run(life()) == ([], None)


def test_too_many_pages_are_refused(hub: LiveHub) -> None:
    async def crowd() -> Client:
        clients = [hub.join(asyncio.get_running_loop()) for _ in range(MOST_CLIENTS)]
        with pytest.raises(TooManyClientsError):
            hub.join(asyncio.get_running_loop())
        hub.leave(clients[0])
        return hub.join(asyncio.get_running_loop())

    assert asyncio.run(crowd())


class Camera:
    """Gives a new picture whenever it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, source: str, shown: int) -> tuple[int, bytes] | None:
        assert source == "cam0"
        assert shown == (self.asked - 1)
        self.asked += 1
        return self.asked - 1, b"jpeg %d" % (self.asked - 1)


def test_the_camera_is_asked_only_by_who_looks_and_five_times_a_second(
    verdicts: Verdicts,
) -> None:
    clock, camera = FakeClock(100.0), Camera()
    hub = LiveHub("bench", feedback=verdicts, camera=camera, clock=clock)
    assert hub.picture("cam0") is None
    hub.publish("cam0", segment(1, 0.4))
    for _ in range(100):
        hub.publish("cam0", segment(1, 0.4))
        clock.now += 0.01
    assert camera.asked == 0
    shown = set()
    for _ in range(99):
        shown |= {hub.picture("cam0"), hub.picture("cam0")}
        clock.now += 0.01
    assert camera.asked == 5
    assert shown == {(n, b"jpeg %d" % n) for n in range(5)}


def test_a_camera_without_anything_new_keeps_its_last_picture(verdicts: Verdicts) -> None:
    clock = FakeClock(100.0)
    given = iter([(7, b"jpeg"), None])
    hub = LiveHub("bench", feedback=verdicts, camera=lambda *_: next(given), clock=clock)
    hub.publish("cam0", segment(1, 0.4))
    assert hub.picture("cam0") == (7, b"jpeg")
    clock.now += 1
    assert hub.picture("cam0") == (7, b"jpeg")


def test_the_newest_frame_of_a_source_is_its_picture_and_is_encoded_once() -> None:
    pushed = [frame(t / 10, value=200, px=64) for t in (1, 2)]
    buffer = RollingBuffer(seconds=5, max_bytes=1 << 20, on_full="drop_oldest")
    camera = camera_of([SimpleNamespace(name="cam0", buffer=buffer, size=(640, 480))])  # type: ignore[list-item]
    assert camera("cam0", -1) is None
    for each in pushed:
        buffer.push(each)
    found = camera("cam0", -1)
    assert found is not None
    assert found[0] == pushed[1].mono_ns
    assert found[1].startswith(b"\xff\xd8\xff")
    assert camera("cam0", found[0]) is None
    assert camera("cam9", -1) is None
    assert buffer.unread == 2


def test_the_still_of_an_alert_is_the_middle_of_its_segment_in_the_ring() -> None:
    buffer = RollingBuffer(seconds=60.0, max_bytes=1 << 20, on_full="drop_oldest")
    for each in range(20):
        buffer.push(frame(float(each), value=10 * each, px=16))
    buffer.take(20)
    still = still_of([SimpleNamespace(name="cam0", buffer=buffer, size=(64, 48))])  # type: ignore[list-item]
    opened = alert(segment=SegmentRef(id=1, epoch=0, media_start=10.0, media_end=13.0, frames=3))
    jpeg = still("cam0", opened)
    assert jpeg is not None
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.mean() == pytest.approx(110, abs=2), "second 11 of 10, 11 and 12"
    assert still("cam9", opened) is None
    gone = SegmentRef(id=1, epoch=1, media_start=10.0, media_end=13.0, frames=3)
    assert still("cam0", alert(segment=gone)) is None


def test_each_new_alert_has_its_still_guarded_as_the_page_is() -> None:
    asked: list[str] = []

    def still(source: str, data: AlertData) -> bytes | None:
        asked.append(data.alert_id)
        return None if data.alert_id == "a2" else b"jpeg of " + data.alert_id.encode()

    hub = LiveHub("bench", feedback=lambda *_: True, still=still)
    for each in (alert(), alert(rev=2, phase="update"), alert("a2"), alert("../a3")):
        hub.publish("cam0", each)
    assert asked == ["a1", "a2", "../a3"], "once for each alert"
    assert hub.snapshot()["pictures"] == {"a1": "still/a1", "../a3": "still/..%2Fa3"}
    with TestClient(application(hub), base_url=HERE) as client:
        reply = client.get("/still/a1")
        assert (reply.status_code, reply.content) == (200, b"jpeg of a1")
        assert reply.headers["content-type"] == "image/jpeg"
        assert reply.headers["cache-control"] == "no-store"
        assert client.get("/still/a2").status_code == 404
    with TestClient(application(hub, TOKEN), base_url="http://bench.example:8000") as client:
        assert client.get("/still/a1").status_code == 401
        token = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/still/a1", headers=token).status_code == 200


def test_only_so_many_stills_are_kept() -> None:
    hub = LiveHub("bench", feedback=lambda *_: True, still=lambda *_: b"x")
    for each in range(MOST_ALERTS + 5):
        hub.publish("cam0", alert(f"a{each}"))
    assert hub.still_of("a4") is None
    assert hub.still_of("a5") == b"x"
    assert len(hub.snapshot()["pictures"]) == MOST_ALERTS


@contextmanager
def connect(server: LiveServer, path: str) -> Iterator[http.client.HTTPResponse]:
    address = urlsplit(server.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request("GET", path)
        with connection.getresponse() as reply:
            yield reply
    finally:
        connection.close()


def next_event(reply: http.client.HTTPResponse) -> dict[str, object]:
    while not (line := reply.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    found: dict[str, object] = json.loads(line[6:])
    return found


def test_changes_stream_to_an_open_page_until_the_run_ends(hub: LiveHub) -> None:
    with LiveServer(hub) as server, connect(server, "/events") as reply:
        assert next_event(reply)["kind"] == "snapshot"
        hub.publish("cam0", stats())
        assert next_event(reply)["kind"] == "stats"
        hub.publish("cam0", alert(rev=2, phase="end", state="closed"))
        change = next_event(reply)
        assert [r["rev"] for r in change["alert"]["revisions"]] == [1, 2]  # type: ignore[index]
        hub.close()
        assert reply.read().strip() == b""


def test_pictures_stream_as_motion_jpeg(hub: LiveHub) -> None:
    hub.camera = lambda source, shown: (1, b"first-jpeg")
    with LiveServer(hub) as server, connect(server, "/frame/cam0") as reply:
        assert reply.getheader("content-type", "").startswith("multipart/x-mixed-replace")
        head = [reply.readline() for _ in range(3)]
        assert head[1:] == [b"Content-Type: image/jpeg\r\n", b"\r\n"]
        assert reply.read(10) == b"first-jpeg"
        # A browser shows a picture once it has seen the head of the next one.
        assert [reply.readline() for _ in range(4)] == [b"\r\n", *head]
        hub.close()


def test_the_token_is_in_no_log_line_and_no_address(
    hub: LiveHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with LiveServer(hub, token=TOKEN) as server:
        with connect(server, f"/?token={TOKEN}") as reply:
            assert reply.status == 401
        assert TOKEN not in server.url
    assert TOKEN not in caplog.text


def test_other_machines_need_a_token_of_some_length(hub: LiveHub) -> None:
    with pytest.raises(UsageError, match="give a token"):
        LiveServer(hub, host="0.0.0.0")
    with pytest.raises(UsageError, match="16 characters"):
        LiveServer(hub, host="0.0.0.0", token="short")


def test_beyond_this_machine_the_page_opens_only_with_the_token_that_was_printed(
    hub: LiveHub, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(hub, "0.0.0.0:0") as where:
        printed = capsys.readouterr().err
        assert printed.count(where) == 1
        url, _, token = where.partition(" token ")
        port = urlsplit(url).port
        assert port is not None
        for given, status in (("", 401), ("Bearer x", 401), (f"Bearer {token}", 200)):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/")
            request.add_header("Authorization", given)
            assert status_of(request) == status
        with served(LiveHub("other", feedback=lambda *_: True), "0.0.0.0:0") as other:
            assert other.partition(" token ")[2] != token
    assert len(token) >= 16
    assert token not in url


def test_on_this_machine_nothing_is_asked(hub: LiveHub, capsys: pytest.CaptureFixture[str]) -> None:
    with served(hub) as where:
        assert status_of(urllib.request.Request(where)) == 200
    assert "token" not in capsys.readouterr().err


@pytest.mark.parametrize("address", ["8080", ":8080", "host:", "host:http", "host:70000"])
def test_an_address_without_host_and_port_is_refused(hub: LiveHub, address: str) -> None:
    with pytest.raises(ConfigError, match=r"write 127\.0\.0\.1:8080"), served(hub, address):
        pass


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_taken_port_is_one_sentence(hub: LiveHub) -> None:
    with LiveServer(hub) as server:
        port = urlsplit(server.url).port
        assert port is not None
        with pytest.raises(AddressInUseError, match="give another port"):
            LiveServer(hub, port=port)


@contextmanager
def half_open(server: LiveServer, count: int) -> Iterator[list[socket.socket]]:
    """Clients that have sent the beginning of a request."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            clients.append(stack.enter_context(client))
            client.sendall(b"GET / HT")
        yield clients


def is_cut(client: socket.socket) -> bool:
    """Whether the server has hung up; waits for it."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:  # it had bytes that it had not read
        return True


def test_half_requests_do_not_lock_others_out(hub: LiveHub) -> None:
    with LiveServer(hub) as server, half_open(server, 2 * MOST_CONNECTIONS) as clients:
        assert is_cut(clients[0])  # the oldest made room
        assert status_of(urllib.request.Request(server.url)) == 200


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HT", b"GET /still/a9 HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
)
def test_the_head_of_a_request_that_does_not_come_is_not_waited_for(
    hub: LiveHub, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http_bounds, "HEAD_SECONDS", 0.05)
    with LiveServer(hub) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with client:
            client.sendall(begun)
            assert is_cut(client)


def test_a_body_that_drips_after_its_answer_keeps_no_place(
    hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_bounds, "HEAD_SECONDS", 0.05)
    head = b"GET /still/a9 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"
    with LiveServer(hub) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with client, client.makefile("rb") as reply:
            client.sendall(head)
            assert reply.readline().startswith(b"HTTP/1.1 404")
            client.sendall(b"x")
            while reply.read(1):
                pass


def test_a_client_that_reads_nothing_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "READ_SECONDS", 0.05)
    left = threading.Event()

    class Hub(LiveHub):
        def leave(self, client: Client) -> None:
            super().leave(client)
            left.set()

    hub = Hub("x" * (32 << 20), feedback=lambda *_: True)  # more than the sockets hold
    with LiveServer(hub) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with client:
            client.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert left.wait(10)


def do(client: TestClient, action: str, **fields: object) -> tuple[int, str]:
    reply = client.post(f"/do/{action}", json=fields, headers={"Origin": HERE})
    return reply.status_code, reply.text


def test_an_action_of_the_page_gets_its_fields_and_answers_a_sentence(
    here: TestClient, hub: LiveHub
) -> None:
    asked: list[object] = []

    def begin(fields: Mapping[str, object]) -> str:
        asked.append(dict(fields))
        if fields.get("source") != "cam0":
            raise UsageError("no such camera")
        return "A new cycle has begun."

    hub.actions["cycle"] = begin
    assert do(here, "cycle", source="cam0") == (200, "A new cycle has begun.")
    assert do(here, "cycle", source="cam9") == (400, "no such camera")
    assert do(here, "launch") == (404, "this page cannot do that")
    assert here.post("/do/cycle", json={}).status_code == 403
    elsewhere = {"Origin": "http://evil.example"}
    assert here.post("/do/cycle", json={}, headers=elsewhere).status_code == 403
    assert asked == [{"source": "cam0"}, {"source": "cam9"}]


def test_an_action_needs_the_token_where_one_is_asked_for(
    guarded: TestClient, hub: LiveHub
) -> None:
    hub.actions["cycle"] = lambda fields: "done"
    assert guarded.post("/do/cycle", json={}).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.post("/do/cycle", json={}, headers=bearer).status_code == 200


def test_pictures_of_steps_come_by_the_id_of_the_step(here: TestClient, hub: LiveHub) -> None:
    hub.step_picture = {"step-1": b"\xff\xd8\xff"}.get
    assert here.get("/step/step-1").content == b"\xff\xd8\xff"
    assert here.get("/step/step-2").status_code == 404
    assert here.get("/step/..%2Fsecret").status_code == 404


def test_what_is_shown_of_the_bundle_changes_on_open_pages(hub: LiveHub) -> None:
    async def heard() -> list[str]:
        client = hub.join(asyncio.get_running_loop())
        await asyncio.to_thread(hub.show, "workflow", [{"id": "a"}])
        await asyncio.to_thread(hub.begin_cycle, "cam0")
        return await client.take(1.0) or []

    changes = [json.loads(each) for each in asyncio.run(heard())]
    assert changes[0] == {"kind": "field", "name": "workflow", "value": [{"id": "a"}]}
    assert changes[1]["kind"] == "cycle"
    assert hub.snapshot()["workflow"] == [{"id": "a"}]
    (source,) = hub.snapshot()["sources"]
    assert source["cycle_start"] == changes[1]["media_seconds"] == segment(1, 0.4).segment.media_end
