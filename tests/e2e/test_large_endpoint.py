"""The command with the large branch on a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import Run
from tools.vllm_stub import VllmStub

from egomon.branches.load_bundle import load_bundle
from egomon.branches.uemcm.large_branch import Qwen3VLBranch
from egomon.train.simulator import simulate


@pytest.fixture(scope="module")
def model() -> Qwen3VLBranch:
    branch = load_bundle("workbench", with_encoder=False).load_large()
    assert isinstance(branch, Qwen3VLBranch)
    return branch


@pytest.fixture(scope="module")
def bench_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of rendered bench work."""
    folder = tmp_path_factory.mktemp("bench")
    simulate(folder, 3, 0.5, size_px=160, fps=8.0, mistake_rate=0.8)
    return next(folder.glob("*.mp4"))


def test_a_replay_with_a_server_gives_the_alerts_of_a_replay_without(
    egomon: Run, model: Qwen3VLBranch, bench_video: Path
) -> None:
    embedder = model.embedder
    stub = VllmStub(lambda frames, times: embedder.embed([frames], [times])[0].tolist())
    try:
        local = egomon("replay", bench_video, "--json")
        far = egomon("replay", bench_video, "--json", "--large-endpoint", stub.url)
    finally:
        stub.kill()
    assert (local.returncode, far.returncode) == (0, 0), far.stderr
    ours, theirs = json.loads(local.stdout), json.loads(far.stdout)
    assert ours["refine"] == theirs["refine"]
    assert theirs["refine"]["ok"] > 0
    assert stub.embedded == theirs["refine"]["ok"] + 1
    for a, b in zip(ours["alert_list"], theirs["alert_list"], strict=True):
        assert (a["alert_id"], a["phase"]) == (b["alert_id"], b["phase"])
        assert a["p"] == pytest.approx(b["p"], abs=0.02)


def test_a_server_of_another_model_is_refused_with_exit_4(egomon: Run, bench_video: Path) -> None:
    def embed(frames: Sequence[np.ndarray], times: Sequence[float]) -> list[float]:
        return [1.0] * 128

    stub = VllmStub(embed)
    try:
        run = egomon(
            *("replay", bench_video, "--speed", "max", "--json"),
            *("--large-endpoint", stub.url),
        )
    finally:
        stub.kill()
    assert run.returncode == 4
    assert "cosine" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_server_that_is_not_there_is_told_once_and_before_anything_is_read(
    egomon: Run, bench_video: Path
) -> None:
    run = egomon("replay", bench_video, "--large-endpoint", "http://127.0.0.1:9")
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr.startswith("egomon: http://127.0.0.1:9 does not answer")
    assert len(run.stderr.splitlines()) == 1


def test_a_key_in_the_address_is_refused_before_anything_is_loaded(
    egomon: Run, bench_video: Path
) -> None:
    address = "http://me:hunter2@127.0.0.1/v1"
    run = egomon("replay", bench_video, "--json", "--large-endpoint", address)
    assert (run.returncode, run.stdout) == (2, "")
    assert "EGOMON_LARGE_API_KEY" in run.stderr
    assert "hunter2" not in run.stderr
