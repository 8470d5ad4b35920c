"""Settings that are read again while watching: valid ones apply, wrong ones change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FrameList, ScriptedLarge
from test_monitor import alerts, bright_at, bundle
from test_monitor_faults import wait_for_room

from egomon.config import Settings, load_settings
from egomon.errors import ConfigError
from egomon.fusion.messages.types import Data, StatusData
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.reload import Reloader, changes

START = """
[bus]
publish = []
control = "none"
[store]
path = "none"
[source]
staleness_seconds = 1e9
[model]
large = false
"""


def settings(text: str, folder: Path) -> Settings:
    path = folder / "egomon.toml"
    path.write_text(START + text)
    return load_settings(path)


def test_only_what_differs_is_named(tmp_path: Path) -> None:
    before = settings("", tmp_path)
    after = settings(
        "[decision]\nthreshold_small = 0.7\n[metrics]\nallow_degraded = true", tmp_path
    )
    assert [str(change) for change in changes(before, after)] == [
        "decision.threshold_small None -> 0.7",
        "metrics.allow_degraded False -> True",
    ]
    assert changes(before, before) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[decision]\nthreshold_small = 7", "decision.threshold_small"),
        ("[decision]\nthreshhold_small = 0.7", "did you mean decision.threshold_small"),
        ("[decision", "cannot read"),
        ("[decision]\nemit = 'small-only'\nthreshold_small = 0.9", "decision.emit cannot change"),
    ],
)
def test_a_wrong_file_changes_nothing_and_says_why(text: str, says: str, tmp_path: Path) -> None:
    applied: list[Settings] = []
    first = settings("", tmp_path)
    reloader = Reloader(first, lambda: settings(text, tmp_path), applied.append)
    assert reloader.reload() == []
    assert reloader.fault is not None
    assert "the settings in use stay" in reloader.fault
    assert says in reloader.fault
    assert (reloader.settings, applied) == (first, [])


def test_a_file_that_is_mended_ends_the_fault(tmp_path: Path) -> None:
    applied: list[Settings] = []
    texts = ["nonsense", "[decision]\nthreshold_small = 0.7"]
    first = settings("", tmp_path)
    reloader = Reloader(first, lambda: settings(texts.pop(0), tmp_path), applied.append)
    reloader.reload()
    assert reloader.fault is not None
    assert len(reloader.reload()) == 1
    assert reloader.fault is None
    assert applied == [reloader.settings]


def test_settings_that_the_model_refuses_stay_out(tmp_path: Path) -> None:
    def refuse(after: Settings) -> None:
        raise ConfigError("no")

    first = settings("", tmp_path)
    second = "[decision]\nthreshold_small = 0.7"
    reloader = Reloader(first, lambda: settings(second, tmp_path), refuse)
    assert reloader.reload() == []
    assert reloader.settings == first


def test_a_threshold_that_is_raised_while_watching_raises_no_more_alerts(tmp_path: Path) -> None:
    """The same bright span three times: at the card's threshold, above it, and a broken file."""
    texts = ["[decision]\nthreshold_small = 0.999", "[decision]\nthreshold_small = 'high'"]
    events: list[Data] = []
    marks: list[int] = []
    go = threading.Event()

    def on_read(index: int) -> None:
        wait_for_room(watch)
        if index in (100, 200):  # the emit thread has all before, then the file is read again
            marks.append(index)
            assert go.wait(20)
            go.clear()

    source = FrameList(bright_at((3, 6), (13, 16), (23, 26)), kind="live", on_read=on_read)
    watch = Monitor(
        [SourceRequest("fake", "fake", True, source)],
        settings("", tmp_path),
        bundle=bundle(ScriptedLarge([])),
        listeners=[lambda name, data: events.append(data)],
        reread=lambda: settings(texts.pop(0), tmp_path),
    )
    steps = steps_of(watch, events, marks, go)
    watch.run(lambda: next(steps, None))
    assert [a.phase for a in alerts(events)] == ["new", "end"]
    assert texts == []


def steps_of(watch: Monitor, events: list[Data], marks: list[int], go: threading.Event) -> Any:
    """What the main thread does, tick by tick."""
    yield from until(lambda: marks == [100] and scored(watch) >= 39)
    watch.request_reload()
    yield from until(lambda: threshold(watch) == 0.999)
    go.set()
    yield from until(lambda: marks == [100, 200])
    watch.request_reload()
    yield from until(lambda: "CONFIG_REJECTED" in codes(events))
    assert threshold(watch) == 0.999
    go.set()


def until(true: Callable[[], bool]) -> Any:
    while not true():
        yield


def scored(watch: Monitor) -> int:
    assert watch.pipeline is not None
    return watch.pipeline.scoring.encoded


def threshold(watch: Monitor) -> float:
    assert watch.pipeline is not None
    return watch.pipeline.parts.engines["fake"].lifecycle.card.threshold_small


def codes(events: list[Data]) -> set[str]:
    return {e.error.code for e in events if isinstance(e, StatusData) and e.error is not None}
