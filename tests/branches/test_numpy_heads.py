"""The heads in NumPy give what the torch modules that trained them give."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tiny_models import tiny_card, tiny_tensors
from tools.make_workbench.networks.activity import ActivityModule
from torch_ensemble import build_small

from egomon.branches.activity_model import ActivityClassifier
from egomon.branches.bundle.card import LargeEncoderCard, SmallCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.interfaces import BranchScore
from egomon.branches.torch_modules import fill, to_arrays
from egomon.branches.uemcm.context_network import load_network
from egomon.branches.uemcm.heads import LargeHead
from egomon.branches.uemcm.large_head import LargeClassifier
from egomon.errors import BundleError
from egomon.fusion.gate import UemcmGate
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate

CARD = tiny_card(Path("clip"), large=True)
assert CARD.large is not None
LARGE: LargeEncoderCard = CARD.large
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def tensors(name: str) -> Tensors:
    """Random weights of the right shapes: trained ones are far from where modules start."""
    rng = np.random.default_rng(len(name))
    drawn = part(tiny_tensors(CARD), f"{name}.")
    return {k: rng.normal(0, 0.5, v.shape).astype(np.float32) for k, v in drawn.items()}


def rows(width: int, count: int = 20, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(width).normal(size=(count, width)) * scale).astype(np.float32)


def test_the_activity_model() -> None:
    weights, vectors = tensors("activity"), rows(CARD.frame_encoder.dim)
    module = fill(
        lambda: ActivityModule(CARD.frame_encoder.dim, CARD.activity_width), weights, "activity"
    )
    expected = module(torch.from_numpy(vectors)).sigmoid().numpy()
    found = ActivityClassifier.load(CARD, weights).probability(vectors)
    assert found.dtype == np.float32
    assert np.ptp(found) > 0.1  # not saturated
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_the_large_head() -> None:
    weights, vectors = tensors("large_head"), rows(LARGE.dim)
    module = fill(lambda: LargeHead(LARGE.dim, CARD.large_width), weights, "large head")
    found = LargeClassifier.load(CARD, weights).logits(vectors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, module(torch.from_numpy(vectors)).numpy(), **CLOSE)
    without = msgspec.structs.replace(CARD, large=None)
    with pytest.raises(BundleError, match="no large branch"):
        LargeClassifier.load(without, weights)


HEADERS = {
    "meanP": SmallCard(width=24, steps=("a", "b", "c")),
    "no context": SmallCard(width=24, context=False),
    "seqTransf": SmallCard(header="seqTransf", header_layers=2, header_heads=4, width=24),
    "light": SmallCard(
        header="seqTransf-light", header_width=16, header_heads=2, steps=("a", "b"), width=24
    ),
    "light, members": SmallCard(
        header="seqTransf-light", members=3, steps=("a", "b"), workflows=("w",), width=24
    ),
}


@pytest.mark.parametrize("small", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("count", [0, 1, 13])
def test_the_small_branch(small: SmallCard, count: int) -> None:
    dim = 32
    torch.manual_seed(3)
    module = build_small(dim, small).eval()
    rng = np.random.default_rng(4)
    for value in module.parameters():
        value.data += torch.from_numpy(rng.normal(0, 0.1, value.shape)).float()
    coarse, fine = rows(dim, count), rows(dim, 7)
    batch = [torch.from_numpy(x[None]) for x in (coarse, fine)]
    masks = [torch.ones(x.shape[:2], dtype=torch.bool) for x in batch]
    with torch.inference_mode():
        expected = module(batch[0], masks[0], batch[1], masks[1])
    network = load_network(dim, small, to_arrays(module.state_dict()))
    found = network(coarse, fine)
    for name in found._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, theirs[0].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["adaptive", "mean"])
def test_the_gate(kind: str) -> None:
    assert CARD.gate is not None
    gate = msgspec.structs.replace(CARD.gate, kind=kind)
    card, weights = msgspec.structs.replace(CARD, gate=gate), tensors("gate")
    module = fill(lambda: AdaptiveGate(card.small.width, LARGE.dim, gate), weights, "gate")
    inputs = [rows(card.small.width), rows(LARGE.dim), rows(2), rows(2, scale=2.0)]
    expected = [found.numpy() for found in module(*map(torch.from_numpy, inputs))]
    fused = UemcmGate.load(card, weights)
    for k, (h_s, h_l, z_s, z_l) in enumerate(zip(*inputs, strict=True)):
        small, large = BranchScore("small", z_s, h_s, 0.0), BranchScore("large", z_l, h_l, 0.0)
        z, alpha = fused.fuse(small, large)
        assert z.dtype == alpha.dtype == np.float32
        np.testing.assert_allclose(z, expected[0][k], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alpha, expected[1][k], **CLOSE)
