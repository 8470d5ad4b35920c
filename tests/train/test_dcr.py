"""Contrastive reconstruction on tiny models of the real classes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors.torch import save_file
from tiny_models import CLIP_CONFIG, CLIP_DIM, CLIP_PX, hf_clip_model
from torch import Tensor, nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.cli.app import app
from egomon.errors import BundleError, DataError, MissingExtraError, UsageError
from egomon.train.dcr.images import ImageFolder
from egomon.train.dcr.lora import LoraLinear, add_lora, merge_lora
from egomon.train.dcr.loss import dcr_loss
from egomon.train.dcr.parts import EMPTY_TEXT_FILE, load_clip, token_of

CONDITION = 16


def naive_loss(predictions: Tensor, plus: Tensor, target: Tensor) -> float:
    """Straight from the formula, image by image."""
    total = 0.0
    for i in range(len(plus)):

        def unit(x: Tensor) -> Tensor:
            return F.normalize(x.flatten(), dim=0)

        a = unit(predictions[i, i])
        p1, p2 = float(a @ unit(plus[i])) / 0.1, float(a @ unit(target[i])) / 0.1
        others = [float(a @ unit(predictions[i, k])) / 0.1 for k in range(len(plus)) if k != i]
        total += np.log(sum(np.exp(v) for v in (p1, p2, *others))) - (p1 + p2) / 2
    return total / len(plus)


def test_the_loss_is_the_published_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randn(3, 3, 2, 4, 4, generator=generator)
    plus, target = torch.randn(2, 3, 2, 4, 4, generator=generator)
    found = float(dcr_loss(predictions, plus, target))
    assert found == pytest.approx(naive_loss(predictions, plus, target), abs=1e-5)


def test_an_adapter_changes_nothing_at_first_and_merges_exactly() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Sequential(nn.Linear(8, 3, bias=False)))
    names = list(plain.state_dict())
    x = torch.randn(5, 6)
    before = plain(x)
    trained = add_lora(plain, rank=2)
    assert len(trained) == 2 * 2 + 1
    assert all(p.requires_grad == any(p is t for t in trained) for p in plain.parameters())
    assert torch.equal(plain.eval()(x), before)
    for parameter in trained:
        nn.init.normal_(parameter)
    adapted = plain(x)
    assert not torch.allclose(adapted, before)
    merge_lora(plain)
    assert list(plain.state_dict()) == names
    assert torch.allclose(plain(x), adapted, atol=1e-5)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip-hf")
    hf_clip_model().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's classes in small; the empty prompt's embedding is stored."""
    diffusers = pytest.importorskip(
        "diffusers", reason="the optional package diffusers is not installed: egomon[dcr]"
    )
    folder = tmp_path_factory.mktemp("diffusion")
    torch.manual_seed(3)
    blocks = {
        "block_out_channels": (16, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    diffusers.UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=CONDITION,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **blocks,
    ).save_pretrained(folder / "unet")
    diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        **blocks | {"block_out_channels": (8,) * 4},
    ).save_pretrained(folder / "vae")
    diffusers.DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
        prediction_type="v_prediction",
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    save_file({"embedding": torch.randn(8, CONDITION)}, folder / EMPTY_TEXT_FILE)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for k in range(6):
        small = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((80, 72)).save(folder / f"{k}.png")
    return folder


