"""Each figure is moved by its own test; the pages answer, and stop."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, FrameList, ScriptedLarge
from prometheus_client import generate_latest
from test_monitor import bright_at, bundle
from wire_data import alert, stats

from egomon.config import load_settings
from egomon.errors import AddressInUseError, ConfigError
from egomon.fusion.messages.types import GapData, Latency, StatusData
from egomon.monitor import Monitor, SourceRequest
from egomon.monitor.operations.health import OperationsServer
from egomon.monitor.operations.prometheus import MonitorMetrics
from egomon.monitor.services import Services
from egomon.stream.channel import WakeUp

change = msgspec.structs.replace


def status() -> StatusData:
    return StatusData(source_state="connecting")


class Bench:
    def __init__(self, **probe: float) -> None:
        self.clock = FakeClock(100.0)
        self.metrics = MonitorMetrics(
            probe=lambda: probe, clock=self.clock, wall=lambda: 1e9 + self.clock.now
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"egomon_{name}", labels)

    def online(self, decoded: int = 30, **fields: Any) -> None:
        self.metrics.on_event("cam0", change(status(), source_state="online"))
        self.frames(decoded, **fields)

    def frames(self, decoded: int, **fields: Any) -> None:
        self.metrics.on_event("cam0", change(stats(), **{"frames": {"decoded": decoded}, **fields}))


def test_frames_are_counted_by_what_became_of_them() -> None:
    bench = Bench()
    frames = {"decoded": 9, "dropped_staleness": 2, "dropped_buffer_full": 3}
    bench.online(frames=frames | {"dropped_decode_error": 4, "encoded": 1})
    outcomes = ("decoded", "dropped_stale", "dropped_full", "error", "encoded")
    found = [bench.value("frames_total", source="cam0", outcome=o) for o in outcomes]
    assert found == [9, 2, 3, 4, 1]


def test_a_living_source_has_its_rate_and_a_dead_one_none() -> None:
    bench = Bench()
    bench.online(30)
    bench.clock.now += 1.0
    bench.frames(60)
    assert bench.value("fps", source="cam0") == 30.0
    assert bench.value("last_frame_timestamp_seconds", source="cam0") == 1e9 + 101
    bench.clock.now += 2.5  # not even statistics come any more
    assert bench.value("fps", source="cam0") == 0.0
    bench.frames(90)
    assert bench.value("fps", source="cam0") == 12.0
    bench.metrics.on_event("cam0", change(status(), source_state="stalled"))
    assert bench.value("fps", source="cam0") == 0.0


def test_states_stalls_reconnections_and_gaps_are_counted() -> None:
    bench = Bench()
    bench.online()
    for state, attempt in [
        ("stalled", 0),
        ("stalled", 0),
        ("reconnecting", 1),
        ("reconnecting", 2),
    ]:
        event = change(status(), source_state=state, attempt=attempt)
        bench.metrics.on_event("cam0", event)
    bench.metrics.on_event("cam0", GapData(cause="pts_jump", count=0))
    assert bench.value("stalls_total", source="cam0") == 1
    assert bench.value("reconnects_total", source="cam0") == 2
    assert bench.value("gaps_total", source="cam0", cause="pts_jump") == 1
    assert bench.value("source_state", source="cam0", state="reconnecting") == 1
    assert bench.value("source_state", source="cam0", state="online") == 0


@pytest.mark.parametrize("result", ["ok", "late", "expired", "failed", "coalesced", "rejected"])
def test_each_answer_of_the_large_branch_is_counted(result: str) -> None:
    bench = Bench()
    bench.online(refine={result: 3})
    assert bench.value("refine_total", result=result) == 3


def test_queues_and_the_breaker_show() -> None:
    bench = Bench()
    bench.online(queues={"refine": 5})
    bench.metrics.on_event("cam0", change(status(), refiner="open", degraded=True))
    assert bench.value("queue_depth", source="cam0", queue="refine") == 5
    assert bench.value("breaker_state", state="open") == 1
    assert bench.value("breaker_state", state="closed") == 0
    assert bench.value("degraded") == 1


def test_alerts_and_their_latencies_are_counted() -> None:
    bench = Bench()
    event = change(
        alert(),
        phase="new",
        severity="alert",
        latency_ms=Latency(small=20, large=400, end_to_end=900),
    )
    bench.metrics.on_event("cam0", event)
    bench.metrics.on_event("cam0", change(event, phase="end", rev=2))
    assert bench.value("alerts_total", source="cam0", phase="new", severity="alert") == 1
    assert bench.value("alerts_total", source="cam0", phase="end", severity="alert") == 1
    assert bench.value("end_to_end_latency_seconds_sum") == 0.9
    assert bench.value("stage_latency_seconds_sum", stage="small") == 0.02
    assert bench.value("stage_latency_seconds_sum", stage="large") == 0.4


def test_the_time_to_encode_a_frame_is_observed() -> None:
    bench = Bench()
    bench.online(latency_ms={"encode_frame": 50.0})
    assert bench.value("stage_latency_seconds_count", stage="encode_frame") == 1
    assert bench.value("stage_latency_seconds_sum", stage="encode_frame") == 0.05


def test_probed_numbers_and_the_process_show() -> None:
    bench = Bench(bus_send_dropped_total=4.0, queue_oldest_age_seconds=0.5)
    assert bench.value("bus_send_dropped_total") == 4
    assert bench.value("queue_oldest_age_seconds") == 0.5
    assert (bench.value("process_rss_bytes") or 0) > 1e6
    assert bench.value("gpu_memory_bytes") == 0
    assert b"egomon_build_info" in generate_latest(bench.metrics.registry)


def test_each_number_of_the_services_has_its_figure(tmp_path: Path) -> None:
    evidence = {"folder": tmp_path, "blur_faces": None}
    settings = load_settings(None, {"evidence": evidence, "metrics": {"address": "127.0.0.1:0"}})
    buffers = [
        SimpleNamespace(name="cam", buffer=SimpleNamespace(oldest_unread_seconds=s))
        for s in (1.0, 2.5)
    ]
    services = Services(
        settings,
        SimpleNamespace(waiting=3, lost=4),  # type: ignore[arg-type]
        SimpleNamespace(boot="b", send_failed=5, auth_failures=6, bounds=SimpleNamespace(cut=12)),  # type: ignore[arg-type]
        buffers,  # type: ignore[arg-type]
        SimpleNamespace(trouble=None),  # type: ignore[arg-type]
        SimpleNamespace(counts=Counter(small=7, emit=1)),  # type: ignore[arg-type]
        wake=WakeUp(),
        live=True,
    )
    assert services.writer is not None
    services.writer.written, services.writer.failed = 9, 10
    services.blur = SimpleNamespace(failed=11)  # type: ignore[assignment]
    with services:
        assert services.health is not None
        page = get(services.health.port, "/metrics")[1]
    found = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
    assert {name: float(found[f"egomon_{name}"]) for name in services._probe()} == {
        "store_waiting_events": 3.0,
        "store_lost_events_total": 4.0,
        "bus_send_dropped_total": 5.0,
        "auth_failures_total": 6.0,
        "peers_cut_total": 12.0,
        "queue_oldest_age_seconds": 2.5,
        "worker_restarts_total": 8.0,
        "clips_written_total": 9.0,
        "clips_failed_total": 10.0,
        "blur_failed_total": 11.0,
        "sink_lost_messages_total": 0.0,
    }


def test_ready_means_loaded_online_fresh_and_whole() -> None:
    bench = Bench()
    assert "not loaded" in (bench.metrics.not_ready() or "")
    bench.online()
    assert bench.metrics.not_ready() is None
    bench.metrics.on_event("cam0", change(status(), source_state="online", degraded=True))
    assert "large branch" in (bench.metrics.not_ready() or "")
    assert bench.metrics.not_ready(allow_degraded=True) is None
    bench.clock.now += 3
    assert "no frame for 2 s" in (bench.metrics.not_ready() or "")
    bench.metrics.on_event("cam0", change(status(), source_state="offline"))
    assert "offline" in (bench.metrics.not_ready() or "")


def get(port: int, page: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{page}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_pages_answer_and_the_port_is_free_afterwards() -> None:
    bench = Bench()
    bench.online()
    trouble: list[str] = []
    with OperationsServer(
        "127.0.0.1:0", bench.metrics, unhealthy=lambda: trouble[0] if trouble else None
    ) as server:
        assert get(server.port, "/healthz") == (200, "ok\n")
        assert get(server.port, "/readyz") == (200, "ok\n")
        assert (
            'egomon_frames_total{outcome="decoded",source="cam0"} 30.0'
            in (get(server.port, "/metrics")[1])
        )
        assert get(server.port, "/../etc/passwd")[0] == 404
        bench.clock.now += 10
        assert get(server.port, "/readyz")[0] == 503
        trouble.append("stage small is stuck")
        assert get(server.port, "/healthz") == (503, "stage small is stuck\n")
    with OperationsServer(f"127.0.0.1:{server.port}", bench.metrics):
        pass


def test_a_client_that_hangs_up_does_not_stop_the_pages() -> None:
    with OperationsServer("127.0.0.1:0", Bench().metrics) as server:
        for junk in (b"", b"\xff\xfe\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
                client.sendall(junk)
        assert get(server.port, "/healthz")[0] == 200


def test_a_client_that_drips_its_request_holds_up_neither_the_others_nor_the_end() -> None:
    with OperationsServer("127.0.0.1:0", Bench().metrics) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with client:
            client.sendall(b"GET /metr")
            assert get(server.port, "/healthz") == (200, "ok\n")
            client.sendall(b"ics")
            server.__exit__()
            assert client.recv(1) == b""
    assert not server._thread.is_alive()


@pytest.mark.parametrize("page", ["/metrics", "/healthz", "/readyz", "/"])
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example:9464"}, {"Origin": "http://evil.example"}]
)
def test_foreign_web_pages_read_nothing(page: str, headers: dict[str, str]) -> None:
    with OperationsServer("127.0.0.1:0", Bench().metrics) as server:
        assert get(server.port, page, **headers)[0] == 403


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "[::]:9464", "camera.local:1"])
def test_an_address_that_others_can_reach_is_refused_unless_the_user_insists(address: str) -> None:
    with pytest.raises(ConfigError, match="open to the network"):
        OperationsServer(address, Bench().metrics)


def test_where_the_user_insists_other_machines_ask_by_any_name() -> None:
    with OperationsServer("0.0.0.0:0", Bench().metrics, insecure_bind=True) as server:
        assert get(server.port, "/healthz", Host="bench.example")[0] == 200


@pytest.mark.parametrize("address", ["9464", ":9464", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_an_address_without_host_or_port_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="write 127"):
        OperationsServer(address, Bench().metrics)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on --metrics 203\.0\.113\.1:1"):
        OperationsServer("203.0.113.1:1", Bench().metrics, insecure_bind=True)


def test_a_port_in_use_is_told() -> None:
    with (
        OperationsServer("127.0.0.1:0", Bench().metrics) as server,
        pytest.raises(AddressInUseError, match="in use"),
    ):
        OperationsServer(f"127.0.0.1:{server.port}", Bench().metrics)


def test_a_run_serves_its_figures_while_it_watches() -> None:
    pages: list[tuple[int, str]] = []

    def scrape() -> None:
        port = int(address.rpartition(":")[2])
        if not pages or "egomon_frames_total{" not in pages[-1][1]:
            pages.append(get(port, "/metrics"))

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = load_settings(
        None,
        {
            "bus": {"publish": (), "control": "none"},
            "store": {"path": "none"},
            "metrics": {"address": address},
        },
    )
    watch = Monitor(
        [SourceRequest("fake", "fake", False, FrameList(bright_at((3, 6), seconds=8)))],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99)),
        speed=4.0,
    )
    watch.run(on_tick=scrape)
    assert 'outcome="decoded",source="fake"' in pages[-1][1]
