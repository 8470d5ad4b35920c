"""Snapshots and clips: right pictures, bounded, safe names, faults that pass."""

from __future__ import annotations

import dataclasses
import errno
import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fakes import FakeClock, frame, image
from test_lifecycle import make, run

from egomon.errors import ConfigError
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.media.clip_writer import (
    DAY_NS,
    MOST_JOBS,
    TIDY_SECONDS,
    ClipBounds,
    ClipJob,
    ClipWriter,
)
from egomon.fusion.media.images import file_stem, snapshot, write_clip
from egomon.fusion.media.remux import write_packets
from egomon.fusion.messages.types import Evidence
from egomon.fusion.store.events import EventStore
from egomon.stream.buffer import RollingBuffer
from egomon.stream.frame import Frame, Segment
from egomon.stream.packet_ring import PacketClip

MB = 1 << 20


def filled(until: float, *, px: int = 32) -> RollingBuffer:
    buffer = RollingBuffer(seconds=100, max_bytes=64 * MB, on_full="drop_oldest")
    for i in range(round(until * 4)):
        buffer.push(frame(i / 4, value=i * 5, index=i, px=px))
    buffer.take(10_000)
    return buffer


def segment(buffer: RollingBuffer, start: float = 4.0, end: float = 6.0) -> Segment:
    frames = tuple(buffer.window(start, end, 0))
    return Segment(0, "cam", start, end, 0, np.array([f.t_seconds for f in frames]), frames)


class Bench:
    """A writer whose thread is not started: the test calls `work`."""

    def __init__(
        self, folder: Path, write: Any = write_clip, remux: Any = write_packets, **rules: Any
    ) -> None:
        self.clock, self.now_ns = FakeClock(), DAY_NS
        self.store = EventStore(None)
        self.store.begin(boot="b", sources=["cam"], started_wall_ns=1)
        self.writer = ClipWriter(
            ClipBounds(folder, **rules),
            self.store,
            write=write,
            remux=remux,
            clock=self.clock,
            wall_ns=lambda: self.now_ns,
        )

    def jobs(self) -> list[ClipJob]:
        found = []
        while (job := self.writer._jobs.get(0)) is not None:
            found.append(job)
        return found

    def clip(self, alert_id: str, until: float = 10.0) -> None:
        buffer = filled(until)
        self.writer.submit(alert_id, segment(buffer), buffer, None)
        assert self.writer.work(self.jobs()) == []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


def test_a_snapshot_is_the_middle_frame_in_the_sources_proportions_and_small() -> None:
    frames = tuple(
        Frame(image(0), image(value, 640), float(i), 0, 0, i, 0)
        for i, value in enumerate([10, 200, 60])
    )
    made = snapshot(Segment(0, "cam", 0, 3, 0, np.arange(3.0), frames), (1280, 720))
    assert made is not None
    evidence, jpeg = made
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (180, 320, 3)
    assert (evidence.width, evidence.height, evidence.attachment) == (320, 180, 0)
    assert abs(float(picture.mean()) - 200) < 3


def test_a_segment_without_pixels_has_no_snapshot() -> None:
    assert snapshot(Segment(0, "cam", 0, 1, 0, np.zeros(0))) is None


@pytest.mark.parametrize("alert_id", ["../../etc/passwd", "a/b\\c", "", "é\0x", "a" * 500])
def test_no_alert_id_leads_out_of_the_folder(alert_id: str, tmp_path: Path) -> None:
    path = tmp_path / f"{file_stem(alert_id)}.mp4"
    assert path.resolve().parent == tmp_path.resolve()
    assert 0 < len(path.name) <= 100


