from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import CLIP_CONFIG, CLIP_DIM, CLIP_PX, hf_clip_model
from torch import Tensor, nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.dcr_weights import hf_vision_to_open_clip
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.encoders.tower import TowerEncoder
from egomon.errors import BundleError


def card(weights: Path | str, architecture: str = "tiny-dcr-quickgelu") -> FrameEncoderCard:
    return FrameEncoderCard(
        library="dcr",
        architecture=architecture,
        weights=str(weights),
        image_px=CLIP_PX,
        dim=CLIP_DIM,
    )


@pytest.fixture(scope="module", autouse=True)
def tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two small architectures that open_clip knows by name."""
    folder = tmp_path_factory.mktemp("configs")
    for name, quick in (("tiny-dcr-quickgelu", True), ("tiny-dcr", False)):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(CLIP_CONFIG | {"quick_gelu": quick}))
        open_clip.add_model_config(path)


@pytest.fixture(scope="module")
def hf_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A tiny Hugging Face CLIPModel of the same sizes, in a folder as DCR saves it."""
    model = hf_clip_model().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # biases start at zero
    folder = tmp_path_factory.mktemp("dcr")
    model.save_pretrained(folder)
    return folder, model


def features_of(model: nn.Module, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        out: Tensor = model.get_image_features(pixel_values=pixels).pooler_output
    return out


def same_features(encoder: object, model: nn.Module) -> float:
    assert isinstance(encoder, TowerEncoder)
    tower = torch.randint(0, 256, (3, CLIP_PX, CLIP_PX, 3), dtype=torch.uint8)
    mean = torch.tensor(encoder.card.mean).view(1, 3, 1, 1)
    std = torch.tensor(encoder.card.std).view(1, 3, 1, 1)
    pixels = (tower.permute(0, 3, 1, 2).float() / 255 - mean) / std
    return float(
        (torch.from_numpy(encoder.encode(tower.numpy())) - features_of(model, pixels)).abs().max()
    )


def test_a_clip_model_folder_gives_the_same_features_in_open_clip(
    hf_clip: tuple[Path, nn.Module],
) -> None:
    folder, model = hf_clip
    assert same_features(build_frame_encoder(card(folder)), model) <= 1e-5


def test_a_bin_file_with_a_clip_prefix_gives_them_too(
    hf_clip: tuple[Path, nn.Module], tmp_path: Path
) -> None:
    folder, model = hf_clip
    state = load_file(folder / "model.safetensors")
    torch.save({f"clip.{name}": value for name, value in state.items()}, tmp_path / "dcr.bin")
    assert same_features(build_frame_encoder(card(tmp_path / "dcr.bin")), model) <= 1e-5


@pytest.mark.parametrize("name", ["ViT-B-32-quickgelu", "ViT-L-14-336-quickgelu"])
def test_key_map_covers_every_tensor_of_the_real_architectures(name: str) -> None:
    from transformers import CLIPConfig, CLIPModel

    config = open_clip.get_model_config(name)
    vision = config["vision_cfg"]
    with torch.device("meta"):
        hf = CLIPModel(
            CLIPConfig(
                projection_dim=config["embed_dim"],
                vision_config={
                    "hidden_size": vision["width"],
                    "intermediate_size": 4 * vision["width"],
                    "num_hidden_layers": vision["layers"],
                    "num_attention_heads": vision["width"] // 64,
                    "image_size": vision["image_size"],
                    "patch_size": vision["patch_size"],
                },
            )
        )
        target = open_clip.CLIP(**config).visual
    mapped = hf_vision_to_open_clip(hf.state_dict())
    expected = target.state_dict()
    assert {k: v.shape for k, v in mapped.items()} == {k: v.shape for k, v in expected.items()}


def test_an_architecture_without_quickgelu_is_refused(hf_clip: tuple[Path, nn.Module]) -> None:
    with pytest.raises(BundleError, match="use tiny-dcr-quickgelu"):
        build_frame_encoder(card(hf_clip[0], "tiny-dcr"))


def test_a_model_with_exact_gelu_is_refused(
    hf_clip: tuple[Path, nn.Module], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes((hf_clip[0] / "model.safetensors").read_bytes())
    config = json.loads((hf_clip[0] / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "gelu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match="says activation 'gelu'"):
        build_frame_encoder(card(tmp_path))


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("visual_projection.weight", "have no visual_projection"),
        ("vision_model.encoder.layers.1.self_attn.k_proj.bias", "lack vision_model.encoder"),
        ("vision_model.post_layernorm.weight", "ln_post.weight missing"),
    ],
)
def test_incomplete_weights_are_refused(
    hf_clip: tuple[Path, nn.Module], tmp_path: Path, drop: str, message: str
) -> None:
    state = load_file(hf_clip[0] / "model.safetensors")
    del state[drop]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(BundleError, match=message):
        build_frame_encoder(card(tmp_path))


def test_a_foreign_layout_is_refused() -> None:
    state = {"visual_projection.weight": torch.zeros(2, 2), "vision_model.head.x": torch.zeros(1)}
    with pytest.raises(BundleError, match="a CLIPModel does not have"):
        hf_vision_to_open_clip(state)


class Surprise:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize("content", [Surprise(), [1, 2], {"a": 1}], ids=["code", "list", "number"])
def test_a_bin_file_with_more_than_tensors_is_refused_unread(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(BundleError, match=r"holds more than tensors|no state dict"):
        build_frame_encoder(card(tmp_path))


def test_missing_weights_say_that_no_download_exists(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="downloaded by hand"):
        build_frame_encoder(card(tmp_path / "absent"))
    with pytest.raises(BundleError, match="give a CLIPModel folder"):
        build_frame_encoder(card(tmp_path))


def clip4clip_file(folder: Path, epoch: str = ".4") -> tuple[Path, open_clip.CLIP]:
    """As its authors save it: CLIP under `clip.`, the header beside it, an epoch in the name."""
    torch.manual_seed(5)
    model = open_clip.CLIP(**json.loads(json.dumps(CLIP_CONFIG))).eval()
    state = {f"clip.{name}": value for name, value in model.state_dict().items()}
    state["frame_position_embeddings.weight"] = torch.zeros(8, 32)
    path = folder / f"pytorch_model.bin{epoch}"
    torch.save(state, path)
    return path, model


def test_a_checkpoint_of_clip4clip_gives_the_tower_that_was_trained_along(tmp_path: Path) -> None:
    path, model = clip4clip_file(tmp_path)
    plain = card(path.name)
    theirs = msgspec.structs.replace(plain, library="open_clip")
    encoder = build_frame_encoder(theirs, folder=tmp_path)
    assert isinstance(encoder, TowerEncoder)
    pixels = torch.randint(0, 256, (2, CLIP_PX, CLIP_PX, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (encoder.card.mean, encoder.card.std))
    with torch.inference_mode():
        expected = model.encode_image((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std)
    np.testing.assert_allclose(encoder.encode(pixels.numpy()), expected, atol=1e-5)
    exact = msgspec.structs.replace(theirs, architecture="tiny-dcr")
    with pytest.raises(BundleError, match="CLIP4Clip was trained with QuickGELU"):
        build_frame_encoder(exact, folder=tmp_path)


def test_a_file_of_that_name_without_clip4clips_layout_is_read_by_open_clip(
    tmp_path: Path,
) -> None:
    path, model = clip4clip_file(tmp_path, "")
    torch.save(model.state_dict(), path)
    encoder = build_frame_encoder(msgspec.structs.replace(card(path), library="open_clip"))
    assert isinstance(encoder, TowerEncoder)
    pixels = np.zeros((1, CLIP_PX, CLIP_PX, 3), np.uint8)
    assert np.isfinite(encoder.encode(pixels)).all()
