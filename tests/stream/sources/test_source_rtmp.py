"""Cameras that push: FFmpeg's own RTMP client is the camera."""

from __future__ import annotations

import gc
import itertools
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import RecordingListener
from hypothesis import given
from hypothesis import strategies as st

from egomon.errors import AddressInUseError, UsageError
from egomon.stream.redact import redact
from egomon.stream.source import Source
from egomon.stream.sources.decoding.frame_reader import ContainerReader
from egomon.stream.sources.open import is_live, open_source
from egomon.stream.sources.rtmp.amf import AmfError, decode, encode
from egomon.stream.sources.rtmp.session import RtmpError, RtmpSession
from egomon.stream.sources.synthetic import read_index

KEY = "Open" + "Sesame"  # put together: tracebacks show the source line
ANY = f"rtmp+listen://127.0.0.1:0/{KEY}"


def port_of(source: Source) -> int:
    return int(source.info.uri.split(":")[2].split("/")[0])


@contextmanager
def camera(port: int, path: str, frames: int = 400) -> Iterator[subprocess.Popen[bytes]]:
    """Pushes as fast as it is read."""
    script = Path(__file__).parents[1] / "rtmp_camera.py"
    address = f"rtmp://127.0.0.1:{port}/{path}"
    with subprocess.Popen([sys.executable, str(script), address, str(frames)]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("path", [KEY, f"live/{KEY}", f"any/app/{KEY}"])
def test_a_camera_that_pushes_is_seen_from_its_first_picture(path: str) -> None:
    assert is_live(ANY)
    with open_source(ANY) as source, camera(port_of(source), path, frames=40):
        grabs = [source.read() for _ in range(20)]
        assert (source.info.width, source.info.height) == (320, 240)
    numbers = [read_index(grab.to_rgb()) for grab in grabs if grab is not None]
    assert numbers == list(range(20))
    steps = [b.t_seconds - a.t_seconds for a, b in itertools.pairwise(grabs) if a and b]
    assert steps == pytest.approx([1 / 30] * 19, abs=2e-3)


@pytest.mark.parametrize("path", ["live/guess", KEY[:-1], f"{KEY}/more", "live", ""])
def test_a_wrong_key_is_refused_on_both_ends_and_shows_no_frame(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    listener = RecordingListener()
    with open_source(ANY, listener=listener) as source:
        with camera(port_of(source), path or "x", frames=5) as refused:
            assert refused.wait(30) == 1
        with camera(port_of(source), KEY, frames=10):
            grab = source.read()
        assert grab is not None
        assert grab.index == 0
    assert "gave a wrong key; it is refused" in caplog.text
    assert KEY not in caplog.text
    assert all(KEY not in str(change) for change in listener.states)


def test_one_key_has_one_camera_and_keeps_the_first(caplog: pytest.LogCaptureFixture) -> None:
    with open_source(ANY) as source, camera(port_of(source), KEY, frames=400):
        assert source.read() is not None
        with camera(port_of(source), f"b/{KEY}", frames=400) as refused:
            for _ in range(100):
                grab = source.read()
            assert refused.wait(30) == 1
        assert grab is not None
        assert grab.epoch == 0
    assert "the key of a camera that is there already" in caplog.text


def test_a_camera_that_leaves_is_waited_for_and_seen_again_at_once() -> None:
    listener = RecordingListener()
    with open_source(ANY, listener=listener) as source:
        for epoch in range(3):
            with camera(port_of(source), KEY, frames=30):
                # What the camera before it sent may still wait to be read.
                grabs = iter(source.read, None)
                assert any(grab.epoch == epoch for grab, _ in zip(grabs, range(60), strict=False))
    assert [gap.cause for gap in listener.gaps if gap.cause == "reconnect"] == ["reconnect"] * 2


def test_a_lost_connection_frees_its_decoder_without_waiting_for_the_collector() -> None:
    with open_source(ANY) as source:
        gc.collect()
        gc.disable()
        try:
            for epoch in range(3):
                with camera(port_of(source), KEY, frames=30):
                    grabs = iter(source.read, None)
                    assert any(
                        grab.epoch == epoch for grab, _ in zip(grabs, range(60), strict=False)
                    )
            # Its type, as some objects of torch warn when they are asked for their class.
            alive = [each for each in gc.get_objects() if type(each) is ContainerReader]
        finally:
            gc.enable()
    assert len(alive) == 1


def test_two_keys_share_a_port_and_one_key_cannot_be_two_cameras() -> None:
    with open_source(ANY) as one:
        port = port_of(one)
        with open_source(f"rtmp+listen://127.0.0.1:{port}/Other") as two:
            with camera(port, "Other", frames=20), camera(port, KEY, frames=20):
                assert two.read() is not None
                assert one.read() is not None
            with pytest.raises(UsageError, match="two cameras cannot have one key"):
                open_source(f"rtmp+listen://127.0.0.1:{port}/{KEY}")
    with socket.create_server(("127.0.0.1", port)), pytest.raises(AddressInUseError):
        open_source(f"rtmp+listen://127.0.0.1:{port}/{KEY}")


def test_close_ends_a_wait_for_a_camera() -> None:
    source, answers = open_source(ANY), []
    thread = threading.Thread(target=lambda: answers.append(source.read()))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    source.close()
    thread.join(10)
    assert answers == [None]


@pytest.mark.parametrize("form", ["rtmp+listen://127.0.0.1:1935", "rtmp+listen://h/k"])
def test_an_address_without_port_or_key_is_told(form: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_source(form)
    assert "HOST:PORT/KEY" in redact(str(caught.value))


HANDSHAKE = b"\x03" + bytes(1536) + bytes(1536)
ENDLESS = b"\x04" + bytes(3) + b"\xff\xff\xff" + b"\x09" + bytes(4)
"""A video message of 16 MB, in chunks of 128 bytes."""


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 100,
        HANDSHAKE + b"\x03" + bytes(3) + b"\x00\x00\x05" + b"\x14" + bytes(4) + b"\x02\xff\xff..",
        HANDSHAKE + b"".join(bytes([n]) + bytes(11) for n in range(3, 60)),
        HANDSHAKE
        + b"".join(
            bytes([n]) + ENDLESS[1:] + bytes(1 << 16)  # one chunk of each of many messages
            for n in (2, *range(4, 20))
        ),
    ],
    ids=["http", "bad amf", "many streams", "many messages"],
)
def test_what_is_no_rtmp_ends_with_an_error(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)

        def send() -> None:
            try:
                theirs.sendall(data)
                theirs.shutdown(socket.SHUT_WR)
                while theirs.recv(4096):
                    pass
            except OSError:
                return

        thread = threading.Thread(target=send)
        thread.start()
        with pytest.raises(RtmpError):
            RtmpSession(ours, lambda path: True)
        ours.close()
        thread.join(10)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(VALUES, max_size=4))
def test_values_come_back_as_they_were_sent(values: list[Any]) -> None:
    assert decode(encode(*values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    try:
        decode(data)
    except AmfError:
        return
