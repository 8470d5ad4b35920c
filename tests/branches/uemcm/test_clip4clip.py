"""CLIP4Clip's seqTransf is the published one, computed a second time here in NumPy."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch_ensemble import build_small

from egomon.branches.bundle.card import SmallCard
from egomon.branches.bundle.card_check import MAX_POSITIONS
from egomon.branches.uemcm.clip4clip import TemporalHeader
from egomon.branches.uemcm.context_network import named_as_now
from egomon.errors import BundleError, ConfigError
from egomon.train.fitting.heads.header_start import header_state, start_header

DIM, LAYERS, HEADS = 32, 2, 2
CARD = SmallCard(header="seqTransf", header_layers=LAYERS, header_heads=HEADS)


def header(card: SmallCard = CARD, seed: int = 0) -> TemporalHeader:
    torch.manual_seed(seed)
    made = TemporalHeader(DIM, card).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # norms and biases start as if they were not there
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def clips(seed: int = 1) -> tuple[Tensor, Tensor]:
    """Two clips, of seven frames and of four, with the length of CLIP's vectors."""
    generator = torch.Generator().manual_seed(seed)
    vectors = 10 * torch.nn.functional.normalize(torch.randn(2, 7, DIM, generator=generator), dim=2)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    return vectors * mask.unsqueeze(2), mask


def norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    middle = x - x.mean(axis=-1, keepdims=True)
    scaled: np.ndarray = middle / np.sqrt((middle**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * weight + bias


def unit(x: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return scaled


def published(frames: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Equations of CLIP4Clip's sequential header for the real frames of one clip, (N, D) to (D,).

    Positions are added, each layer is x += MSA(LN(x)) and x += W2 QuickGELU(W1 LN(x)), the frames
    are added to what comes out, then unit norm a frame, mean, and unit norm again.
    """
    n = len(frames)
    x = frames + w["positions"][:n]
    for k in range(LAYERS):
        p = {name: w[f"transformer.layers.{k}.{name}"] for name in NAMES}
        y = norm(x, p["norm1.weight"], p["norm1.bias"])
        qkv = y @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
        q, k_, v = (part.reshape(n, HEADS, -1).transpose(1, 0, 2) for part in np.split(qkv, 3, 1))
        likes = q @ k_.transpose(0, 2, 1) / np.sqrt(DIM // HEADS)
        share = np.exp(likes - likes.max(axis=-1, keepdims=True))
        heads = (share / share.sum(axis=-1, keepdims=True)) @ v
        joined = heads.transpose(1, 0, 2).reshape(n, DIM)
        x = x + joined @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"]
        y = norm(x, p["norm2.weight"], p["norm2.bias"]) @ p["linear1.weight"].T + p["linear1.bias"]
        x = x + y / (1 + np.exp(-1.702 * y)) @ p["linear2.weight"].T + p["linear2.bias"]
    return unit(unit(frames + x).mean(axis=0))


NAMES = [
    f"{stem}{kind}"
    for stem in ("norm1.", "norm2.", "self_attn.in_proj_", "self_attn.out_proj.", "linear1.")
    for kind in ("weight", "bias")
] + ["linear2.weight", "linear2.bias"]


def test_seq_transf_is_the_published_header() -> None:
    made, (vectors, mask) = header(), clips()
    weights = {name: value.double().numpy() for name, value in made.state_dict().items()}
    assert weights["transformer.layers.0.linear1.weight"].shape == (4 * DIM, DIM)
    with torch.inference_mode():
        found = made(vectors, mask).numpy()
    for clip, real, own in zip(vectors.double().numpy(), mask.numpy(), found, strict=True):
        np.testing.assert_allclose(own, published(clip[real], weights), atol=2e-6)


def test_what_is_masked_changes_nothing_and_training_has_no_dropout() -> None:
    made, (vectors, mask) = header(), clips()
    with torch.inference_mode():
        expected = made(vectors, mask)
        noisy = torch.where(mask.unsqueeze(2), vectors, torch.full_like(vectors, 7.0))
        np.testing.assert_allclose(made(noisy, mask), expected, atol=1e-6)
        np.testing.assert_allclose(made.train()(vectors, mask), expected, atol=1e-6)
        empty = made(vectors, torch.zeros_like(mask))
    assert torch.isfinite(empty).all()


def test_the_order_of_frames_counts_and_their_length_too() -> None:
    made, (vectors, mask) = header(), clips()
    with torch.inference_mode():
        expected = made(vectors[:1], mask[:1])
        assert not np.allclose(made(vectors[:1].flip(1), mask[:1]), expected, atol=1e-3)
        assert not np.allclose(made(vectors[:1] / 10, mask[:1]), expected, atol=1e-3)


def test_a_card_from_before_is_known_by_its_weights() -> None:
    old = msgspec.structs.replace(CARD, width=8, members=2)
    light = msgspec.structs.replace(old, header="seqTransf-light")
    assert named_as_now(old, build_small(DIM, light).state_dict()) == light
    assert named_as_now(old, build_small(DIM, old).state_dict()) == old
    assert named_as_now(SmallCard(), build_small(DIM, SmallCard()).state_dict()) == SmallCard()


def clip_with_text(seed: int = 0) -> open_clip.CLIP:
    """A tiny CLIP whose text tower is as wide as its vectors and has CLIP's 77 positions."""
    torch.manual_seed(seed)
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1}
    text = {"context_length": 77, "vocab_size": 16, "width": DIM, "heads": HEADS, "layers": 3}
    return open_clip.CLIP(DIM, vision, text, quick_gelu=True).eval()


def test_it_starts_from_the_first_layers_of_clips_text_transformer(tmp_path: Path) -> None:
    model, (vectors, mask) = clip_with_text(), clips()
    path = tmp_path / "clip.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    made = TemporalHeader(DIM, CARD).eval()
    start_header(made, str(path))
    assert torch.equal(made.positions, model.positional_embedding)
    with torch.inference_mode():
        x = vectors[:1] + model.positional_embedding[:7]
        for block in model.transformer.resblocks[:LAYERS]:
            x = block(x)
        whole = torch.nn.functional.normalize(vectors[:1] + x, dim=-1).mean(dim=1)
        expected = torch.nn.functional.normalize(whole, dim=-1)
        np.testing.assert_allclose(made(vectors[:1], mask[:1]), expected, atol=2e-6)


def test_every_published_layout_gives_the_same_header() -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    theirs = header()
    open_names = {"positional_embedding": theirs.positions.detach()}
    for name, value in theirs.state_dict().items():
        if name != "positions":
            for ours, new in PARTS.items():
                name = name.replace(ours, new)
            open_names[name.replace("layers.", "resblocks.")] = value
    clip4clip = {
        name.replace("transformer.", "transformerClip."): value
        for name, value in open_names.items()
        if name != "positional_embedding"
    }
    clip4clip["frame_position_embeddings.weight"] = open_names["positional_embedding"]
    layouts = [
        open_names,
        {f"text.{name}": value for name, value in open_names.items()},
        {f"module.{name}": value for name, value in clip4clip.items()} | {"clip.x": torch.ones(1)},
    ]
    for layout in layouts:
        found = header_state(layout, LAYERS, "weights")
        for name, value in theirs.state_dict().items():
            assert torch.equal(found[name], value), name

    hf = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=DIM,
            intermediate_size=4 * DIM,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            vocab_size=16,
        )
    )
    prefixed = {
        f"text_model.{k.removeprefix('text_model.')}": v for k, v in hf.state_dict().items()
    }
    found = header_state(prefixed, LAYERS, "weights")
    assert {k: v.shape for k, v in found.items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    name = "encoder.layers.1.self_attn.k_proj.weight"
    middle = found["transformer.layers.1.self_attn.in_proj_weight"][DIM : 2 * DIM]
    assert torch.equal(middle, prefixed[f"text_model.{name}"])


PARTS = {
    "self_attn.": "attn.",
    "norm1.": "ln_1.",
    "norm2.": "ln_2.",
    "linear1.": "mlp.c_fc.",
    "linear2.": "mlp.c_proj.",
}


@pytest.mark.parametrize(
    ("card", "changes", "error", "message"),
    [
        (SmallCard(), {}, ConfigError, "only seqTransf starts from weights"),
        (CARD, {"header_layers": 4}, BundleError, "header_layers is 4, take fewer"),
        (CARD, {"dim": 64}, BundleError, "text width is the encoder's dim"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, card: SmallCard, changes: dict[str, int], error: type, message: str
) -> None:
    path = tmp_path / "clip.safetensors"
    state = clip_with_text().state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    dim = changes.pop("dim", DIM)
    made = TemporalHeader(dim, msgspec.structs.replace(card, **changes))
    with pytest.raises(error, match=message):
        start_header(made, str(path))


def test_weights_without_a_text_transformer_are_refused() -> None:
    with pytest.raises(BundleError, match="no text transformer of CLIP"):
        header_state({"visual.proj": torch.ones(2, 2)}, 1, "weights")


def test_a_projection_is_refused_and_the_light_header_has_one() -> None:
    narrow = msgspec.structs.replace(CARD, header_width=16)
    with pytest.raises(ValueError, match="no projection"):
        TemporalHeader(DIM, narrow)
    light = TemporalHeader(DIM, msgspec.structs.replace(narrow, header="seqTransf-light"))
    assert light.positions.shape == (MAX_POSITIONS, 16)
