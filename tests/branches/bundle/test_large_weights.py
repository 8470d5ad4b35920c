"""The large encoder's weights are pinned by their stored values, without loading the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from egomon.branches.bundle import large_weights
from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.large_weights import (
    check_large_weights,
    large_folder,
    pinned,
    stored_sha256,
)
from egomon.branches.bundle.locate import BUNDLED_ROOT, read_card
from egomon.branches.torch_modules import state_sha256
from egomon.errors import BundleError


def card_of(weights: object, **changes: object) -> LargeEncoderCard:
    return LargeEncoderCard(weights=str(weights), dim=8, **changes)  # type: ignore[arg-type]


def test_it_is_the_hash_of_the_loaded_model(tiny_qwen: Path) -> None:
    import transformers

    loaded = transformers.AutoModel.from_pretrained(tiny_qwen)
    assert stored_sha256(tiny_qwen) == state_sha256(loaded.state_dict())


def test_bundles_that_were_pinned_by_the_loaded_model_still_match() -> None:
    folder = BUNDLED_ROOT / "workbench"
    large = read_card(folder).large
    assert large is not None
    assert stored_sha256(folder / "large") == large.weights_sha256
    check_large_weights(large, folder)


def test_shards_number_formats_and_pieces_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {"b.weight": torch.randn(5, 3).bfloat16(), "a.bias": torch.arange(4.0)}
    half["count"] = torch.tensor(7)
    half["empty"] = torch.zeros(0, 2)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    save_file(half, tmp_path / "one" / "model.safetensors")
    wide = {name: v.float() if v.is_floating_point() else v for name, v in half.items()}
    first = {"model.b.weight": wide.pop("b.weight"), "lm_head.weight": torch.ones(2)}
    save_file(first, tmp_path / "two" / "model-00001-of-00002.safetensors")
    save_file(wide, tmp_path / "two" / "model-00002-of-00002.safetensors")
    expected = state_sha256(half)
    assert stored_sha256(tmp_path / "one") == stored_sha256(tmp_path / "two") == expected
    monkeypatch.setattr(large_weights, "_PIECE", 4)
    assert stored_sha256(tmp_path / "one") == expected


def test_a_pinned_card_refuses_exchanged_weights(tmp_path: Path, tiny_qwen: Path) -> None:
    copy = shutil.copytree(tiny_qwen, tmp_path / "qwen")
    card = pinned(card_of("qwen"), tmp_path)
    assert card.weights == str(copy.resolve())
    assert card.weights_sha256 is not None
    check_large_weights(card)
    assert pinned(card, tmp_path) == card
    state = load_file(copy / "model.safetensors")
    name = min(name for name in state if name.endswith("norm.weight"))
    state[name][0] += 1
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"large\.weights_sha256.*extract and train again"):
        check_large_weights(card)
    shutil.rmtree(copy)
    check_large_weights(card)  # not at hand: whoever embeds with it checks
    check_large_weights(None)


def test_a_hub_id_is_looked_up_in_the_cache_only(
    tmp_path: Path, tiny_qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert large_folder("some/model", tmp_path) is None
    assert large_folder("no hub id, no folder", tmp_path) is None
    assert pinned(card_of("some/model"), tmp_path) == card_of("some/model")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda *_: str(tiny_qwen / "config.json")
    )
    card = pinned(card_of("some/model"), tmp_path)
    assert card.weights == "some/model"
    assert card.weights_sha256 == stored_sha256(tiny_qwen)


@pytest.mark.parametrize("keep", [3, 9, 200, -4])
def test_a_truncated_file_is_named(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.from_numpy(np.arange(50.0))}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"model\.safetensors is damaged or truncated"):
        stored_sha256(tmp_path)


def test_an_impossible_header_costs_nothing_and_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no \*\.safetensors"):
        stored_sha256(tmp_path)
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}
    ).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(8)
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match="a does not lie within the file"):
        stored_sha256(tmp_path)
