"""The threads together, with fake models: order, ends, crashes, stops."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import BrightnessBranch, BrightnessEncoder, FrameList, ScriptedLarge

from egomon.branches.bundle.card import (
    BundleCard,
    DecisionCard,
    FrameEncoderCard,
    GateCard,
    LargeEncoderCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.torch_modules import to_arrays
from egomon.config import load_settings
from egomon.errors import BundleError, WorkerCrashedError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData, Data, GapData, StatsData, StatusData
from egomon.fusion.store.events import EventStore
from egomon.monitor import LatencyModel, Monitor, SourceRequest
from egomon.stream.source import Discontinuity
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate

CARD = BundleCard(
    name="fake",
    description="brightness",
    created="2026-01-01",
    egomon_version="0.1.0",
    licence="Apache-2.0",
    frame_encoder=FrameEncoderCard(library="bundled", architecture="x", image_px=8, dim=2),
    small=SmallCard(),
    large=LargeEncoderCard(weights="bundle", dim=2, frames=4, frame_px=8),
    gate=GateCard(kind="mean"),
    stream=StreamCard(fps=4.0, length_seconds=2.0, stride_seconds=1.0),
    decision=DecisionCard(flag_low=0.3),
)

MEAN_GATE = to_arrays(AdaptiveGate(CARD.small.width, 2, GateCard(kind="mean")).state_dict())


def bundle(large: Any) -> Any:
    """What `load_bundle` gives, made of fakes; `large` may be an error of loading, or load."""

    def load_large(endpoint: object = None) -> Any:
        if isinstance(large, Exception):
            raise large
        return large() if inspect.isfunction(large) else large

    return SimpleNamespace(
        card=CARD,
        folder=Path("fake"),
        hash="0" * 64,
        model_id="fake@00000000",
        encoder=BrightnessEncoder(),
        small=BrightnessBranch(),
        gate_tensors=MEAN_GATE,
        guard=None,
        activity=None,
        load_large=load_large,
    )


def bright_at(
    *spans: tuple[float, float], seconds: float = 30.0
) -> Iterator[tuple[float, int, int]]:
    for i in range(round(seconds * 10)):
        t = i / 10
        yield t, 0, 250 if any(a < t < b for a, b in spans) else 10


def monitor(
    source: FrameList,
    *,
    large: Any = None,
    live: bool = False,
    store: Path | None = None,
    **options: Any,
) -> tuple[Monitor, list[Data]]:
    events: list[Data] = []
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "tcp://127.0.0.1:*"},
            "store": {"path": str(store) if store else "none"},
            "decision": options.pop("decision", {}),
            "evidence": options.pop("evidence", {}),
            "source": {"staleness_seconds": 1e9, **options.pop("source_settings", {})},
            "sinks": {"uris": options.pop("sinks", ())},
        },
    )
    watch = Monitor(
        [SourceRequest("fake", "fake", live, source)],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99) if large is None else large),
        listeners=[lambda name, data: events.append(data)],
        **options,
    )
    if live:  # what a camera shows while the models load is forgotten: begin after that
        source.on_read = lambda index: watch.inputs[0].ready.wait(10) and None
    return watch, events


def alerts(events: Sequence[Data]) -> list[AlertData]:
    return [event for event in events if isinstance(event, AlertData)]


def test_a_replay_raises_its_alerts_and_accounts_for_every_frame() -> None:
    watch, events = monitor(FrameList(bright_at((8, 11), (20, 22))))
    summary = watch.run()
    assert [a.phase for a in alerts(events)] == ["new", "end", "new", "end"]
    assert summary.alerts["new"] == 2
    assert summary.frames == {"decoded": 300, "sampled": 120, "encoded": 120}
    assert summary.stopped_by == "end"
    states = [e.source_state for e in events if isinstance(e, StatusData)]
    assert states[-1] == "ended"


def test_two_replays_give_equal_bytes_whatever_the_speed() -> None:
    def run(**options: Any) -> bytes:
        watch, events = monitor(FrameList(bright_at((3, 6), seconds=8)), **options)
        watch.run()
        return b"\n".join(encode(a) for a in alerts(events))

    first = run()
    assert first
    assert run() == first
    assert run(speed=20.0) == first


def test_a_simulated_live_run_repeats_with_its_seed() -> None:
    def run(seed: int, frame_ms: float) -> tuple[bytes, int]:
        watch, events = monitor(
            FrameList(bright_at((3, 6), (12, 15), seconds=20)),
            latency_model=LatencyModel(frame_ms=frame_ms, seed=seed),
        )
        summary = watch.run()
        lost = summary.frames["sampled"] - summary.frames["encoded"]
        return b"\n".join(encode(a) for a in alerts(events)), lost

    assert run(0, 20.0) == run(0, 20.0)
    assert run(0, 20.0)[1] == 0


def test_a_flood_of_faults_is_one_message_a_second_with_their_number() -> None:
    source = FrameList(bright_at(seconds=20))
    watch, events = monitor(source, latency_model=LatencyModel())

    def flood(index: int) -> None:
        for at in range(50):
            watch.inputs[0].on_gap(Discontinuity("decode_error", 1, index, index + at))

    source.on_read = flood
    watch.run()
    gaps = [e for e in events if isinstance(e, GapData) and e.cause == "decode_error"]
    assert sum(gap.count for gap in gaps) >= 200 * 50
    assert len(gaps) <= 21, "one a simulated second"
    assert all(gap.from_pts < gap.to_pts for gap in gaps if gap.count > 1)  # type: ignore[operator]


def test_a_simulated_live_run_tells_gaps_states_and_figures_as_a_live_run_does() -> None:
    watch, events = monitor(
        FrameList(bright_at((3, 6), seconds=20)),
        source_settings={"staleness_seconds": 0.5},
        latency_model=LatencyModel(frame_ms=600.0),
    )
    frames = watch.run().frames
    gaps = [e for e in events if isinstance(e, GapData)]
    assert {gap.cause for gap in gaps} == {"staleness"}
    assert sum(gap.count for gap in gaps) == frames["dropped_staleness"] > 0
    assert frames["sampled"] == frames["encoded"] + frames["dropped_staleness"]
    states = [e for e in events if isinstance(e, StatusData)]
    assert states[0].source_state == "connecting"
    assert states[-1].source_state == "ended"
    figures = [e for e in events if isinstance(e, StatsData)]
    assert len(figures) >= 20, "one a simulated second"
    assert figures[-2].latency_ms["encode_frame"] == pytest.approx(600, rel=0.2)


def test_a_simulated_large_branch_that_is_too_slow_makes_the_run_degraded() -> None:
    watch, events = monitor(
        FrameList(bright_at((3, 60), seconds=60)),
        decision={"refine_deadline_seconds": 1.0},
        latency_model=LatencyModel(large_ms=3000.0),
    )
    summary = watch.run()
    assert summary.refine["expired"] > 0
    told = [(e.refiner, e.degraded) for e in events if isinstance(e, StatusData)]
    assert ("open", True) in told
    assert alerts(events)[-1].phase == "end"


def test_a_crash_of_the_small_branch_reaches_main_and_every_alert_is_closed() -> None:
    watch, events = monitor(FrameList(bright_at((3, 30))))
    small = watch._bundle.small  # type: ignore[union-attr]
    original: Callable[..., Any] = small.score

    def fail_later(clip: Any, context: Any) -> Any:
        if clip.t_end > 10:
            raise RuntimeError("out of luck")
        return original(clip, context)

    small.score = fail_later  # type: ignore[method-assign]
    with pytest.raises(WorkerCrashedError, match="small worker crashed: RuntimeError: out of luck"):
        watch.run()
    phases = [a.phase for a in alerts(events)]
    assert phases.count("new") == phases.count("end") == 1
    assert alerts(events)[-1].reason == "shutdown"


def test_a_stop_closes_open_alerts_and_says_why() -> None:
    started = threading.Event()
    gate = threading.Event()

    def hold(index: int) -> None:
        if index == 150:
            started.set()
            gate.wait(10)

    watch, events = monitor(FrameList(bright_at((3, 30)), on_read=hold))
    summary: list[Any] = []
    thread = threading.Thread(target=lambda: summary.append(watch.run()))
    thread.start()
    assert started.wait(10)
    watch.stop("shutdown")
    gate.set()
    thread.join(10)
    assert summary[0].stopped_by == "shutdown"
    last = alerts(events)[-1]
    assert (last.phase, last.reason) == ("end", "shutdown")


def test_live_alerts_go_on_when_the_large_branch_cannot_be_loaded() -> None:
    watch, events = monitor(
        FrameList(bright_at((3, 8), seconds=12), kind="live"),
        large=BundleError("weights are gone"),
        live=True,
        decision={"refine_deadline_seconds": 0.05},
    )
    summary = watch.run()
    found = alerts(events)
    assert [a.phase for a in found] == ["new", "end"]
    assert found[0].mode == "small-only"
    assert summary.degraded
    assert any(isinstance(e, StatusData) and e.degraded for e in events)


def test_a_large_branch_that_fails_to_load_after_the_end_is_no_error_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    over = threading.Event()

    def load() -> Any:
        over.wait(20)
        raise BundleError("Python is ending")

    frames = FrameList(bright_at(seconds=4), kind="live")
    watch, _ = monitor(frames, large=load, live=True)
    watch.run()
    large = [thread for thread in threading.enumerate() if thread.name == "egomon-large"]
    with caplog.at_level(logging.DEBUG, "egomon"):
        over.set()
        for thread in large:
            thread.join(10)
    told = [record.levelname for record in caplog.records if "Python is ending" in record.message]
    assert told == ["DEBUG"]


@pytest.mark.parametrize("live", [True, False])
def test_the_large_branch_lets_others_run_first_where_time_counts(
    monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    last: list[str] = []
    note = lambda: last.append(threading.current_thread().name)  # noqa: E731
    monkeypatch.setattr("egomon.stream.worker.lower_priority", note)
    frames = FrameList(bright_at((3, 8), seconds=12), kind="live" if live else "file")
    watch, _ = monitor(frames, live=live)
    watch.run()
    assert last == (["egomon-large"] if live else [])


def test_a_replay_without_its_large_branch_is_an_error_not_luck() -> None:
    watch, _ = monitor(FrameList(bright_at((3, 6))), large=BundleError("weights are gone"))
    with pytest.raises(BundleError, match="weights are gone"):
        watch.run()


def test_a_large_branch_that_fails_on_some_calls_leaves_alerts_degraded() -> None:
    script: list[Any] = [RuntimeError("boom")] * 3 + [3.0] * 50
    watch, events = monitor(FrameList(bright_at((3, 6), (14, 18))), large=ScriptedLarge(script))
    summary = watch.run()
    assert summary.refine["failed"] == 3
    first = alerts(events)[0]
    assert (first.mode, first.degraded) == ("small-only", True)


def test_live_alerts_carry_wall_times_and_latency() -> None:
    watch, events = monitor(FrameList(bright_at((3, 8), seconds=12), kind="live"), live=True)
    watch.run()
    first = alerts(events)[0]
    assert first.t is not None
    assert first.latency_ms is not None


def test_alerts_left_open_by_a_killed_run_are_closed_by_the_next(tmp_path: Path) -> None:
    store = tmp_path / "events.sqlite"
    watch, events = monitor(FrameList(bright_at((3, 6), seconds=8)), store=store)
    watch.run()
    opened = alerts(events)[0]
    with EventStore(store) as kept:
        kept._db.execute(
            "UPDATE alerts SET phase = 'new', rev = 1, data = ? WHERE alert_id = ?",
            (encode(opened), opened.alert_id),
        )
        kept._db.commit()
        assert len(kept.open_alerts()) == 1
    again, later = monitor(FrameList(bright_at(seconds=3)), store=store)
    again.run()
    (closed,) = alerts(later)
    assert (closed.phase, closed.reason, closed.rev) == ("end", "monitor_restarted", 2)
    with EventStore(store) as kept:
        assert kept.open_alerts() == []


def test_two_cameras_share_one_encoder_and_keep_their_alerts_apart() -> None:
    settings = load_settings(
        None,
        {"bus": {"publish": (), "control": "none"}, "store": {"path": "none"}},
    )
    found: list[tuple[str, Data]] = []
    watch = Monitor(
        [
            SourceRequest("left", "fake", False, FrameList(bright_at((3, 6), seconds=10))),
            SourceRequest("right", "fake", False, FrameList(bright_at((5, 8), seconds=10))),
        ],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99)),
        listeners=[lambda name, data: found.append((name, data))],
    )
    summary = watch.run()
    new = {(name, d.source) for name, d in found if isinstance(d, AlertData) and d.phase == "new"}
    assert new == {("left", "left"), ("right", "right")}
    assert summary.frames["encoded"] == 80
