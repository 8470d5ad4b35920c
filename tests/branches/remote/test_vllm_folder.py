"""Bundles whose large model vLLM can serve, and the vector that a server is compared with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Template
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tools.vllm_stub import VllmStub

from egomon.branches.bundle.locate import find_bundle, read_card
from egomon.branches.load_bundle import load_bundle
from egomon.branches.remote.branch import EndpointBranch
from egomon.branches.remote.client import LargeEndpoint
from egomon.branches.remote.load import expected_vector, measured_vector
from egomon.branches.remote.probe import decode_vector
from egomon.branches.remote.request import embedding_request
from egomon.branches.remote.vllm_folder import CHAT_TEMPLATE, copy_model_folder
from egomon.branches.uemcm.large_branch import Qwen3VLBranch
from egomon.branches.uemcm.qwen3_vl import prompt
from egomon.errors import BundleError


def names(folder: Path) -> list[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return sorted(file.keys())


def bare(folder: Path, target: Path) -> Path:
    """As `Qwen3VLModel.save_pretrained` writes it: no prefix, other architecture and colours."""
    copy_model_folder(folder, target)
    state = load_file(target / "model.safetensors")
    state = {k.removeprefix("model."): v for k, v in state.items() if k != "lm_head.weight"}
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    for name, change in (
        ("config.json", {"architectures": ["Qwen3VLModel"]}),
        ("processor_config.json", {}),
    ):
        body = json.loads((target / name).read_text()) | change
        if "image_processor" in body:
            body["image_processor"] |= {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}
        (target / name).write_text(json.dumps(body))
    return target


def test_a_bare_model_is_written_as_vllm_names_it_with_the_same_values(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    source = bare(tiny_qwen, tmp_path / "bare")
    copy_model_folder(source, tmp_path / "copy")
    assert all(name.startswith(("visual.", "language_model.")) for name in names(source))
    assert names(tmp_path / "copy") == [f"model.{name}" for name in names(source)]
    before = load_file(source / "model.safetensors")
    for name, value in load_file(tmp_path / "copy" / "model.safetensors").items():
        np.testing.assert_array_equal(value, before[name.removeprefix("model.")])
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert config["architectures"] == ["Qwen3VLForConditionalGeneration"]
    processor = json.loads((tmp_path / "copy" / "processor_config.json").read_text())
    for key in ("image_mean", "image_std"):  # vLLM takes the image's for videos, too
        assert processor["image_processor"][key] == processor["video_processor"][key]


def test_an_index_of_several_files_is_renamed_too(tiny_qwen: Path, tmp_path: Path) -> None:
    source = bare(tiny_qwen, tmp_path / "bare")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names(source), "model.safetensors")}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    copy_model_folder(source, tmp_path / "copy")
    copied = json.loads((tmp_path / "copy" / "model.safetensors.index.json").read_text())
    assert sorted(copied["weight_map"]) == names(tmp_path / "copy")


def test_a_damaged_model_is_refused(tiny_qwen: Path, tmp_path: Path) -> None:
    source = bare(tiny_qwen, tmp_path / "bare")
    (source / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(BundleError, match="cannot be copied"):
        copy_model_folder(source, tmp_path / "copy")


def test_the_template_renders_the_request_s_messages_as_the_local_prompt() -> None:
    card = read_card(find_bundle("workbench")).large
    assert card is not None
    pixels = np.zeros((card.frames, card.frame_px, card.frame_px, 3), np.uint8)
    body = json.loads(embedding_request(card, "m", pixels, [0.0] * card.frames))
    rendered = Template(CHAT_TEMPLATE, keep_trailing_newline=True).render(messages=body["messages"])
    assert rendered == prompt(card)


def test_the_shipped_bundle_can_be_served_and_holds_its_model_s_vector() -> None:
    folder = find_bundle("workbench")
    card = read_card(folder).large
    assert card is not None
    assert all(name.startswith("model.") for name in names(folder / "large"))
    assert (folder / "large" / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert decode_vector(card) @ measured_vector(card, folder) > 0.99999


def test_a_saved_bundle_holds_the_vector_of_its_model_and_a_stub_with_it_is_let_in(
    tiny_bundle: Path,
) -> None:
    bundle = load_bundle(tiny_bundle, with_encoder=False)
    local = bundle.load_large()
    assert isinstance(local, Qwen3VLBranch)
    embedder = local.embedder
    stub = VllmStub(lambda frames, times: embedder.embed([frames], [times])[0].tolist())
    try:
        remote = bundle.load_large(LargeEndpoint(stub.url))
        assert isinstance(remote, EndpointBranch)
        assert remote.connect() > 0.999
        remote.close()
    finally:
        stub.kill()


def test_without_a_vector_the_local_model_is_asked_or_the_remedy_told(tiny_bundle: Path) -> None:
    import msgspec

    card = read_card(tiny_bundle).large
    assert card is not None
    old = msgspec.structs.replace(card, probe="")
    vector = expected_vector(old, tiny_bundle)
    assert vector @ decode_vector(card) > 0.99999
    far = msgspec.structs.replace(old, weights="Qwen/Qwen3-VL-Embedding-2B")
    with pytest.raises(BundleError, match="egomon serve-large --model BUNDLE --record"):
        expected_vector(far, tiny_bundle)
