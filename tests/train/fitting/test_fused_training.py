"""Both branches and the gate from cached vectors, ensembles, and the way to a live bundle."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from feature_sets import DIM, LARGE, with_large, workshop
from made_videos import grey_video

from egomon.branches.bundle.card import SmallCard, StreamCard
from egomon.branches.bundle.weights import part
from egomon.branches.load_bundle import load_bundle, read_tensors
from egomon.cli.app import app
from egomon.errors import ConfigError, DataError
from egomon.fusion.decision import Decider
from egomon.fusion.gate import load_gate
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.evaluation.scoring import large_vectors, small_scores
from egomon.train.extraction.extract import extract
from egomon.train.fitting.fit import train
from egomon.train.fitting.heads.uemcm_model import UemcmModel
from egomon.train.fitting.recipe import Recipe

STREAM = StreamCard(fps=1.0, fine_frames=16, context_frames=64)


def recipe(**changes: object) -> Recipe:
    plain = Recipe(
        name="shop",
        description="test",
        stream=STREAM,
        epochs=8,
        patience=8,
        width=32,
        batch=32,
        large_width=16,
        gate_width=16,
    )
    return msgspec.structs.replace(plain, **changes)


def hidden(recordings: int = 40, seed: int = 0) -> object:
    """Wrong looks that the frame vectors do not show."""
    return with_large(workshop(recordings, seed, odd_look=0.0), seed)


@pytest.fixture(scope="module")
def fused_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused") / "bundle"
    shape = recipe(large=True, lr=3e-3, dropout=0.3, epochs=40, patience=40)
    train(shape, hidden(), folder, quiet=True)  # type: ignore[arg-type]
    return folder


def test_the_gate_adds_what_the_small_branch_cannot_see(fused_bundle: Path) -> None:
    report = evaluate_features(fused_bundle, hidden(30, seed=7))  # type: ignore[arg-type]
    small, large, fused = (report.branches[n]["roc_auc"] for n in ("small", "large", "fused"))
    assert fused > max(small, large) + 0.05
    assert report.by_tag["odd"] > 0.5
    assert small > 0.7  # its own loss keeps it useful alone
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(told["branches"]) == {"small", "large", "fused"}
    text = [cell for column in report.table().columns for cell in column.cells]
    assert {"small", "large", "fused"} <= set(text)


def test_the_scores_are_those_of_the_live_decision(fused_bundle: Path) -> None:
    data, bundle = hidden(6, seed=3), load_bundle(fused_bundle, with_encoder=False)
    report = evaluate_features(bundle, data)  # type: ignore[arg-type]
    decider, head = Decider(bundle.card.decision, load_gate(bundle)), bundle.load_large_head()
    assert head is not None
    vectors = large_vectors(data)  # type: ignore[arg-type]
    logits = head.logits(vectors)
    from egomon.branches.interfaces import BranchScore
    from egomon.branches.segment_scorer import ScoredSegment
    from egomon.stream.frame import Segment

    asked = 0
    for k, score in enumerate(small_scores(bundle.small, STREAM, data)):  # type: ignore[arg-type]
        nothing = Segment(k, "x", 0.0, 1.0, 0, np.zeros(0), ())
        scored = ScoredSegment(nothing, score, False, None, 0, 0, 0)
        verdict = decider.small(scored)
        if decider.wants_large(scored):
            asked += 1
            verdict = decider.fused(scored, BranchScore("large", logits[k], vectors[k], 0.0))
        assert report.p[k] == pytest.approx(verdict.p_mistake, abs=1e-5)
    assert asked > 0


def test_without_large_vectors_the_small_branch_speaks_alone(fused_bundle: Path) -> None:
    report = evaluate_features(fused_bundle, workshop(8, seed=7))
    assert report.branches == {}
    assert report.threshold == load_bundle(fused_bundle).card.decision.threshold_small


def test_vectors_of_another_large_encoder_are_refused(fused_bundle: Path) -> None:
    data = hidden(4)
    card = msgspec.structs.replace(data.card, large=msgspec.structs.replace(LARGE, frames=8))  # type: ignore[attr-defined]
    from dataclasses import replace

    with pytest.raises(DataError, match="frames = 8, but the bundle has 4"):
        evaluate_features(fused_bundle, replace(data, card=card))  # type: ignore[type-var]


def test_a_recipe_with_a_large_branch_needs_its_vectors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shop trains both.*extract VIDEOS -o workshop --large"):
        train(recipe(large=True), workshop(), tmp_path / "b", quiet=True)
    with pytest.raises(ConfigError, match="members = 2 and large = true"):
        train(recipe(large=True, members=2), hidden(), tmp_path / "b", quiet=True)  # type: ignore[arg-type]


def test_branch_dropout_lets_a_sample_hear_one_branch_only() -> None:
    torch.manual_seed(0)
    model = UemcmModel(DIM, 12, SmallCard(width=8), recipe(branch_dropout=1.0, dropout=0.0))
    clips = (torch.randn(64, 3, DIM), torch.ones(64, 3, dtype=torch.bool)) * 2
    z, (z_s, z_l), _ = model.train()(clips, torch.randn(64, 12))
    from_small = torch.isclose(z, z_s).all(dim=1)
    from_large = torch.isclose(z, z_l).all(dim=1)
    assert bool((from_small ^ from_large).all())
    assert 16 < int(from_small.sum()) < 48
    quiet, (z_s, z_l), _ = model.eval()(clips, torch.randn(64, 12))
    assert torch.allclose(quiet, (z_s + z_l) / 2, atol=1e-6)  # the gate starts at the mean


def test_branch_dropout_and_no_auxiliary_loss_train_too(tmp_path: Path) -> None:
    shape = recipe(large=True, branch_dropout=0.3, auxiliary=0.0, gate="mean", epochs=2)
    train(shape, hidden(12), tmp_path / "b", quiet=True)  # type: ignore[arg-type]
    card = load_bundle(tmp_path / "b", with_encoder=False).card
    assert card.gate is not None
    assert card.gate.kind == "mean"


def test_an_ensemble_is_the_mean_of_its_members_and_loads_for_live_use(tmp_path: Path) -> None:
    train(recipe(members=3, epochs=2), workshop(), tmp_path / "b", quiet=True)
    bundle, data = load_bundle(tmp_path / "b"), workshop(4, seed=9)
    assert bundle.card.small.members == 3
    tensors = part(read_tensors(tmp_path / "b"), "small.")
    single = msgspec.structs.replace(bundle.card.small, members=1)
    found = []
    for k in range(3):
        train(recipe(seed=k, epochs=2), workshop(), tmp_path / f"m{k}", quiet=True)
        own = part(read_tensors(tmp_path / f"m{k}"), "small.")
        mine = part(tensors, f"members.{k}.")
        assert all(np.array_equal(own[name], mine[name]) for name in own)
        alone = load_bundle(tmp_path / f"m{k}")
        assert alone.card.small == single
        found.append([s.log_odds for s in small_scores(alone.small, STREAM, data)])
    together = [s.log_odds for s in small_scores(bundle.small, STREAM, data)]
    np.testing.assert_allclose(together, np.mean(found, axis=0), atol=1e-5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films of six seconds; every other second is called a mistake."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for name in "abcd":
        grey_video(folder / f"{name}.mp4", 60)
        rows += [
            {"recording": name, "start": k, "end": k + 1, "label": k % 2, "text": f"step {k}"}
            for k in range(6)
        ]
    (folder / "segments.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None:
        raise result.exception
    return result.stdout


RECIPE_TEXT = """
name = "mine"
description = "test"
epochs = 2
width = 16
large = true
large_width = 16
gate_width = 8
[stream]
fine_frames = 8
context_frames = 16
policy = "activity"
"""


def test_from_videos_to_alerts_of_a_fused_bundle(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    (tmp_path / "r.toml").write_text(RECIPE_TEXT.replace("activity", "fixed"))
    run("extract", videos, "-o", tmp_path / "set", "-m", tiny_bundle, "--large", "--json")
    run("train", "-r", tmp_path / "r.toml", "--data", tmp_path / "set", "-o", tmp_path / "b",
        "--json")  # fmt: skip
    told = json.loads(run("evaluate", "-m", tmp_path / "b", "--data", tmp_path / "set", "--json"))
    assert set(told["branches"]) == {"small", "large", "fused"}
    card = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert card["stream"]["fps"] == 4.0
    video = sorted(videos.glob("*.mp4"))[0]
    summary = json.loads(
        run("replay", video, "-m", tmp_path / "b", "--store", "none", "--json").splitlines()[-1]
    )
    assert summary["segments"] > 0
    assert not summary["degraded"]


def test_a_bundle_from_the_default_tower_sees_videos(videos: Path, tmp_path: Path) -> None:
    """The tower of `workbench` lives in its bundle, and goes along through the feature set."""
    extract(videos, tmp_path / "set", model="workbench", quiet=True)
    train(recipe(epochs=1), tmp_path / "set", tmp_path / "b", quiet=True)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.encoder is not None
    (tmp_path / "set" / "encoder.safetensors").unlink()
    with pytest.raises(DataError, match=r"encoder\.safetensors cannot be read.*extract again"):
        train(recipe(epochs=1), tmp_path / "set", tmp_path / "c", quiet=True)
