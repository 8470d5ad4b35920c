"""The state machine of live sources, on a clock that only the test moves."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import NS_PER_SECOND, FakeClock, RecordingListener

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.frame import SourceInfo
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.network import reconnecting
from egomon.stream.sources.network.connection import RawFrame
from egomon.stream.sources.network.reconnecting import Reconnecting

INFO = SourceInfo("cam", "fake:", "live", 0, 0, None, None)


class Script:
    """Connections that do what their script says: `"refuse"`, or a list of steps.

    Steps: a number = a frame with this pts; `("wait", s)` = nothing for s seconds;
    `("data", s)` = the same, with packets that make no picture; `"lost"`; None = a frame without
    pts.
    """

    def __init__(self, clock: FakeClock, scripts: Sequence[object]) -> None:
        self.clock, self.scripts = clock, list(scripts)
        self.opened = self.closed = 0
        self.waits: list[float] = []

    def connect(self, stop: threading.Event) -> Fake:
        return Fake(self, self.scripts.pop(0) if self.scripts else "refuse")

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.clock.now += seconds
        return stop.is_set()


class Fake:
    def __init__(self, script: Script, steps: object) -> None:
        self.script, self.steps = script, steps
        self.packets = 0

    def open(self) -> tuple[int, int, float | None]:
        if self.steps == "refuse":
            raise SourceOpenError("nobody there", code="STREAM_NOT_FOUND")
        self.script.opened += 1
        return 64, 48, 10.0

    def read(self, timeout_seconds: float) -> RawFrame | None:
        clock = self.script.clock
        assert isinstance(self.steps, list)
        step = self.steps[0] if self.steps else "lost"
        if isinstance(step, tuple):
            kind, left = step
            self.packets += kind == "data"
            clock.now += min(left, timeout_seconds)
            if left > timeout_seconds:
                self.steps[0] = (kind, left - timeout_seconds)
                return None
            del self.steps[0]
            return self.read(0)
        del self.steps[:1]
        if step == "lost":
            raise SourceLostError("gone", code="STREAM_ENDED")
        clock.now += 0.1
        image = np.zeros((48, 64, 3), np.uint8)
        return RawFrame(step, clock.ns(), clock.ns(), lambda: image)

    def close(self) -> None:
        self.script.closed += 1


def make(
    scripts: Sequence[object], **options: object
) -> tuple[Reconnecting, Script, RecordingListener]:
    clock, listener = FakeClock(100.0), RecordingListener()
    script = Script(clock, scripts)
    source = Reconnecting(
        INFO,
        script.connect,
        OpenContext(
            options=SourceOptions(**options),  # type: ignore[arg-type]
            listener=listener,
            clock=clock,
        ),
        wait=script.wait,
        rng=random.Random(0),
    )
    return source, script, listener


def states(listener: RecordingListener) -> list[str]:
    return [change.state for change in listener.states]


def frames(start: float, count: int) -> list[object]:
    return [start + i / 10 for i in range(count)]


def test_a_first_opening_that_fails_is_an_error_unless_one_waits_for_the_source() -> None:
    with pytest.raises(SourceOpenError) as caught:
        make(["refuse"])
    assert caught.value.exit_code == 3
    source, script, listener = make(["refuse", "refuse", frames(0, 3)], wait_source=True)
    assert source.info.width == 0
    grab = source.read()
    assert grab is not None
    assert (grab.t_seconds, grab.epoch, source.info.width) == (0.0, 0, 64)
    assert states(listener) == ["connecting", "connecting", "connecting", "online"]
    assert script.closed == 2
    assert listener.gaps == []


def test_a_stall_is_reported_after_two_seconds_and_ends_with_the_next_frame() -> None:
    source, script, listener = make([[*frames(0, 3), ("wait", 4.0), *frames(4.3, 2)]])
    for _ in range(3):
        source.read()
    before = script.clock.now
    grab = source.read()
    assert grab is not None
    assert states(listener) == ["connecting", "online", "stalled", "online"]
    assert script.clock.now - before == pytest.approx(4.1)
    assert grab.epoch == 1  # 4 s without frames: no clip may span them
    assert [gap.cause for gap in listener.gaps] == ["pts_jump"]


def test_a_wait_for_a_frame_ends_soon_after_the_source_is_closed() -> None:
    clock, context = FakeClock(100.0), OpenContext(options=SourceOptions(stall_seconds=2.0))
    asked: list[float] = []

    class Silent(Fake):
        """Obeys its time-out and knows of no event, as the protocol allows."""

        def read(self, timeout_seconds: float) -> RawFrame | None:
            asked.append(timeout_seconds)
            context.stop.set()
            return None

    source = Reconnecting(INFO, lambda stop: Silent(Script(clock, []), []), context)
    assert source.read() is None
    assert len(asked) == 1
    assert asked[0] < 1.0


def test_silence_for_the_read_time_out_opens_a_new_connection() -> None:
    source, script, listener = make([[0.0, ("wait", 99.0)], frames(0, 2)])
    source.read()
    grab = source.read()
    assert grab is not None
    assert states(listener) == ["connecting", "online", "stalled", "reconnecting", "online"]
    assert listener.states[3].code == "STREAM_TIMEOUT"
    assert script.clock.now == pytest.approx(100 + 0.1 + 5 + 0.1 + sum(script.waits))
    assert script.closed == 1
    assert grab.epoch == 1
    # Time goes on as the monotonic clock says, although the stream began at 0 again.
    assert grab.t_seconds == pytest.approx(5.1 + sum(script.waits))
    assert [gap.cause for gap in listener.gaps] == ["reconnect"]


def test_waits_grow_up_to_thirty_seconds_and_start_anew_after_thirty_seconds_online() -> None:
    source, script, listener = make(
        [[0.0], *["refuse"] * 9, [*frames(0, 400)], frames(0, 2)], read_timeout_seconds=5
    )
    for _ in range(402):
        assert source.read() is not None
    longest = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert all(
        high / 2 <= wait <= high for wait, high in zip(script.waits[:10], longest, strict=True)
    )
    assert len(set(script.waits)) == len(script.waits)
    assert 0.25 <= script.waits[10] <= 0.5
    retries = [change for change in listener.states if change.next_retry_seconds is not None]
    assert [change.attempt for change in retries] == [*range(1, 11), 1]


def test_a_server_that_accepts_and_dies_at_once_is_not_hammered() -> None:
    source, script, _ = make([[float(i)] for i in range(8)])
    for _ in range(8):
        assert source.read() is not None
    assert script.waits[-1] > 15


def test_giving_up_is_offline_and_an_error() -> None:
    source, _, listener = make([[0.0]], give_up_seconds=20.0)
    source.read()
    with pytest.raises(SourceLostError, match="did not come back within 20 s"):
        source.read()
    assert states(listener)[-1] == "offline"


def test_close_while_waiting_for_the_next_attempt_ends_the_source() -> None:
    source, script, listener = make([[0.0]])
    source.read()
    original = script.wait

    def wait(stop: threading.Event, seconds: float) -> bool:
        source.close()
        return original(stop, seconds)

    source._wait = wait
    assert source.read() is None
    assert source.read() is None
    assert states(listener)[-1] == "ended"
    assert states(listener).count("ended") == 1
    assert script.closed == script.opened


def test_frames_without_times_are_timed_by_arrival() -> None:
    source, *_ = make([[None, None, ("wait", 0.5), None]])
    times = [grab.t_seconds for grab in (source.read(), source.read(), source.read()) if grab]
    assert times == pytest.approx([0.0, 0.1, 0.7])


def test_a_writer_that_restarts_its_clock_is_a_new_epoch_not_an_endless_drop() -> None:
    source, _, listener = make([[*frames(50, 3), *frames(0, 3)]])
    grabs = [source.read() for _ in range(6)]
    assert [grab.epoch for grab in grabs if grab] == [0, 0, 0, 1, 1, 1]
    assert [grab.t_seconds for grab in grabs if grab] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [gap.cause for gap in listener.gaps] == ["pts_jump"]


def test_arrival_times_are_the_monotonic_clock() -> None:
    source, script, _ = make([frames(7, 2)])
    grab = source.read()
    assert grab is not None
    assert grab.mono_ns == round(100.1 * NS_PER_SECOND) == script.clock.ns()


def test_a_stream_that_sends_packets_is_alive_while_its_key_frame_is_to_come() -> None:
    source, script, listener = make([[("data", 25.0), *frames(0, 3)]])
    grab = source.read()
    assert grab is not None
    assert script.opened == 1
    told = [(change.state, change.code) for change in listener.states]
    assert told == [
        ("connecting", None),
        ("connecting", "STREAM_NO_KEY_FRAME"),
        ("online", None),
    ]
    assert "waiting for a key frame" in str(listener.states[1].message)


def test_a_stream_without_any_key_frame_is_opened_anew_after_a_minute() -> None:
    source, script, listener = make([[("data", 300.0)], frames(0, 3)])
    assert source.read() is not None
    assert script.opened == 2
    assert [change.code for change in listener.states][1:3] == [
        "STREAM_NO_KEY_FRAME",
        "STREAM_DAMAGED",
    ]
    assert script.clock.now - 100 < 70


def test_a_stream_that_falls_silent_before_its_key_frame_is_opened_anew_after_the_time_out() -> (
    None
):
    source, script, _ = make([[("data", 3.0), ("wait", 30.0)], frames(0, 3)])
    assert source.read() is not None
    assert script.opened == 2
    assert script.clock.now - 100 < 12


@pytest.mark.parametrize("period", [1.0, 3.0, 4.5])
def test_a_slow_camera_is_known_by_its_waits_and_is_no_stall(period: float) -> None:
    steps = [step for n in range(12) for step in (("wait", period), n * period)]
    source, script, listener = make([steps])
    for _ in range(12):
        assert source.read() is not None
    assert script.opened == 1
    before = len(listener.states)
    source._connection.steps = [("wait", 2 * period), 12 * period]  # type: ignore[union-attr]
    assert source.read() is not None
    assert len(listener.states) == before


def test_the_end_of_a_pipe_is_the_end_of_its_source() -> None:
    clock, listener = FakeClock(100.0), RecordingListener()
    script = Script(clock, [frames(0, 2), frames(0, 2)])
    context = OpenContext(listener=listener, clock=clock)
    source = Reconnecting(INFO, script.connect, context, once=True)
    assert [source.read() is not None for _ in range(4)] == [True, True, False, False]
    assert states(listener) == ["connecting", "online", "ended"]


def test_a_source_that_ends_does_not_end_the_monitor() -> None:
    context = OpenContext()
    script = Script(FakeClock(100.0), [frames(0, 2)])
    source = Reconnecting(INFO, script.connect, context)
    source.close()
    assert source.read() is None
    assert not context.stop.is_set()
    other = Reconnecting(INFO, Script(FakeClock(1.0), [frames(0, 2)]).connect, context)
    context.stop.set()
    assert other.read() is None


def test_memory_is_given_back_after_each_connection_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[int] = []
    source, script, _ = make([frames(0, 3), "refuse", frames(0, 3)])
    monkeypatch.setattr(reconnecting, "give_back_memory", lambda: closed.append(script.closed))
    for _ in range(6):
        assert source.read() is not None
    assert (closed, script.opened) == ([1], 2)
    source.close()
    assert closed == [1, 3]  # the refused one had nothing to give