def test_both_stages_run_and_the_result_is_a_frame_encoder(
    clip_folder: Path, diffusion_folder: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dcr"
    from egomon.train.dcr.fit import DcrPlan, train_dcr

    plan = DcrPlan(projector_steps=2, tower_steps=3, tower_rate=1e-2, batch=3, accumulate=2)
    report = train_dcr(clip_folder, diffusion_folder, images, out, plan, device="cpu")
    assert min(*report.projector_loss, *report.tower_loss) > 0
    before, after = load_clip(clip_folder), load_clip(out)
    assert set(before.state_dict()) == set(after.state_dict())
    changed = {
        name for name, value in before.state_dict().items()
        if not torch.equal(value, after.state_dict()[name])
    }  # fmt: skip
    assert any("q_proj" in name for name in changed)
    assert "visual_projection.weight" in changed
    assert not any(name.startswith("text") for name in changed)
    path = tmp_path / "tiny-made-quickgelu.json"
    path.write_text(json.dumps(CLIP_CONFIG))
    open_clip.add_model_config(path)
    encoder = build_frame_encoder(
        FrameEncoderCard(
            library="dcr",
            architecture="tiny-made-quickgelu",
            weights=str(out),
            image_px=CLIP_PX,
            dim=CLIP_DIM,
        )
    )
    picture = np.random.default_rng(1).integers(0, 256, (1, CLIP_PX, CLIP_PX, 3), dtype=np.uint8)
    pixels = torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255
    from egomon.train.dcr.images import _normalised

    with torch.inference_mode():
        expected = token_of(after, _normalised(pixels))
    found = torch.from_numpy(encoder.encode(picture))
    assert float(F.cosine_similarity(found, expected)) > 0.9999


def fitted(dcr: Any, batch: Any, parameters: list[nn.Parameter]) -> tuple[float, float]:
    """Loss before and after a few steps on one batch with one noise."""
    optimiser, losses = torch.optim.Adam(parameters, lr=1e-2), []
    for _ in range(8):
        torch.manual_seed(1)
        loss = dcr.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def test_the_first_stage_trains_the_projector_alone_and_the_second_the_tower_alone(
    clip_folder: Path, diffusion_folder: Path, images: Path
) -> None:
    from egomon.train.dcr.fit import Dcr
    from egomon.train.dcr.parts import load_generator

    torch.manual_seed(0)
    dcr = Dcr(load_clip(clip_folder), load_generator(diffusion_folder))
    assert dcr.target == "v"
    batch = ImageFolder(images, CLIP_PX).batch(3)
    dcr.loss(batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in dcr.projector.parameters())
    assert all(p.grad is None for p in dcr.clip.parameters())
    assert all(p.grad is None for p in dcr.generator.unet.parameters())
    first, last = fitted(dcr, batch, list(dcr.projector.parameters()))
    assert last < first
    dcr.projector.zero_grad()
    dcr.projector.requires_grad_(False)
    trained = add_lora(dcr.clip.vision_model)
    dcr.loss(batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in dcr.projector.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in trained if p.grad is not None)
    assert any(isinstance(m, LoraLinear) for m in dcr.clip.modules())
    first, last = fitted(dcr, batch, trained)
    assert last < first


def test_the_empty_prompt_is_encoded_where_it_is_not_stored(
    diffusion_folder: Path, tmp_path: Path
) -> None:
    import shutil

    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from egomon.train.dcr.parts import load_generator

    folder = Path(shutil.copytree(diffusion_folder, tmp_path / "sd"))
    (folder / EMPTY_TEXT_FILE).unlink()
    config = CLIPTextConfig(
        vocab_size=4, hidden_size=CONDITION, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8, eos_token_id=3, bos_token_id=2,
    )  # fmt: skip
    model = CLIPTextModel(config)
    model.save_pretrained(folder / "text_encoder")
    vocab = {"!": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    CLIPTokenizer(vocab=vocab, merges=[]).save_pretrained(folder / "tokenizer")
    with torch.inference_mode():
        expected = model.eval()(torch.tensor([[2, *[3] * 7]])).last_hidden_state[0]
    assert torch.allclose(load_generator(folder).empty_text, expected, atol=1e-6)


def test_what_is_missing_is_named(
    clip_folder: Path, diffusion_folder: Path, images: Path, tmp_path: Path
) -> None:
    def refused(*args: object) -> Any:
        common = ["--projector-steps", "1", "--tower-steps", "1", "--torch-device", "cpu"]
        result = CliRunner().invoke(app, ["dcr", *map(str, args), *common])
        return result.exception

    sources = ["--clip", clip_folder, "--diffusion", diffusion_folder]
    (tmp_path / "empty").mkdir()
    error = refused(tmp_path / "empty", *sources, "-o", tmp_path / "o")
    assert isinstance(error, DataError)
    assert "holds 0 images" in str(error)
    error = refused(images, "--clip", images, "--diffusion", diffusion_folder, "-o", tmp_path / "o")
    assert isinstance(error, BundleError)
    assert "no CLIPModel folder" in str(error)
    error = refused(images, "--clip", clip_folder, "--diffusion", images, "-o", tmp_path / "o")
    assert isinstance(error, BundleError)
    assert "no Stable Diffusion folder" in str(error)
    assert isinstance(refused(images, *sources, "-o", images), UsageError)
    assert isinstance(refused(images, *sources, "-o", tmp_path / "o", "--target", "x"), UsageError)
    assert not (tmp_path / "o").exists()


def test_without_diffusers_the_error_names_the_extra(
    clip_folder: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    arguments = ["dcr", str(images), "--clip", str(clip_folder)]
    arguments += ["--diffusion", str(tmp_path), "-o", str(tmp_path / "o")]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, MissingExtraError)
    assert "egomon[dcr]" in str(error)
