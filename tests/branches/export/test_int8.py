"""Int8 vectors from ONNX Runtime stand for the float32 tower's, and say so when they cannot."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tiny_models import CLIP_DIM, CLIP_PX, tiny_clip_card

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.export import encoder as export
from egomon.branches.export.encoder import LEAST_COSINE_INT8, cached_int8
from egomon.branches.load_bundle import load_bundle
from egomon.branches.onnx.encoder import OnnxEncoder
from egomon.branches.onnx.session import least_cosine
from egomon.errors import BundleError, MissingExtraError


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, CLIP_PX, CLIP_PX, 3), dtype=np.uint8)


def reference(card: FrameEncoderCard) -> TowerEncoder:
    encoder = build_frame_encoder(card)
    assert isinstance(encoder, TowerEncoder)
    return encoder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in which graphs are kept."""
    monkeypatch.setattr(export.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    return tmp_path / "onnx"


def test_int8_vectors_point_where_the_float32_ones_do(tiny_clip: Path, cache: Path) -> None:
    card, images = tiny_clip_card(tiny_clip), frames(6)
    exact = build_frame_encoder(card)
    small = build_frame_encoder(card, dtype="int8")
    assert isinstance(small, OnnxEncoder)
    ours, theirs = small.encode(images), exact.encode(images)
    assert ours.dtype == np.float32
    assert ours.shape == (6, CLIP_DIM)
    assert LEAST_COSINE_INT8 <= least_cosine(ours, theirs) < 1
    assert "int8" in small.backend
    rgb = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    assert np.array_equal(small.prepare(rgb), exact.prepare(rgb))


def test_no_pair_of_products_leaves_16_bits_so_every_instruction_set_sums_alike(
    tiny_clip: Path, cache: Path
) -> None:
    import onnx

    build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8")
    graph = onnx.load(next(cache.iterdir())).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 9, "four in each of two layers, and the projection"
    for node in products:
        largest = np.abs(arrays[node.input[1]].astype(int)).max()
        assert 2 * 255 * largest <= np.iinfo(np.int16).max, "two products of u8 and s8"
        assert not arrays[node.input[3]].any(), "a zero point would be added to each weight"


def test_an_int8_vector_does_not_depend_on_its_batch(tiny_clip: Path, cache: Path) -> None:
    encoder, images = build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8"), frames(5)
    images[1] //= 8  # other scales of activations
    alone = np.concatenate([encoder.encode(image[None]) for image in images])
    assert np.array_equal(encoder.encode(images), alone)
    assert encoder.encode(images[:0]).shape == (0, CLIP_DIM)
    with pytest.raises(ValueError, match="uint8 RGB"):
        encoder.encode(images[0])


def test_a_graph_is_made_once_and_another_card_makes_another(
    tiny_clip: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tiny_clip_card(tiny_clip)
    first = build_frame_encoder(card, dtype="int8")
    with monkeypatch.context() as patch:
        patch.setattr(export, "_write_int8", None)
        again = build_frame_encoder(card, dtype="int8")
    assert np.array_equal(first.encode(frames(2)), again.encode(frames(2)))
    other = build_frame_encoder(msgspec.structs.replace(card, mean=(0.1, 0.2, 0.3)), dtype="int8")
    assert not np.array_equal(first.encode(frames(2)), other.encode(frames(2)))
    assert len(list(cache.iterdir())) == 2, "two graphs, and nothing left of their making"


def test_int8_keeps_the_hash_that_the_heads_were_trained_on(tiny_clip: Path, cache: Path) -> None:
    sha = reference(tiny_clip_card(tiny_clip)).weights_sha256
    encoder = build_frame_encoder(tiny_clip_card(tiny_clip, weights_sha256=sha), dtype="int8")
    assert isinstance(encoder, OnnxEncoder)
    assert encoder.weights_sha256 == sha
    with pytest.raises(BundleError, match="weights_sha256"):
        build_frame_encoder(tiny_clip_card(tiny_clip, weights_sha256="0" * 64), dtype="int8")


def test_a_graph_that_gives_other_vectors_is_refused(tiny_clip: Path, cache: Path) -> None:
    cached_int8(reference(tiny_clip_card(tiny_clip)))
    changed = reference(tiny_clip_card(tiny_clip))
    with torch.no_grad():
        for weight in changed.whole.tower.parameters():
            weight.copy_(torch.randn_like(weight))
    with pytest.raises(BundleError, match=r"other vectors \(cosine .*use --engine torch"):
        cached_int8(changed)


def test_a_damaged_graph_is_named(tiny_clip: Path, cache: Path) -> None:
    build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8")
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        BundleError, match=r"\.onnx cannot be opened.*delete .*\.onnx, it is made anew"
    ):
        build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8")


def test_the_quantiser_does_not_fill_the_log(
    tiny_clip: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8")
    assert not [record for record in caplog.records if "quant" in record.pathname]
    assert "cosine with float32" in caplog.text


def test_without_the_extra_its_name_is_given(
    tiny_clip: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"ONNX.*egomon\[torch\]"):
        build_frame_encoder(tiny_clip_card(tiny_clip), dtype="int8")


def test_bundled_towers_stay_in_float32() -> None:
    encoder = load_bundle("workbench", dtype="int8").encoder
    assert isinstance(encoder, OnnxEncoder)
    assert "float32" in encoder.backend
    assert isinstance(load_bundle("workbench", dtype="int8", engine="torch").encoder, TowerEncoder)
