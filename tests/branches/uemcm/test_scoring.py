"""Small branch, gate and activity model on numpy views."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_models import CLIP_DIM, tiny_card, tiny_tensors

from egomon.branches.activity_model import ActivityClassifier
from egomon.branches.bundle.card import BundleCard, GateCard
from egomon.branches.bundle.weights import part
from egomon.branches.interfaces import BranchScore, ClipView, ContextView
from egomon.branches.uemcm.context_network import ContextNetwork
from egomon.branches.uemcm.small_branch import UemcmSmallBranch
from egomon.errors import BundleError
from egomon.fusion.gate import UemcmGate

CARD = tiny_card(Path("clip"), large=True)


def small(card: BundleCard = CARD) -> UemcmSmallBranch:
    return UemcmSmallBranch.load(card, part(tiny_tensors(card), "small."))


def set_head(branch: UemcmSmallBranch, name: str, bias: list[float]) -> None:
    """Let a layer give the same whatever it sees."""
    assert isinstance(branch.network, ContextNetwork)
    branch.network.weights[f"{name}.weight"] *= 0
    branch.network.weights[f"{name}.bias"] = np.array(bias, np.float32)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, CLIP_DIM)).astype(np.float32)


def clip(count: int = 8, seed: int = 0) -> ClipView:
    return ClipView(vectors(count, seed), np.arange(count) / 4, 0.0, count / 4)


def context(count: int = 16, seed: int = 1) -> ContextView:
    return ContextView(vectors(count, seed), np.arange(count) / 4, 0.0, count / 4)


def score(name: str, logits: tuple[float, float], feature: np.ndarray) -> BranchScore:
    return BranchScore(name, np.array(logits, np.float32), feature, 1.0)  # type: ignore[arg-type]


def test_the_same_views_give_the_same_score() -> None:
    branch = small()
    first, again = branch.score(clip(), context()), branch.score(clip(), context())
    assert np.array_equal(first.logits, again.logits)
    assert np.array_equal(first.feature, again.feature)
    assert first.feature.shape == (CARD.small.width,)
    assert first.branch == "small"


def test_clip_and_context_both_count() -> None:
    branch = small()
    reference = branch.score(clip(), context()).logits
    assert not np.allclose(branch.score(clip(seed=2), context()).logits, reference)
    assert not np.allclose(branch.score(clip(), context(seed=3)).logits, reference)


def test_right_after_a_reset_a_segment_is_scored_without_context() -> None:
    result = small().score(clip(), context(0))
    assert np.isfinite(result.logits).all()
    assert result.reason is None


def test_short_clips_are_scored_by_the_frames_they_have() -> None:
    assert np.isfinite(small().score(clip(1), context(3)).logits).all()


def test_the_step_head_names_a_step_with_its_probability() -> None:
    branch = small()
    set_head(branch, "step", [0.0, 5.0, 0.0])
    step = branch.score(clip(), context()).step
    assert step is not None
    assert (step.id, step.text) == ("place", "place")
    assert step.confidence == pytest.approx(np.exp(5) / (np.exp(5) + 2), rel=1e-5)


def test_a_step_done_before_is_given_as_the_reason_of_a_mistake_only() -> None:
    branch = small()
    set_head(branch, "step", [0.0, 5.0, 0.0])
    set_head(branch, "g.3", [0.0, 1.0])
    assert "'place' again" in (branch.score(clip(), context()).reason or "")
    set_head(branch, "g.3", [1.0, 0.0])
    assert branch.score(clip(), context()).reason is None


def test_without_step_names_there_is_no_step() -> None:
    card = msgspec.structs.replace(CARD, small=msgspec.structs.replace(CARD.small, steps=()))
    result = small(card).score(clip(), context())
    assert result.step is None
    assert result.reason is None


@pytest.mark.parametrize(
    ("fine", "coarse", "message"),
    [
        (clip(0), context(), "nothing to score"),
        (clip(9), context(), "at most 8"),
        (clip(), context(17), "at most 16"),
        (ClipView(np.zeros((4, 3), np.float32), np.arange(4.0), 0, 1), context(), "of 32"),
    ],
)
def test_views_that_break_the_card_are_refused(
    fine: ClipView, coarse: ContextView, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small().score(fine, coarse)


def test_latency_comes_from_the_given_clock() -> None:
    ticks = iter([10.0, 10.25])
    branch = UemcmSmallBranch(CARD, small().network, clock=lambda: next(ticks))
    assert branch.score(clip(), context()).latency_ms == 250.0


def test_gate_weights_sum_to_one_and_mix_the_logits() -> None:
    gate = UemcmGate.load(CARD, part(tiny_tensors(CARD), "gate."))
    assert CARD.large is not None
    a = score("small", (1.0, -1.0), vectors(1)[0, : CARD.small.width])
    b = score("large", (0.0, 3.0), np.resize(vectors(2), CARD.large.dim))
    logits, weights = gate.fuse(a, b)
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(logits, weights[0] * a.logits + weights[1] * b.logits, atol=1e-6)
    assert abs(weights[0] - 0.5) > 1e-3
    other, _ = gate.fuse(score("small", (1.0, -1.0), -a.feature), b)
    assert not np.allclose(other, logits)


def test_the_mean_gate_takes_half_of_each() -> None:
    card = msgspec.structs.replace(CARD, gate=GateCard(kind="mean", width=8))
    assert CARD.large is not None
    gate = UemcmGate.load(card, part(tiny_tensors(card), "gate."))
    a = score("small", (1.0, -1.0), np.zeros(CARD.small.width, np.float32))
    b = score("large", (0.0, 3.0), np.zeros(CARD.large.dim, np.float32))
    logits, weights = gate.fuse(a, b)
    np.testing.assert_allclose(weights, [0.5, 0.5])
    np.testing.assert_allclose(logits, [0.5, 1.0])


def test_activity_is_judged_frame_by_frame() -> None:
    model = ActivityClassifier.load(CARD, part(tiny_tensors(CARD), "activity."))
    frames = vectors(6)
    together = model.probability(frames)
    assert together.shape == (6,)
    assert ((together > 0) & (together < 1)).all()
    alone = np.concatenate([model.probability(frame[None]) for frame in frames])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert model.probability(frames[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["small", "gate", "activity"])
def test_weights_of_another_size_are_refused_by_each_part(name: str) -> None:
    loaders = {
        "small": UemcmSmallBranch.load,
        "gate": UemcmGate.load,
        "activity": ActivityClassifier.load,
    }
    tensors = part(tiny_tensors(CARD), f"{name}.")
    first = sorted(tensors)[0]
    tensors[first] = np.zeros((3, 3, 3))
    with pytest.raises(BundleError, match="has shape"):
        loaders[name](CARD, tensors)
    del tensors[first]
    with pytest.raises(BundleError, match="missing"):
        loaders[name](CARD, tensors)
