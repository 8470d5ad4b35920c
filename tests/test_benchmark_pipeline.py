"""The benchmark's figures that do not depend on the machine hold, and every figure is there."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARK = ROOT / "benchmarks" / "pipeline.py"

EXACT = {
    "encodes_per_frame": (1.0, 1.0),
    "large_tokens_over_budget": (1.0, 1.0),
    "preprocess_psnr_db": (60.0, 99.0),
    "live_replay_logit_diff": (0.0, 1e-5),
    "alerts_lost": (0.0, 0.0),
}
"""Figure: lowest and highest value, on any machine."""

TIMED = {
    "pipeline_over_encoder",
    "workbench_over_encoder",
    "cpu_overhead",
    "naive_over_pipeline_cpu",
    "naive_ram_over_pipeline_cpu",
    "segment_cost_1h_over_1min",
    "rss_mb_per_hour",
    "rss_mb_per_hour_after_cap",
    "alert_latency_ms_p50",
    "alert_latency_ms_p99",
    "alert_latency_busy_ms_p99",
    "eager_over_batch_latency",
    "live_cpu_over_floor",
    "idle_over_decode",
    "capture_frames_lost",
    "capture_jitter_ratio",
    "busy_defaults_over_one_thread",
    "large_isolation",
    "preprocess_cpu_over_pil",
    "cameras8_over_single",
    "bus_cpu_ms",
    "help_seconds_over_python",
    "first_segment_over_python_start",
    "install_mb",
    "install_seconds_over_numpy_opencv",
    "rss_mb_running",
    "gpu_pipeline_over_encoder",
    "gpu_large_over_floor",
}


def run(*args: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick", *args],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answer() -> Any:
    return json.loads(run("--json", "--only", *EXACT))


@pytest.mark.parametrize("key", EXACT)
def test_a_figure_that_no_machine_changes_holds(answer: dict[str, Any], key: str) -> None:
    least, most = EXACT[key]
    assert least <= answer[key] <= most, answer["rows"][key]
    assert answer["rows"][key]["met"] is True


def test_the_answer_has_every_figure_and_says_what_each_means(answer: dict[str, Any]) -> None:
    assert set(answer) == {*EXACT, *TIMED, "machine", "rows"}
    assert set(answer["rows"]) == {*EXACT, *TIMED}
    for key, row in answer["rows"].items():
        assert row["figure"]
        assert row["aim"][:2] in ("<=", ">=", "= ")
        if key in TIMED:
            assert answer[key] is None
            assert row["reason"] == "not asked for"
    assert answer["machine"]["cores"] >= 1
    assert answer["machine"]["torch"]


def test_figures_come_as_a_table_for_people_and_for_the_readme() -> None:
    assert "bus_cpu_ms" in run("--only", "bus_cpu_ms")
    lines = run("--markdown", "--only", "bus_cpu_ms").splitlines()
    assert lines[0] == "| figure | aim | measured |"
    row = next(line for line in lines if line.startswith("| `bus_cpu_ms`"))
    assert float(row.split("|")[3].strip(" *")) > 0


def test_a_figure_that_fails_says_so_and_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARK.parent)
    pipeline = importlib.import_module("pipeline")
    measured = importlib.import_module("pipeline_parts.figures").Measured

    def broken(bench: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setitem(pipeline.GROUPS, "bus", broken)
    monkeypatch.setitem(pipeline.GROUPS, "lost", lambda bench: {"alerts_lost": measured(0.0)})
    found = pipeline.measure(["bus_cpu_ms", "alerts_lost"], quick=True)
    assert found["alerts_lost"].value == 0
    assert (found["bus_cpu_ms"].value, found["bus_cpu_ms"].reason) == (None, "failed: no luck")
    answer = pipeline.result(found, {})
    assert pipeline.failed(answer) == ["bus_cpu_ms"]