def test_a_clip_has_the_seconds_before_and_after_its_segment(tmp_path: Path) -> None:
    with Bench(tmp_path / "clips", before_seconds=1.0, after_seconds=2.0) as bench:
        bench.clip("a-cam-b-00001")
        (row,) = bench.store.media("a-cam-b-00001")
        done = bench.writer.done.get(0)
    assert done is not None
    assert done.evidence.uri == Path(row.path).as_uri()
    with av.open(row.path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = [float(f.time or 0) for f in container.decode(stream)]
    assert times == pytest.approx([i / 4 for i in range(20)], abs=2e-3)  # 3 s to 8 s


class Sent:
    """A `PacketRing` that notes what was cut."""

    def __init__(self, clip: PacketClip | None) -> None:
        self.clip = clip
        self.cuts: list[tuple[float, float, float]] = []

    def cut(
        self, start: float, latest_start: float, end: float, *, arrived_ns: int
    ) -> PacketClip | None:
        self.cuts.append((start, latest_start, end))
        return self.clip


NO_VIDEO = PacketClip(b"no video", Fraction(1, 30), (), 0, (64, 64))


def on_own_clock(until: float, shift: Callable[[float], float]) -> RollingBuffer:
    buffer = RollingBuffer(seconds=100, max_bytes=64 * MB, on_full="drop_oldest")
    for i in range(round(until * 4)):
        made = frame(i / 4, value=i * 5, index=i, px=32)
        buffer.push(dataclasses.replace(made, pts_seconds=shift(made.t_seconds)))
    buffer.take(10_000)
    return buffer


def ask(bench: Bench, buffer: RollingBuffer, sent: Sent) -> None:
    bench.writer.submit("a-1", segment(buffer), buffer, None, sent)  # type: ignore[arg-type]
    assert bench.writer.work(bench.jobs()) == []


def test_where_the_source_has_packets_its_span_is_cut_on_the_sources_own_clock(
    tmp_path: Path,
) -> None:
    written: list[PacketClip] = []

    def remux(path: Path, clip: PacketClip) -> Evidence:
        written.append(clip)
        path.write_bytes(b"x")
        return Evidence(kind="clip", media_type="video/mp4")

    sent = Sent(NO_VIDEO)
    with Bench(tmp_path, before_seconds=1.0, after_seconds=2.0, remux=remux) as bench:
        ask(bench, on_own_clock(10.0, lambda t: t + 100), sent)
        assert (bench.writer.written, bench.writer.failed) == (1, 0)
    assert sent.cuts == [(103.0, 104.0, 108.0)]
    assert written == [NO_VIDEO]


@pytest.mark.parametrize(
    ("clip", "shift"),
    [
        pytest.param(None, lambda t: t, id="packets are gone"),
        pytest.param(NO_VIDEO, lambda t: t, id="mp4 refuses them"),
        pytest.param(NO_VIDEO, lambda t: 2 * t, id="the clocks drift"),
    ],
)
def test_otherwise_the_clip_is_encoded_from_pictures(
    tmp_path: Path, clip: PacketClip | None, shift: Callable[[float], float]
) -> None:
    with Bench(tmp_path) as bench:
        ask(bench, on_own_clock(10.0, shift), Sent(clip))
        assert (bench.writer.written, bench.writer.failed, bench.writer.fault) == (1, 0, None)
        (row,) = bench.store.media("a-1")
    with av.open(row.path) as container:
        assert next(container.decode(video=0)).width == 32


def test_a_clip_waits_for_its_last_second_but_not_for_a_stalled_source(tmp_path: Path) -> None:
    buffer = filled(6.5)
    with Bench(tmp_path) as bench:
        bench.writer.submit("a-1", segment(buffer), buffer, None)
        waiting = bench.writer.work(bench.jobs())
        assert len(waiting) == 1
        bench.clock.now = 60.0
        assert bench.writer.work(waiting) == []
        assert bench.writer.written == 1


def test_what_the_buffer_held_at_the_alert_is_in_the_clip_though_it_was_pushed_out_since(
    tmp_path: Path,
) -> None:
    seen: list[float] = []

    def write(path: Path, frames: Sequence[Frame], size: object) -> Evidence:
        seen.extend(f.t_seconds for f in frames)
        path.write_bytes(b"x")
        return Evidence(kind="clip", media_type="video/mp4")

    buffer = RollingBuffer(seconds=3.0, max_bytes=MB, on_full="drop_oldest")
    with Bench(tmp_path, write, before_seconds=1.0, after_seconds=1.0) as bench:
        for i in range(60):
            buffer.push(frame(i / 4, index=i))
            buffer.take(1)
            if i == 24:
                bench.writer.submit("a-1", segment(buffer), buffer, None)
        bench.writer.work(bench.jobs())
    assert seen[:13] == [3 + i / 4 for i in range(13)]


def test_too_many_clips_at_once_cost_clips_not_memory(tmp_path: Path) -> None:
    buffer = filled(6.5)
    with Bench(tmp_path) as bench:
        for i in range(MOST_JOBS + 3):
            bench.writer.submit(f"a-{i}", segment(buffer), buffer, None)
        assert bench.writer.dropped == 3


def test_clips_are_bounded_by_bytes_and_age_and_marked_ones_stay(tmp_path: Path) -> None:
    with Bench(tmp_path, max_bytes=1, keep_days=1.0) as bench:
        bench.clip("a-1")
        bench.clip("a-2")
        assert [p.name for p in tmp_path.iterdir()] == ["a-2.mp4"]
        assert bench.store.media("a-1") == []
    with Bench(tmp_path, keep_days=1.0) as bench:
        bench.clip("a-3")
        bench.now_ns += 2 * DAY_NS
        bench.clip("a-4")
        assert not (tmp_path / "a-3.mp4").exists()
        assert (tmp_path / "a-4.mp4").exists()


def test_a_folder_that_is_gone_is_told_once_and_clips_come_back_by_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "clips"
    with Bench(folder) as bench, caplog.at_level(logging.WARNING):
        folder.rmdir()
        folder.write_text("in the way")
        bench.clip("a-1")
        bench.clip("a-2")
        assert (bench.writer.failed, bench.writer.written) == (2, 0)
        assert bench.writer.fault is not None
        assert [r.levelname for r in caplog.records] == ["ERROR"]
        folder.unlink()
        bench.clip("a-3")
        assert (bench.writer.fault, bench.writer.written) == (None, 1)
        assert bench.writer.done.get(0) is not None


def test_a_full_disk_leaves_no_half_clip_and_nothing_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Bench(tmp_path) as bench:
        monkeypatch.setattr("egomon.fusion.media.output_file.os.replace", full)
        bench.clip("a-1")
        assert "No space left" in (bench.writer.fault or "")
        assert list(tmp_path.iterdir()) == []
        assert bench.store.media("a-1") == []


def test_a_clip_that_is_too_old_goes_while_no_alert_comes(tmp_path: Path) -> None:
    with Bench(tmp_path / "clips", keep_days=1.0) as bench:
        bench.clip("a-1")
        (row,) = bench.store.media("a-1")
        bench.writer.keep_promise()
        assert Path(row.path).exists()
        bench.now_ns += 2 * DAY_NS
        bench.clock.now += TIDY_SECONDS + 1
        bench.writer.keep_promise()
        assert not Path(row.path).exists()
        assert bench.store.media("a-1") == []


def test_a_folder_that_cannot_be_made_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the evidence folder"):
        Bench(tmp_path / "file" / "clips")


def test_closing_writes_what_still_waits(tmp_path: Path) -> None:
    buffer = filled(6.5)
    with Bench(tmp_path) as bench:
        bench.writer.worker.start()
        bench.writer.submit("a-1", segment(buffer), buffer, None)
        bench.writer.close()
        assert not bench.writer.worker.alive
        assert bench.writer.written == 1


class Sink:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int]] = []

    def emit(self, source: str, data: Any, attachments: Sequence[bytes] = ()) -> None:
        self.sent.append((data, len(attachments)))


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("announce", [False, True])
def test_a_finished_clip_updates_an_alert_that_is_still_open_and_never_a_closed_one(
    tmp_path: Path, announce: bool, closed: bool
) -> None:
    lifecycle = make()
    stage = SimpleNamespace(lifecycle=lifecycle, on_open=None)
    buffer = filled(10.0)
    with Bench(tmp_path) as bench:
        attacher = EvidenceAttacher(Sink(), writer=bench.writer, announce=announce)  # type: ignore[arg-type]
        attacher.add_source(stage, "cam", buffer)  # type: ignore[arg-type]
        new = run(lifecycle, [-5, 3, 3])[-1]
        stage.on_open(new.alert_id, segment(buffer))
        attacher.emit("cam", new)
        assert bench.writer.work(bench.jobs()) == []
        if closed:
            lifecycle.close("below_t_off")
        updates = attacher.ready()
        assert bench.store.media(new.alert_id) != []
        assert attacher.ready() == []
    assert [(a.rev, a.reason) for _, a in updates] == (
        [(2, "evidence_ready")] if announce and not closed else []
    )
    assert closed or [e.kind for e in lifecycle.close("shutdown")[0].evidence] == (
        ["clip"] if announce else []
    )
