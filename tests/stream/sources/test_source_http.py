"""HTTP cameras: what is sent is told from the bytes, over one connection."""

from __future__ import annotations

import http.server
import io
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from videos import mpegts_packets, pictures, write_video

from egomon.errors import SourceOpenError
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.decoding.jpeg import MOST_BYTES, JpegSplitter
from egomon.stream.sources.network.http import content_of
from egomon.stream.sources.open import examine, open_source
from egomon.stream.sources.synthetic import read_index

Write = Callable[[bytes], object]


@cache
def jpegs() -> list[bytes]:
    return [cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes() for image in pictures(40)]


@dataclass
class Server:
    address: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def answering(answer: Callable[[Write, threading.Event], None]) -> Iterator[Server]:
    """Each request gets the bytes that `answer` writes, head included."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(self.path)
            try:
                answer(self.wfile.write, stop)
            except OSError:
                return  # the reader went away

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Server(f"http://127.0.0.1:{server.server_address[1]}/x")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def endless(head: bytes, before: bytes, after: bytes, length: int | None) -> Callable[..., None]:
    """A camera: `head` of the answer, then parts; `length` is added to the true one."""

    def answer(write: Write, stop: threading.Event) -> None:
        write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for picture in itertools.cycle(jpegs()):
            said = b"" if length is None else b"Content-Length: %d\r\n" % (len(picture) + length)
            write(before.replace(b"LENGTH", said) + picture + after)
            if stop.wait(0.01):
                return

    return answer


MULTI = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n"
PART = b"Content-Type: image/jpeg\r\nLENGTH\r\n"
CAMERAS = {
    "right": (MULTI, b"--frame\r\n" + PART, b"\r\n", 0),
    "no first boundary": (MULTI, PART, b"\r\n--frame\r\n", 0),
    "length too long": (MULTI, b"--frame\r\n" + PART, b"\r\n", 9),
    "length too short": (MULTI, b"--frame\r\n" + PART, b"\r\n", -70),
    "length of 2 GB": (MULTI, b"--frame\r\n" + PART, b"\r\n", 2_000_000_000),
    "no length": (MULTI, b"--frame\r\n" + PART, b"\r\n", None),
    "another boundary than said": (MULTI, b"--other\r\n" + PART, b"\r\n", 0),
    "no boundary said": (b"Content-Type: multipart/x-mixed-replace\r\n", b"--x\r\n" + PART, b"", 0),
    "closing boundary each time": (MULTI, b"--frame--\r\n" + PART, b"\r\n", 0),
    "no line after the picture": (MULTI, b"--frame\r\n" + PART, b"", 0),
    "line feeds alone": (MULTI, b"--frame\nContent-Type: image/jpeg\n\n", b"\n", 0),
    "no part head at all": (MULTI, b"--frame\r\n\r\n", b"\r\n", 0),
    "odd part head": (MULTI, b"--frame\r\nX-Time 12:30 no colon\r\n" + PART, b"\r\n", 0),
    "octet-stream": (b"Content-Type: application/octet-stream\r\n", b"", b"", 0),
    "image/jpeg": (b"Content-Type: image/jpeg\r\n", b"", b"", 0),
    "no type": (b"", b"", b"", 0),
    "a length of all": (MULTI + b"Content-Length: 99999999\r\n", b"--frame\r\n" + PART, b"", 0),
    "padding": (MULTI, b"--frame\r\n" + PART, bytes(40) + b"\r\n", 40),
}  # fmt: skip


@pytest.mark.parametrize("kind", CAMERAS)
def test_motion_jpeg_is_read_whatever_stands_between_its_pictures(kind: str) -> None:
    with answering(endless(*CAMERAS[kind])) as server:
        found, opened = examine(server.address, SourceOptions())
        assert found == "live"
        options = SourceOptions(opened=opened)
        with open_source(server.address, kind=found, options=options) as source:
            grabs = [source.read() for _ in range(12)]
            assert (source.info.width, source.info.height) == (320, 240)
        assert len(server.requests) == 1
    numbers = [read_index(grab.to_rgb()) for grab in grabs if grab is not None]
    assert numbers == list(range(12))


def once(head: str, length: bool = True) -> Callable[..., None]:
    """A snapshot: the next picture with each request."""
    numbers = itertools.count()

    def answer(write: Write, stop: threading.Event) -> None:
        picture = jpegs()[next(numbers) % 40]
        said = f"Content-Length: {len(picture)}\r\n" if length else ""
        write(f"HTTP/1.1 200 OK\r\n{head}{said}\r\n".encode() + picture)

    return answer


@pytest.mark.parametrize("head", ["Content-Type: image/jpeg\r\n", "Content-Type: text/plain\r\n"])
@pytest.mark.parametrize("length", [True, False])
def test_an_address_of_one_picture_is_asked_again_at_a_rate_that_is_told(
    head: str, length: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        answering(once(head, length)) as server,
        open_source(server.address, options=SourceOptions(fps=50)) as source,
    ):
        grabs = [source.read() for _ in range(6)]
        assert source.info.kind == "live"
        assert len(server.requests) == 6
    assert [read_index(grab.to_rgb()) for grab in grabs if grab] == list(range(6))
    assert caplog.text.count("it is asked at most 50 times a second (source.fps)") == 1


def test_a_stream_is_read_over_the_connection_that_told_what_it_is() -> None:
    def answer(write: Write, stop: threading.Event) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        for piece in mpegts_packets(150):
            write(piece)
            if stop.wait(0.005):
                return

    with answering(answer) as server:
        found, opened = examine(server.address, SourceOptions())
        assert found == "live"
        options = SourceOptions(opened=opened)
        with open_source(server.address, kind=found, options=options) as source:
            grabs = [source.read() for _ in range(20)]
        assert len(server.requests) == 1
    numbers = [read_index(grab.to_rgb()) for grab in grabs if grab is not None]
    assert numbers == list(range(20))


def test_a_web_page_is_told_from_a_stream() -> None:
    def answer(write: Write, stop: threading.Event) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html>")

    with answering(answer) as server, pytest.raises(SourceOpenError, match="is a web page"):
        open_source(server.address)


def test_the_largest_variant_of_a_playlist_is_watched(tmp_path: object) -> None:
    bodies: dict[str, bytes] = {}
    lines = ["#EXTM3U"]
    for name, size in (("low", 64), ("high", 320), ("mid", 128)):
        body = io.BytesIO()
        write_video(body, pictures(30, size, size), container="mpegts")
        bodies[f"/{name}.ts"] = body.getvalue()
        bodies[f"/{name}.m3u8"] = (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{name}.ts\n#EXT-X-ENDLIST\n".encode()
        )
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={size * 1000}", f"{name}.m3u8"]
    bodies["/x"] = "\n".join(lines).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with open_source(f"http://127.0.0.1:{server.server_address[1]}/x") as source:
            assert source.info.kind == "file"
            assert (source.info.width, source.info.height) == (320, 320)
            assert len(list(iter(source.read, None))) == 30
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@given(st.lists(st.integers(1, 5000), max_size=8), st.binary(max_size=30))
def test_pictures_are_found_however_the_bytes_are_cut(cuts: list[int], between: bytes) -> None:
    between = between.replace(b"\xff", b"")
    data = between.join(jpegs()[:4]) + between
    splitter, found, at = JpegSplitter(), [], 0
    for cut in (*cuts, len(data)):
        found += splitter.feed(data[at : at + cut])
        at += cut
    assert found == jpegs()[:4]
    assert splitter.damaged == 0


def test_a_thumbnail_inside_a_picture_is_no_picture() -> None:
    thumbnail = jpegs()[0]
    inside = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = jpegs()[1][:2] + inside + jpegs()[1][2:]
    assert JpegSplitter().feed(whole) == [whole]


def test_a_picture_that_is_cut_off_is_counted_and_the_next_is_found() -> None:
    splitter = JpegSplitter()
    cut = jpegs()[0][: len(jpegs()[0]) // 2]
    assert splitter.feed(cut + jpegs()[1]) == [jpegs()[1]]
    assert splitter.damaged == 1


@pytest.mark.parametrize("start", [b"", jpegs()[0][:-2]], ids=["no picture", "no end"])
def test_what_never_ends_is_not_kept(start: bytes) -> None:
    splitter, most = JpegSplitter(), 0
    splitter.feed(start)
    piece = bytes(1 << 20)
    for _ in range(40):
        splitter.feed(piece)
        most = max(most, splitter.nbytes)
    assert most <= MOST_BYTES + len(piece) + len(start)


def test_a_picture_of_144_megapixels_is_damage_and_never_decoded() -> None:
    ok, data = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))
    assert ok
    bomb = bytearray(data.tobytes())
    at = bomb.index(b"\xff\xc0") + 5
    bomb[at : at + 4] = (12000).to_bytes(2, "big") * 2

    def answer(write: Write, stop: threading.Event) -> None:
        write(b"HTTP/1.1 200 OK\r\n" + MULTI + b"\r\n")
        for picture in (bytes(bomb), *jpegs()):
            write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n")
        stop.wait(20)

    with answering(answer) as server, open_source(server.address) as source:
        grab = source.read()
        assert grab is not None
        assert grab.index == 1  # one was lost before
        assert read_index(grab.to_rgb()) == 0


@given(st.binary(max_size=64), st.booleans())
def test_any_first_bytes_are_something_or_too_few(head: bytes, ended: bool) -> None:
    found = content_of(head, ended=ended)
    assert found is not None or not ended
