"""A tower sees pictures as its own library prepares them, or the field in the way is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from tiny_models import CLIP_CONFIG, CLIP_DIM, CLIP_PX, tiny_clip_card

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.locate import parse_card
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.encoders.torch_encoder import load_tower
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.encoders.tower_config import (
    complete,
    of_hugging_face,
    of_open_clip,
    of_timm,
    side_of,
)
from egomon.errors import BundleError

SIZES = [(719, 1281), (480, 640), (301, 200)]
LEVELS = 0.5
"""Of 255: torch and Pillow round alike but where one side grows while the other shrinks."""
CLIP_MEAN, CLIP_STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def scene(height: int, width: int) -> np.ndarray:
    """Smooth areas, edges and noise, as video has."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / a) * np.cos(y / b) for a, b in ((40, 25), (9, 60), (120, 7))]
    noise = np.random.default_rng(0).normal(scale=6, size=(height, width, 3))
    image = np.stack(waves, axis=-1) * 80 + 128 + noise
    image[height // 3 : height // 2, width // 4 : width // 2] = (230, 40, 40)
    return image.clip(0, 255).astype(np.uint8)


def cosine(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def difference(card: FrameEncoderCard, transform: Any) -> float:
    """Largest root mean square difference to the library's tensor, in values of 0 to 255."""
    used, worst = card.preprocessing, 0.0
    for size in SIZES:
        rgb = scene(*size)
        expected = transform(Image.fromarray(rgb)).permute(1, 2, 0).numpy()
        mine = (ImagePreparer.of(card)(rgb) / 255 - used.mean) / used.std
        gap = (mine - expected) * used.std * 255
        worst = max(worst, float(np.sqrt((gap**2).mean())))
    return worst


@pytest.mark.parametrize(
    ("architecture", "tag"),
    [
        ("ViT-B-32-quickgelu", "openai"),
        ("ViT-L-14", "laion2b_s32b_b82k"),  # another mean
        ("ViT-H-14", "dfn5b"),  # squashed
        ("ViT-B-16-SigLIP", "webli"),
        ("ViT-H-14-CLIPA", "datacomp1b"),
        ("MobileCLIP-B", "datacompdr"),
        ("PE-Core-B-16", "meta"),
    ],
)
def test_a_tag_of_open_clip_prepares_as_open_clip_does(architecture: str, tag: str) -> None:
    config = open_clip.get_pretrained_cfg(architecture, tag)
    bare = FrameEncoderCard(library="open_clip", architecture=architecture, image_px=224, dim=1)
    card = complete(bare, of_open_clip(config))
    keys = ("mean", "std", "interpolation", "resize_mode")
    transform = open_clip.image_transform(224, is_train=False, **{k: config[k] for k in keys})
    assert difference(card, transform) < LEVELS


@pytest.mark.parametrize(
    "name",
    [
        "resnet18.a1_in1k",  # bicubic, .95
        "resnet18.tv_in1k",  # bilinear, .875
        "vit_base_patch16_siglip_224.webli",  # squashed
        "eva02_base_patch14_448.mim_in22k_ft_in1k",  # squashed
        "beit_base_patch16_224.in22k_ft_in22k_in1k",  # .9
    ],
)
def test_a_model_of_timm_prepares_as_timm_does(name: str) -> None:
    config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(name).to_dict())
    px = config["input_size"][1]
    bare = FrameEncoderCard(library="timm", architecture=name, image_px=px, dim=1)
    assert difference(complete(bare, of_timm(config)), create_transform(**config)) < LEVELS


@pytest.mark.parametrize(
    ("library", "architecture", "px", "dim"),
    [
        ("open_clip", "PE-Core-T-16-384", 384, 512),
        ("open_clip", "MobileCLIP2-S0", 256, 512),
        ("timm", "test_vit.r160_in1k", 160, 64),
        ("timm", "resnet10t.c3_in1k", 176, 512),
    ],
)
def test_a_card_without_preprocessing_gives_the_vectors_of_the_librarys_own_transform(
    library: Any, architecture: str, px: int, dim: int
) -> None:
    card = FrameEncoderCard(
        library=library, architecture=architecture, weights="random:1", image_px=px, dim=dim
    )
    encoder = build_frame_encoder(card)
    assert isinstance(encoder, TowerEncoder)
    if library == "timm":
        config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(architecture).to_dict())
        transform = create_transform(**config)
    else:
        (tag,) = open_clip.list_pretrained_tags_by_model(architecture)
        config = open_clip.get_pretrained_cfg(architecture, tag)
        keys = ("mean", "std", "interpolation", "resize_mode")
        transform = open_clip.image_transform(px, is_train=False, **{k: config[k] for k in keys})
    # Without what is folded into it: the library's own tensors go in.
    tower = build_plain(card)
    for size in SIZES:
        rgb = scene(*size)
        with torch.inference_mode():
            expected = tower(transform(Image.fromarray(rgb))[None])[0]
        assert cosine(encoder.encode(encoder.prepare(rgb)[None])[0], expected) > 0.9999


