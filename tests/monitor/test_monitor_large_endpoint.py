"""A run whose large branch is on a server: away at the start, away in the middle, another model."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fakes import FrameList, score
from msgspec.structs import replace
from test_monitor import CARD, bright_at, monitor

from egomon.branches.interfaces import BranchScore
from egomon.config_sections import LargeSettings
from egomon.errors import ConfigError, LargeEndpointError, UsageError
from egomon.fusion.alert_engine import LargeBranchAccess
from egomon.fusion.circuit_breaker import CircuitBreaker
from egomon.fusion.large_branch_queue import LargeBranchQueue
from egomon.monitor.operations.large_endpoint import await_server, check_endpoint, large_endpoint
from egomon.stream.frame import Segment


class Server:
    """A remote branch that is away for its first calls of `connect`."""

    in_flight = 2

    def __init__(self, away: int, then: threading.Event | None = None) -> None:
        self.away, self.then = away, then

    def connect(self) -> None:
        if self.away:
            self.away -= 1
            raise LargeEndpointError("http://gpu/v1 does not answer")
        if self.then is not None:
            self.then.set()

    def score(self, segment: Segment) -> BranchScore:
        return score("large", 3.0)

    def score_within(self, segment: Segment, seconds: float | None) -> BranchScore:
        return score("large", 3.0)

    def close(self) -> None: ...


def access() -> LargeBranchAccess:
    breaker = CircuitBreaker(lambda: 0.0)
    return LargeBranchAccess(LargeBranchQueue(), breaker, deadline_seconds=3.0)


def test_until_the_server_is_there_the_run_is_degraded_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared, seen = access(), list[tuple[bool, str | None]]()
    monkeypatch.setattr(
        shared.queue, "wait_closed", lambda s: seen.append((shared.degraded, shared.failed))
    )
    await_server(Server(away=2), shared)
    assert seen == [(True, "http://gpu/v1 does not answer")] * 2
    assert not shared.degraded
    told = [record.message for record in caplog.records]
    assert told == [
        "alerts go on without the large branch: http://gpu/v1 does not answer",
        "the large branch is there",
    ]


def test_the_end_of_a_run_ends_the_wait_for_its_server() -> None:
    shared = access()
    assert shared.queue is not None
    shared.queue.close()
    await_server(Server(away=10**9), shared)
    assert shared.failed is None


def test_a_replay_without_its_server_ends_with_its_error() -> None:
    watch, _ = monitor(FrameList(bright_at((3, 6))), large=Server(away=1))
    with pytest.raises(LargeEndpointError, match="does not answer"):
        watch.run()


def test_a_replay_asks_its_server_about_each_flagged_segment() -> None:
    watch, _ = monitor(FrameList(bright_at((3, 6))), large=Server(away=0))
    summary = watch.run()
    assert summary.refine["ok"] == 3
    assert not summary.degraded


def test_a_live_run_goes_on_by_the_small_branch_while_its_server_is_away() -> None:
    watch, _ = monitor(
        FrameList(bright_at((3, 8), seconds=12), kind="live"),
        large=Server(away=10**9),
        live=True,
        decision={"refine_deadline_seconds": 0.05},
    )
    summary = watch.run()
    assert summary.alerts["new"] == 1
    assert summary.degraded


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("from-file\n")
    return path


def test_the_key_comes_from_a_file_or_from_the_environment(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGOMON_LARGE_API_KEY", "from-environment")
    settings = LargeSettings(endpoint="http://gpu:8000/v1")
    found = large_endpoint(settings)
    assert found is not None
    assert found.api_key == "from-environment"
    found = large_endpoint(replace(settings, api_key_file=secret))
    assert found is not None
    assert found.api_key == "from-file"
    gone = replace(settings, api_key_file=secret / "none")
    with pytest.raises(ConfigError, match=r"cannot read the file of large\.api_key_file"):
        large_endpoint(gone)


def test_a_bundle_without_a_large_branch_needs_no_server() -> None:
    import msgspec

    plain = msgspec.structs.replace(CARD, large=None, gate=None)
    check_endpoint(LargeSettings(), plain)
    with pytest.raises(UsageError, match="has no large branch that a server could compute"):
        check_endpoint(LargeSettings(endpoint="http://gpu:8000/v1"), plain)
    check_endpoint(LargeSettings(endpoint="http://gpu:8000/v1"), CARD)
