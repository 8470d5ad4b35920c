from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import zmq
from fakes import RecordingListener
from hypothesis import given
from hypothesis import strategies as st
from videos import pictures

from egomon.errors import AddressInUseError, UsageError
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.decoding.jpeg import JpegDecoder, jpeg_size
from egomon.stream.sources.open import open_source
from egomon.stream.sources.synthetic import read_index
from egomon.stream.sources.zmq_frames import ZmqFrames, parse_message
from egomon.testing import check_source

ANY = "zmq+tcp://127.0.0.1:0"


def jpeg(image: np.ndarray) -> bytes:
    import cv2

    ok, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    return bytes(data)


def message(number: int, data: bytes, t: float | None = None) -> list[bytes]:
    header = {"t": 1000 + number / 30 if t is None else t, "seq": number}
    return [json.dumps(header).encode(), data]


@contextmanager
def pushing(source: Source) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        push.connect(source.info.uri.removeprefix("zmq+"))
        yield push


def test_pushed_frames_keep_the_contract() -> None:
    data = jpeg(pictures(1)[0])

    class Fed:
        """The source with a sender of its own: one frame before each read."""

        def __init__(self) -> None:
            self.source = open_source(ANY)
            self.context = zmq.Context()
            self.push = self.context.socket(zmq.PUSH)
            self.push.connect(self.source.info.uri.removeprefix("zmq+"))
            self.number = 0

        @property
        def info(self) -> object:
            return self.source.info

        def read(self) -> object:
            with suppress(zmq.ZMQError):  # the contract closes while another thread reads
                self.push.send_multipart(message(self.number, data))
                self.number += 1
            return self.source.read()

        def close(self) -> None:
            self.source.close()
            if not self.push.closed:
                self.push.close(linger=0)
                self.context.term()

        def __enter__(self) -> Fed:
            return self

        def __exit__(self, *exc: object) -> None:
            self.close()

    seen = check_source(Fed, frames=20, ends=False)  # type: ignore[arg-type]
    assert [index for _, _, index in seen] == list(range(20))
    check_source_waits()


def check_source_waits() -> None:
    source = open_source(ANY)
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(source.read()))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    source.close()
    thread.join(2)
    assert answers == [None]


def test_the_newest_frame_wins_and_losses_are_counted() -> None:
    listener = RecordingListener()
    images = pictures(4)
    with open_source(ANY, listener=listener) as source, pushing(source) as push:
        push.send_multipart(message(0, jpeg(images[0])))
        assert source.read() is not None
        for number in (1, 2, 3):
            push.send_multipart(message(number, jpeg(images[number])))
        grabs = []
        while not grabs or grabs[-1].index < 3:
            grab = source.read()
            assert grab is not None
            grabs.append(grab)
        assert read_index(grabs[-1].to_rgb()) == 3
    dropped = sum(gap.count for gap in listener.gaps if gap.cause == "buffer_full")
    assert dropped == 3 - len(grabs)
    assert [change.state for change in listener.states] == ["connecting", "online", "ended"]


def test_malformed_messages_are_counted_and_never_fatal() -> None:
    listener = RecordingListener()
    good = jpeg(pictures(1)[0])
    bad = [
        [b"{}", good],
        [b"not json", good],
        [b'{"t": NaN, "seq": 1}', good],
        [b'{"t": 1, "seq": -1}', good],
        [b'{"t": true, "seq": 1}', good],
        [b"[" * 3000, good],
        [b'{"t": 1, "seq": 1}', b"GIF89a"],
        [b'{"t": 1, "seq": 1}', b""],
        [b'{"t": 1, "seq": 1}'],
        [b'{"t": 1, "seq": 1}', good, good],
    ]
    with open_source(ANY, listener=listener) as source, pushing(source) as push:
        for parts in bad:
            push.send_multipart(parts)
        push.send_multipart(message(0, good))
        grab = source.read()
        assert grab is not None
        assert grab.to_rgb().shape == (240, 320, 3)
    errors = sum(gap.count for gap in listener.gaps if gap.cause == "decode_error")
    assert errors == len(bad)


