"""A source's place in the monitor: its settings reach its buffer, its drops reach the listeners."""

import dataclasses
import threading
import time

import pytest
from fakes import FrameList, frame

from egomon.config import load_settings
from egomon.fusion.messages.types import GapData
from egomon.monitor import SourceRequest
from egomon.monitor.messages import SourceNotice
from egomon.monitor.workers.gap_sum import GapSum
from egomon.monitor.workers.source_worker import SourceWorker
from egomon.stream.channel import Channel
from egomon.stream.source_options import OpenContext

BUDGET_SECONDS = 60.0


@pytest.mark.parametrize(("live", "kept"), [(True, [1]), (False, [0, 1])])
def test_a_live_source_drops_what_waited_longer_than_its_budget_and_a_file_nothing(
    live: bool, kept: list[int]
) -> None:
    notices: Channel[SourceNotice] = Channel(8)
    item = SourceWorker(
        SourceRequest.of("cam", "film.mp4", "live" if live else "file"),
        load_settings(None, {"source": {"staleness_seconds": BUDGET_SECONDS}}),
        threading.Condition(),
        notices,
        speed=0.0,
        range_seconds=(0.0, None),
        stop=threading.Event(),
    )
    now_ns = time.monotonic_ns()
    for index, age_seconds in enumerate((BUDGET_SECONDS + 1.0, 0.0)):
        arrived_ns = now_ns - round(age_seconds * 1e9)
        item.buffer.push(dataclasses.replace(frame(index / 8, index=index), mono_ns=arrived_ns))
    assert [taken.index for taken in item.buffer.take(8)] == kept
    told = notices.get(0)
    if live:
        assert told is not None
        assert isinstance(told.event, GapSum)
        assert told.event.take() == [GapData(cause="staleness", count=1, from_pts=0.0, to_pts=0.0)]
        assert item.frame_counts()["dropped_staleness"] == 1
    else:
        assert told is None


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        ({}, False),
        ({"folder": "clips"}, True),
        ({"folder": "clips", "blur_faces": "yunet.onnx"}, False),
    ],
)
def test_packets_as_they_were_sent_are_kept_for_clips_unless_faces_are_blurred(
    evidence: dict[str, str], kept: bool
) -> None:
    item = SourceWorker(
        SourceRequest.of("cam", "film.mp4"),
        load_settings(None, {"evidence": evidence}),
        threading.Condition(),
        Channel(8),
        speed=0.0,
        range_seconds=(0.0, None),
        stop=threading.Event(),
    )
    assert (item.packets is not None) is kept


def test_a_source_that_is_closed_ends_neither_the_run_nor_its_next_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts: list[OpenContext] = []

    def open_in(reference: str, context: OpenContext) -> FrameList:
        contexts.append(context)
        return FrameList([])

    monkeypatch.setattr("egomon.monitor.workers.source_worker.open_in", open_in)
    stop = threading.Event()
    item = SourceWorker(
        SourceRequest.of("cam", "rtsp://camera", "live"),
        load_settings(None),
        threading.Condition(),
        Channel(8),
        speed=0.0,
        range_seconds=(0.0, None),
        stop=stop,
    )
    item.open()
    item.close()
    assert contexts[0].stop.is_set()
    assert not stop.is_set()
    item.open()
    assert not contexts[1].stop.is_set()
    stop.set()  # as the run ends, between two openings
    item.open()
    assert contexts[2].stop.is_set()