def build_plain(card: FrameEncoderCard) -> torch.nn.Module:
    return load_tower(card, None, None).module.eval()


def test_what_a_card_says_itself_goes_before_the_towers_own() -> None:
    bare = FrameEncoderCard(
        library="timm", architecture="x", image_px=8, dim=1, crop="letterbox", mean=(0, 0, 0)
    )
    own = {"crop": "center", "crop_pct": 0.9, "interpolation": "bilinear", "mean": (1, 1, 1)}
    full = complete(bare, own | {"std": [1, 2, 3]})
    assert (full.crop, full.mean) == ("letterbox", (0, 0, 0))
    assert (full.crop_pct, full.interpolation, full.std) == (0.9, "bilinear", (1, 2, 3))


@pytest.mark.parametrize(
    ("library", "changes", "message"),
    [
        ("timm", {"crop_mode": "border"}, r"`frame_encoder\.crop` is missing.*'border'"),
        ("timm", {"interpolation": "lanczos"}, r"`frame_encoder\.interpolation` is.*'lanczos'"),
        ("timm", {"mean": (0.5,)}, r"`frame_encoder\.mean` is missing"),
        ("open_clip", {"resize_mode": "longest", "fill_color": 9}, r"`frame_encoder\.crop` is"),
        ("open_clip", {"interpolation": "random"}, r"`frame_encoder\.interpolation` is"),
    ],
)
def test_preprocessing_that_cannot_be_done_is_refused_by_field(
    library: Any, changes: dict[str, Any], message: str
) -> None:
    name = "resnet18.tv_in1k"
    config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(name).to_dict())
    own = of_timm(config | changes) if library == "timm" else of_open_clip(changes)
    bare = FrameEncoderCard(library=library, architecture=name, image_px=224, dim=1)
    with pytest.raises(BundleError, match=message):
        complete(bare, own)


def test_an_oblong_input_is_refused_by_field() -> None:
    assert [side_of(size) for size in (None, 224, (336, 336))] == [None, 224, 336]
    with pytest.raises(BundleError, match=r"`frame_encoder\.image_px` is the side of a square"):
        side_of((1024, 768))


def test_a_file_of_an_architecture_whose_tags_differ_is_not_guessed_at() -> None:
    from egomon.branches.encoders import clip_tower

    assert "mean" not in clip_tower._of_tags("ViT-L-14")
    assert clip_tower._of_tags("ViT-L-14")["crop"] == "center"
    assert clip_tower._of_tags("PE-Core-B-16")["interpolation"] == "bilinear"
    bare = FrameEncoderCard(
        library="open_clip", architecture="ViT-L-14", weights="my.bin", image_px=224, dim=768
    )
    with pytest.raises(BundleError, match=r"`frame_encoder\.mean` is missing, .*'my\.bin'"):
        complete(bare, clip_tower._of_tags("ViT-L-14"))


def test_a_folder_of_open_clip_tells_its_own_preprocessing(tiny_clip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_bytes())
    config["preprocess_cfg"] |= {"mean": [0.1, 0.2, 0.3], "resize_mode": "squash"}
    path.write_text(json.dumps(config))
    encoder = build_frame_encoder(tiny_clip_card(folder))
    assert isinstance(encoder, TowerEncoder)
    assert (encoder.card.mean, encoder.card.crop) == ((0.1, 0.2, 0.3), "squash")
    assert encoder.card.weights_sha256 == encoder.weights_sha256
    rgb = scene(90, 200)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        expected = model.eval().encode_image(transform(Image.fromarray(rgb))[None])[0]
    assert cosine(encoder.encode(encoder.prepare(rgb)[None])[0], expected) > 0.9999