def test_a_picture_cut_short_is_skipped_and_a_damaged_one_becomes_the_one_before() -> None:
    listener = RecordingListener()
    data = jpeg(pictures(1)[0])
    cut = data[: len(data) // 2]
    damaged = data[: data.index(b"\xff\xda") + 4] + b"\xff\xd9"
    with open_source(ANY, listener=listener) as source, pushing(source) as push:
        shown = []
        for number, body in enumerate((data, damaged)):
            push.send_multipart(message(2 * number, cut))
            push.send_multipart(message(2 * number + 1, body))
            grab = source.read()
            assert grab is not None
            assert grab.index == 2 * number
            shown.append(grab.to_rgb())
    assert (shown[0] == shown[1]).all()
    assert shown[0].any()
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [("decode_error", 1)] * 3


def test_silence_is_a_stall_and_a_restarted_sender_a_new_epoch() -> None:
    listener = RecordingListener()
    data = jpeg(pictures(1)[0])
    options = SourceOptions(stall_seconds=0.2)
    with open_source(ANY, listener=listener, options=options) as source, pushing(source) as push:
        for number in range(3):
            push.send_multipart(message(number, data))
            assert source.read() is not None
        later = threading.Timer(0.7, lambda: None)
        later.start()
        sender = threading.Thread(
            target=lambda: (later.join(), push.send_multipart(message(0, data, t=0.5)))
        )
        sender.start()
        grab = source.read()
        sender.join()
        assert grab is not None
        assert grab.epoch == 1
        assert grab.t_seconds > 0.5
    states = [change.state for change in listener.states]
    assert states == ["connecting", "online", "stalled", "online", "ended"]
    assert [gap.cause for gap in listener.gaps] == ["reconnect"]


def test_a_port_in_use_and_a_wrong_address_are_said() -> None:
    with open_source(ANY) as source:
        with pytest.raises(AddressInUseError, match="in use"):
            open_source(source.info.uri)
        assert source.info.uri.startswith("zmq+tcp://127.0.0.1:")
    for wrong in ("zmq+tcp://127.0.0.1", "zmq+tcp://127.0.0.1:99999", "zmq+tcp://no.such.host:1"):
        with pytest.raises(UsageError):
            open_source(wrong)


def test_a_picture_of_four_gigapixels_is_refused_by_its_header() -> None:
    data = bytearray(jpeg(pictures(1)[0]))
    at = data.index(b"\xff\xc0")
    assert jpeg_size(bytes(data)) == (320, 240)
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert jpeg_size(bytes(data)) is None
    assert parse_message(message(0, bytes(data))) is None


def test_jpeg_decoding_agrees_with_the_picture() -> None:
    image = pictures(6)[5]
    decoded = JpegDecoder()(jpeg(image))
    assert decoded is not None
    assert np.abs(decoded.astype(int) - image).mean() < 4
    assert read_index(decoded) == 5


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_no_message_whatever_raises(parts: list[bytes]) -> None:
    assert parse_message(parts) is None or parts


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(data: bytes) -> None:
    assert jpeg_size(b"\xff\xd8" + data + b"\xff\xd9") is None or len(data) > 4


def test_the_example_sender_is_understood() -> None:
    script = Path(__file__).resolve().parents[3] / "examples" / "push_frames.py"
    options = SourceOptions(stall_seconds=30)
    source = ZmqFrames(ANY, OpenContext(options=options))
    endpoint = source.info.uri.removeprefix("zmq+")
    command = [sys.executable, str(script), endpoint, "--frames", "20"]
    with source, subprocess.Popen(command, stdout=subprocess.DEVNULL) as sender:
        times = []
        try:
            for _ in range(3):
                grab = source.read()
                assert grab is not None
                times.append(grab.t_seconds)
                assert grab.to_rgb().shape[2] == 3
            assert sender.wait(30) == 0
        finally:
            sender.kill()
    assert times == sorted(set(times))


def test_a_source_rests_as_long_as_it_read_what_is_malformed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks, rests, has_rested = itertools.count(), list[float](), threading.Event()

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        has_rested.set()
        return False

    source = ZmqFrames(ANY, OpenContext(clock=lambda: 0.03 * next(ticks)))
    monkeypatch.setattr(source._stop, "wait", rest)
    grabs: list[object] = []
    with source, pushing(source) as push:
        reader = threading.Thread(target=lambda: grabs.append(source.read()))
        reader.start()
        push.send_multipart([b"no header", b"no picture"])
        assert has_rested.wait(10)
        push.send_multipart(message(0, jpeg(pictures(1)[0])))
        reader.join(10)
    assert grabs[0] is not None
    assert rests == [pytest.approx(0.03)]
