"""The phone as camera: aiortc is the phone, on this machine."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import socket
import ssl
import stat
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from fakes import RecordingListener

pytest.importorskip("aiortc", reason="the extra `phone` is not installed")

from whip_camera import WhipCamera, ask

from egomon.errors import AddressInUseError, ConfigError, SourceLostError, UsageError
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.open import is_live, open_source
from egomon.stream.sources.synthetic import read_index
from egomon.stream.sources.webrtc.certificate import own_certificate
from egomon.stream.sources.webrtc.pictures import MOST_WAITING, EncodedPicture, PictureQueue
from egomon.stream.sources.webrtc.server import SESSION_HEADER, PhoneServer
from egomon.stream.sources.webrtc.session import WhipSession
from egomon.stream.sources.webrtc.source import PhoneSource, PhoneStream
from egomon.testing import check_source

HERE = "phone://127.0.0.1:0"


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "egomon"


def phone(listener: RecordingListener | None = None, name: str = "phone") -> PhoneSource:
    found = open_source(HERE, name=name, listener=listener)
    assert isinstance(found, PhoneSource)
    return found


def comes_back(source: PhoneSource) -> bool:
    frames = zip(iter(source.read, None), range(90), strict=False)
    return any(grab.epoch == 1 for grab, _ in frames)


@pytest.mark.parametrize(("codec", "sound"), [("VP8", False), ("H264", True)])
def test_a_camera_is_seen_from_its_first_picture_with_its_own_times(
    codec: str, sound: bool
) -> None:
    listener = RecordingListener()
    assert is_live("phone")
    with phone(listener) as source, WhipCamera(*source.whip, codec=codec, sound=sound):
        grabs = [grab for _ in range(20) if (grab := source.read())]
        numbers = [read_index(grabs[-1].to_rgb())]
        assert (source.info.width, source.info.height) == (320, 240)
    assert numbers == [19]
    assert [grab.index for grab in grabs] == list(range(20))
    steps = [b.t_seconds - a.t_seconds for a, b in itertools.pairwise(grabs)]
    assert steps == pytest.approx([1 / 30] * 19, abs=2e-3)
    assert [change.state for change in listener.states] == ["connecting", "online", "ended"]
    assert listener.gaps == []


def test_it_keeps_what_every_source_promises() -> None:
    cameras: list[WhipCamera] = []

    def with_camera() -> PhoneSource:
        source = phone()
        cameras.append(WhipCamera(*source.whip).__enter__())
        return source

    try:
        check_source(with_camera, frames=5)
    finally:
        for camera in cameras:
            camera.vanish()
    source = phone()
    reading = threading.Thread(target=source.read)
    reading.start()
    source.close()
    reading.join(10)
    assert not reading.is_alive()


def test_a_link_is_for_one_browser_which_may_come_back(caplog: pytest.LogCaptureFixture) -> None:
    listener = RecordingListener()
    with phone(listener) as source:
        url, key = source.whip
        code = source.link.partition("#token=")[2]
        with WhipCamera(url, code) as camera:
            secret = camera.answer[1][SESSION_HEADER.lower()]
            assert source.read() is not None
        for wrong in ("", code[:-1]):
            assert ask(url, "POST", wrong)[0] == 403
        assert "was used by another browser" in ask(url, "POST", code)[2]
        with WhipCamera(url, secret):
            assert comes_back(source)
    assert [gap.cause for gap in listener.gaps] == ["reconnect"]
    told = caplog.text + repr(listener.states) + repr(source.info)
    assert "gave a wrong code; it is refused" in caplog.text
    assert not [each for each in (code, key, secret) if each in told]


def test_a_code_that_two_browsers_send_at_once_is_for_one_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, here, are_both_here = WhipSession.answer, [], asyncio.Event()

    async def answer_both_at_once(self: WhipSession, offer: str) -> str:
        here.append(self)
        if len(here) == 2:
            are_both_here.set()
        await are_both_here.wait()
        return await answer(self, offer)

    monkeypatch.setattr(WhipSession, "answer", answer_both_at_once)
    with phone() as source:
        url, code = source.whip[0], source.link.partition("#token=")[2]
        cameras = [WhipCamera(url, code) for _ in range(2)]
        both = [threading.Thread(target=camera.__enter__) for camera in cameras]
        for each in both:
            each.start()
        for each in both:
            each.join(30)
        assert sorted(camera.answer[0] for camera in cameras) == [201, 403]
        for camera in cameras:
            camera.vanish()


def test_the_same_phone_takes_its_place_again_while_its_old_visit_seems_alive() -> None:
    listener = RecordingListener()
    with phone(listener) as source, WhipCamera(*source.whip) as asleep:
        assert source.read() is not None
        with WhipCamera(*source.whip):
            assert asleep.answer[0] == 201
            assert comes_back(source)
    lost = next(change for change in listener.states if change.state == "reconnecting")
    assert lost.code == "STREAM_ENDED"


def test_another_camera_is_refused_while_one_sends(caplog: pytest.LogCaptureFixture) -> None:
    with phone() as source, WhipCamera(*source.whip):
        assert source.read() is not None
        with WhipCamera(source.whip[0], source.link.partition("#token=")[2]) as second:
            assert second.answer[0] == 409
            assert "another camera sends here" in second.answer[2]
        assert source.read() is not None
    assert "another camera sends here" in caplog.text


def test_three_phones_at_once_each_have_their_place() -> None:
    with phone(name="a") as one:
        port = one.whip[0].split(":")[2].split("/")[0]
        others = [open_source(f"phone://127.0.0.1:{port}", name=name) for name in ("b", "c")]
        sources = [one, *others]
        assert len({source.whip[1] for source in sources}) == 3  # type: ignore[attr-defined]
        cameras = [WhipCamera(*source.whip) for source in sources]  # type: ignore[attr-defined]
        for camera in cameras:
            camera.__enter__()
        try:
            for source in sources:
                assert source.read() is not None
            PhoneServer.tell("b", "for b")
            assert cameras[1].got_text.wait(10)
        finally:
            for camera in cameras:
                camera.__exit__()
        assert [camera.texts for camera in cameras] == [[], ["for b"], []]
        for other in others:
            other.close()
    with socket.create_server(("127.0.0.1", int(port))), pytest.raises(AddressInUseError):
        open_source(f"phone://127.0.0.1:{port}")


def offer_of(*lines: str) -> str:
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    return "\r\n".join([*head, *lines, ""])


FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
TRANSPORT = ("a=ice-ufrag:abcd", "a=ice-pwd:" + "x" * 24, FINGERPRINT, "a=setup:actpass")
ONLY_H265 = offer_of(
    "m=video 9 UDP/TLS/RTP/SAVPF 96",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sendonly",
    "a=rtcp-mux",
    "a=rtpmap:96 H265/90000",
    *TRANSPORT,
)
VIEWER = ONLY_H265.replace("H265", "VP8").replace("sendonly", "recvonly")
ONLY_SOUND = offer_of(
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sendonly",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    *TRANSPORT,
)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (ONLY_H265, "application/sdp", 406, "takes VP8 and H.264, and this camera offers H265"),
        (ONLY_SOUND, "application/sdp", 422, "no video"),
        (VIEWER, "application/sdp", 422, "no video"),
        ("not an offer", "application/sdp", 422, "no video"),
        ("v=0\r\nm=video", "application/sdp", 400, "no WebRTC offer"),
        ("{}", "application/json", 415, "application/sdp"),
        ("v=0\r\n" * 20_000, "application/sdp", 413, "too long"),
    ],
)
def test_an_offer_that_cannot_be_taken_is_one_sentence_on_both_ends(
    body: str, kind: str, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with phone() as source:
        answer = ask(source.whip[0], "POST", source.whip[1], body, kind)
    assert answer[0] == status
    assert words in answer[2]
    assert status in (413, 415) or words in caplog.text


def test_a_phone_that_cannot_send_says_why_on_both_ends(caplog: pytest.LogCaptureFixture) -> None:
    with phone() as source:
        url, key = source.whip
        said = ask(url.replace("/whip", "/problem"), "POST", key, "denied", "text/plain")
        odd = ask(url.replace("/whip", "/problem"), "POST", key, "<b>", "text/plain")
        stranger = ask(url.replace("/whip", "/problem"), "POST", "x", "denied", "text/plain")
    assert (said[0], odd[0], stranger[0]) == (200, 400, 403)
    assert f"phone: the phone sends no picture: {said[2]}" in caplog.text


def test_plain_http_is_told_what_it_needs(caplog: pytest.LogCaptureFixture) -> None:
    with phone() as source:
        port = int(source.whip[0].split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = b"".join(iter(lambda: plain.recv(4096), b""))
        assert ask(source.whip[0], "GET", "")[0] == 405
    assert b"write https:// instead of http://" in answer
    assert "it needs https://" in caplog.text


def test_the_page_allows_only_its_own_script_and_holds_no_secret() -> None:
    with phone() as source:
        status, headers, page = ask(source.whip[0].replace("/whip", "/"), "GET", "")
        secrets = [source.whip[1], source.link.partition("=")[2]]
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in headers["content-security-policy"]
    assert "{{" not in page
    assert not re.search(r"https?://(?!\" instead)", page.replace("https:// link", ""))
    assert not [each for each in secrets if each in page]


def test_the_certificate_is_made_once_and_for_its_user_alone(data_folder: Path) -> None:
    made = own_certificate("192.0.2.7")
    assert made == data_folder / "phone-certificate.pem"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    before = made.read_bytes()
    assert own_certificate("192.0.2.8").read_bytes() == before
    made.write_bytes(b"damaged")
    assert own_certificate("192.0.2.7").read_bytes() != b"damaged"


def test_a_certificate_of_ones_own_is_served_and_a_bad_one_is_told(tmp_path: Path) -> None:
    own = own_certificate("192.0.2.7", tmp_path / "mine")
    with open_source(HERE, options=SourceOptions(certificate=own)) as source:
        port = int(source.info.uri.split(":")[2].strip("/"))
        served = ssl.get_server_certificate(("127.0.0.1", port))
    assert served in own.read_text()
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="cannot be used"):
            open_source(HERE, options=SourceOptions(certificate=path))


@pytest.mark.parametrize("form", ["phone://host:x", "phone://127.0.0.1:0/more", "phone://[::1"])
def test_an_address_that_cannot_be_read_is_told(form: str) -> None:
    with pytest.raises(UsageError, match="write phone, or phone://HOST:PORT"):
        open_source(form)


def picture(number: int, *, key: bool = False) -> EncodedPicture:
    return EncodedPicture("VP8", bytes([0 if key else 1, number % 256]), number / 30, number, 0)


def test_a_reader_that_is_late_loses_the_oldest_up_to_a_key_frame_and_each_is_counted() -> None:
    asked: list[int] = []
    waiting = PictureQueue(lambda: asked.append(1))
    for number in range(MOST_WAITING):
        waiting.put(picture(number, key=number == 0))
    assert asked == []
    for number in range(3):
        waiting.put(picture(100 + number))
    waiting.put(picture(200, key=True))
    assert waiting.take_dropped() == MOST_WAITING + 3
    assert len(asked) == 3
    found = waiting.take(0)
    assert found is not None
    assert found.mono_ns == 200
    assert waiting.take(0) is None
    assert waiting.take_dropped() == 0


def test_key_frames_are_known_by_their_heads() -> None:
    def h264(*units: bytes) -> EncodedPicture:
        data = b"".join(b"\x00\x00\x00\x01" + unit for unit in units)
        return EncodedPicture("H264", data, 0, 0, 0)

    assert h264(b"\x67spspps", b"\x68pps", b"\x65slice").is_key
    assert not h264(b"\x41slice").is_key
    assert picture(0, key=True).is_key
    assert not picture(0).is_key


def huge_picture() -> EncodedPicture:
    """36 megapixels, grey."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = 6000
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 30)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    packets = encoder.encode(av.VideoFrame(6000, 6000, "yuv420p"))
    return EncodedPicture("H264", b"".join(map(bytes, packets)), 0, 0, 0)