def test_coca_gives_the_vector_that_it_compares_with_text(tmp_path: Path) -> None:
    small = {"width": 32, "heads": 2, "layers": 1, "context_length": 8, "vocab_size": 64}
    config = CLIP_CONFIG | {
        "custom_text": True,
        "vision_cfg": CLIP_CONFIG["vision_cfg"]
        | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": small | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": small | {"mlp_ratio": 2, "dim_head": 16, "n_queries": 4},
    }
    path = tmp_path / "coca_tiny.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    card = FrameEncoderCard(
        library="open_clip",
        architecture="coca_tiny",
        weights="random:3",
        image_px=CLIP_PX,
        dim=CLIP_DIM,
    )
    images = np.random.default_rng(0).integers(0, 256, (2, CLIP_PX, CLIP_PX, 3), np.uint8)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(3)
        model = open_clip.create_model("coca_tiny").eval()
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
        expected = model.encode_image((pixels - mean) / std)
    for mine, theirs in zip(build_frame_encoder(card).encode(images), expected, strict=True):
        assert cosine(mine, theirs) > 0.9999


def test_dcr_cuts_as_hugging_faces_processor_does() -> None:
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor()
    card = FrameEncoderCard(
        library="dcr", architecture="x", image_px=224, dim=1, crop="center_floor"
    ).recorded()
    for size in (*SIZES, (720, 1280), (1281, 719)):
        rgb = scene(*size)
        kept = processor(Image.fromarray(rgb), do_normalize=False, do_rescale=False)
        expected = np.asarray(kept["pixel_values"][0]).transpose(1, 2, 0)
        gap = ImagePreparer.of(card)(rgb).astype(float) - expected
        assert np.sqrt((gap**2).mean()) < LEVELS, size


def test_a_card_that_was_written_before_keeps_its_meaning(tiny_bundle: Path) -> None:
    card = json.loads((tiny_bundle / "bundle.json").read_bytes())
    encoder = card["frame_encoder"]
    encoder |= {"library": "open_clip", "architecture": "ViT-B-16-SigLIP", "mean": [0, 0, 0]}
    for name in ("crop_pct", "interpolation", "std"):
        del encoder[name]
    old = parse_card(json.dumps(card).encode(), "bundle.json").frame_encoder
    assert (old.crop, old.crop_pct, old.interpolation) == ("center", 1.0, "bicubic")
    assert (old.mean, old.std) == ((0, 0, 0), CLIP_STD)
    assert complete(old, {}) == old, "nothing is asked of the tower"


def test_a_share_beyond_the_picture_is_refused(tiny_bundle: Path) -> None:
    card = msgspec.json.decode((tiny_bundle / "bundle.json").read_bytes())
    card["frame_encoder"]["crop_pct"] = 1.15
    with pytest.raises(BundleError, match=r"`frame_encoder\.crop_pct` is 1\.15"):
        parse_card(msgspec.json.encode(card), "bundle.json")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, {"crop": "center_floor", "interpolation": "bicubic", "mean": CLIP_MEAN}),
        (
            {"resample": 2, "image_mean": [0, 0, 0]},
            {"interpolation": "bilinear", "mean": [0, 0, 0]},
        ),
        ({"size": {"shortest_edge": 64}, "crop_size": 64}, {"crop": "center_floor"}),
    ],
)
def test_a_folder_of_hugging_face_tells_its_own_preprocessing(
    tmp_path: Path, said: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    if said is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    own = of_hugging_face(tmp_path)
    assert {name: own[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"size": 256, "crop_size": 224}', r"`frame_encoder\.crop` is missing.*256"),
        ('{"do_center_crop": false}', r"`frame_encoder\.crop` is missing"),
        ('{"resample": 1}', r"`frame_encoder\.interpolation` is missing"),
        ("[]", "not a CLIP processor's configuration"),
        ("{", "not a CLIP processor's configuration"),
    ],
)
def test_a_processor_that_does_something_else_is_refused_by_field(
    tmp_path: Path, said: str, message: str
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(said)
    bare = FrameEncoderCard(library="dcr", architecture="x", image_px=224, dim=1)
    with pytest.raises(BundleError, match=message):
        complete(bare, of_hugging_face(tmp_path))