def test_pictures_beyond_the_bound_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Visit:
        pictures = PictureQueue(lambda: None)
        asked = 0

        def ask_for_key_frame(self) -> None:
            self.asked += 1

        def close(self) -> None: ...

    huge, visit = huge_picture(), Visit()
    with phone() as source:
        stream = PhoneStream("x", source._server, source._place, threading.Event(), print)
        stream._session = visit  # type: ignore[assignment]
        for _ in range(29):
            visit.pictures.put(huge)
            assert stream.read(0) is None
        visit.pictures.put(huge)
        with pytest.raises(SourceLostError, match="more than 32 megapixels"):
            stream.read(0)
        assert visit.asked == 30
        monkeypatch.setattr("egomon.stream.sources.webrtc.source.MOST_PIXELS", 64 << 20)
        stream._decoder = None
        visit.pictures.put(huge)
        frame = stream.read(0)
    assert frame is not None
    assert (frame.size, frame.lost) == ((6000, 6000), 30)


def test_a_server_that_crashed_ends_the_source_with_a_sentence() -> None:
    with phone() as source, WhipCamera(*source.whip) as camera:
        assert source.read() is not None
        source._server._server.should_exit = True
        source._server._thread.join(10)
        with pytest.raises(SourceLostError, match="has crashed"):
            list(iter(source.read, None))
        camera.vanish()
        camera.answer = (0, {}, "")


def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    with phone() as source, WhipCamera(*source.whip):
        assert source.read() is not None
        began = time.monotonic()
    left = [each.name for each in set(threading.enumerate()) - before]
    assert left == []
    assert time.monotonic() - began < 20  # a hang, not a measurement
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
