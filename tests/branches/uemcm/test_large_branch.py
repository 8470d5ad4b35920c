from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.load_bundle import load_bundle
from egomon.branches.torch_modules import state_sha256
from egomon.branches.uemcm.clip_frames import clip_of, resampled_clip
from egomon.branches.uemcm.large_branch import Qwen3VLBranch
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder, prompt
from egomon.errors import BundleError
from egomon.stream.frame import Detail, Frame, Segment

CARD = LargeEncoderCard(weights="tiny", frames=8, frame_px=96, max_tokens=64, dim=48)
REAL_TOKENIZER = Path(__file__).parents[4] / "shared" / "data" / "qwen3-tokenizer"


@pytest.fixture(scope="module")
def embedder(tiny_qwen: Path) -> Qwen3VLEmbedder:
    return Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights=str(tiny_qwen)), Path())


def images(count: int, height: int = 96, width: int = 96, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def seconds(count: int) -> list[float]:
    return [i / 4 for i in range(count)]


def segment(details: list[np.ndarray] | None, count: int = 8, start: float = 10.0) -> Segment:
    small = np.zeros((32, 32, 3), np.uint8)
    frames = tuple(
        Frame(small.copy(), details[i] if details else None, start + i / 4, 0, 0, i, 0)
        for i in range(count)
    )
    times = start + np.arange(count) / 4
    return Segment(0, "cam", start, start + count / 4, 0, times, frames)


@pytest.mark.parametrize(("frames", "px"), [(2, 32), (8, 96), (32, 64)])
def test_a_clip_makes_exactly_the_promised_visual_tokens(
    tiny_qwen: Path, frames: int, px: int
) -> None:
    card = LargeEncoderCard(
        weights=str(tiny_qwen), frames=frames, frame_px=px, max_tokens=4096, dim=16
    )
    embedder = Qwen3VLEmbedder.load(card, Path())
    for count, height, width in ((frames, px, px), (5, 200, 120), (1, 50, 300)):
        clip, stamps = resampled_clip(images(count, height, width), seconds(count), embedder.card)
        inputs = embedder._inputs([clip], [stamps])
        tokens = int((inputs["input_ids"] == embedder.model.config.video_token_id).sum())
        assert tokens == frames // 2 * (px // 32) ** 2 == visual_tokens(card)
        assert inputs["video_grid_thw"][0].tolist() == [frames // 2, px // 16, px // 16]


def test_the_prompt_carries_the_true_times_and_each_marker_once(embedder: Qwen3VLEmbedder) -> None:
    clip, stamps = resampled_clip(images(8), seconds(8), embedder.card)
    inputs = embedder._inputs([clip], [stamps])
    text = embedder.processor.tokenizer.decode(inputs["input_ids"][0])
    # Mean time of each pair, one decimal: .125, .625, 1.125, 1.625.
    for stamp in ("<0.1 seconds>", "<0.6 seconds>", "<1.1 seconds>", "<1.6 seconds>"):
        assert text.count(stamp) == 1
    assert text.count("<|vision_start|>") == text.count("<|vision_end|>") == 4
    assert text.startswith("<|im_start|>system\nClassify the action in this video.<|im_end|>")
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("given", "fixed", "official"),
    [
        ("Say it", "Say it.", "Say it."),
        ("Say it?", "Say it?", "Say it?"),
        ("Say it:", "Say it:.", "Say it:"),
        ("说。", "说。.", "说。"),
        (" Say it \n", " Say it \n.", "Say it."),
        ("", "", "Represent the user's input."),
        ("  ", "  .", "Represent the user's input."),
    ],
)
def test_an_instruction_ends_as_the_card_s_rules_say(given: str, fixed: str, official: str) -> None:
    for rules, expected in (("fixed", fixed), ("official", official)):
        card = msgspec.structs.replace(CARD, instruction=given, rules=rules)
        assert f"<|im_start|>system\n{expected}<|im_end|>" in prompt(card)


def test_with_the_official_rules_a_clip_costs_what_its_frames_do(tiny_qwen: Path) -> None:
    card = msgspec.structs.replace(CARD, weights=str(tiny_qwen), rules="official", crop="letterbox")
    embedder = Qwen3VLEmbedder.load(card, Path())
    clips = [images(count, 60, 90, seed=count) for count in (1, 3, 4, 8, 20)]
    times = [seconds(len(clip)) for clip in clips]
    pairs = [resampled_clip(clip, stamps, card) for clip, stamps in zip(clips, times, strict=True)]
    assert [len(frames) for frames, _ in pairs] == [2, 4, 4, 8, 8]
    assert pairs[1][1] == [0.0, 0.25, 0.5, 0.5]  # frames go in pairs
    inputs = embedder._inputs([frames for frames, _ in pairs], [stamps for _, stamps in pairs])
    tokens = (inputs["input_ids"] == embedder.model.config.video_token_id).sum(1).tolist()
    assert tokens == [9, 18, 18, 36, 36]
    together = embedder.embed(clips, times)
    alone = [embedder.embed([c], [t])[0] for c, t in zip(clips, times, strict=True)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


def test_a_letterboxed_clip_keeps_its_proportions() -> None:
    card = msgspec.structs.replace(CARD, crop="letterbox")
    frames, _ = resampled_clip([np.full((48, 96, 3), 200, np.uint8)], [0.0], card)
    assert frames.shape == (8, 96, 96, 3)
    assert (frames[:, 24:72] == 200).all()
    assert frames[:, :24].max() == frames[:, 72:].max() == 0


def test_a_clip_of_the_source_s_own_frames_goes_before_the_sampled_ones() -> None:
    own = tuple(Detail(10.0 + k / 10, np.full((4, 4, 3), k, np.uint8)) for k in range(3))
    plain = segment(images(8))
    clip, times = clip_of(replace(plain, clip=own))
    assert [int(image[0, 0, 0]) for image in clip] == [0, 1, 2]
    np.testing.assert_allclose(times, [0, 0.1, 0.2])
    assert len(clip_of(plain)[0]) == 8


def test_vectors_are_unit_and_alike_alone_and_in_a_batch(embedder: Qwen3VLEmbedder) -> None:
    clips = [images(8, seed=1), images(5, 60, 90, seed=2), images(12, seed=3)]
    times = [seconds(8), seconds(5), [100.0 + t for t in seconds(12)]]
    together = embedder.embed(clips, times)
    assert together.shape == (3, 48)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([embedder.embed([c], [t]) for c, t in zip(clips, times, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert embedder.embed([], []).shape == (0, 48)


def test_the_vector_is_cut_before_it_is_normalised(
    embedder: Qwen3VLEmbedder, tiny_qwen: Path
) -> None:
    card = msgspec.structs.replace(CARD, weights=str(tiny_qwen), dim=16)
    short = Qwen3VLEmbedder.load(card, Path()).embed([images(8)], [seconds(8)])[0]
    long = embedder.embed([images(8)], [seconds(8)])[0]
    np.testing.assert_allclose(short, long[:16] / np.linalg.norm(long[:16]), atol=1e-5)


def test_pixels_order_and_time_all_count(embedder: Qwen3VLEmbedder) -> None:
    clip = images(8, seed=4)
    reference = embedder.embed([clip], [seconds(8)])[0]
    darker = [image // 2 for image in clip]
    slower = [2 * t for t in seconds(8)]
    for other, times in ((darker, seconds(8)), (clip[::-1], seconds(8)), (clip, slower)):
        assert np.abs(embedder.embed([other], [times])[0] - reference).max() > 1e-4


def test_the_model_sees_what_the_plain_architecture_computes(
    embedder: Qwen3VLEmbedder, tiny_qwen: Path
) -> None:
    from transformers import Qwen3VLForConditionalGeneration

    model = Qwen3VLForConditionalGeneration.from_pretrained(tiny_qwen).eval()
    clip, stamps = resampled_clip(images(8), seconds(8), embedder.card)
    inputs = embedder._inputs([clip], [stamps])
    with torch.inference_mode():
        hidden = model(**inputs, output_hidden_states=True).hidden_states[-1][0, -1, :48]
    expected = (hidden / hidden.norm()).numpy()
    np.testing.assert_allclose(embedder.embed([images(8)], [seconds(8)])[0], expected, atol=1e-5)


def test_the_edges_of_a_wide_frame_are_seen(embedder: Qwen3VLEmbedder) -> None:
    clip = images(8, 96, 240)
    edited = [image.copy() for image in clip]
    for image in edited:
        image[:, :40] = 0
    vectors = embedder.embed([clip, edited], [seconds(8), seconds(8)])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_a_segment_is_judged_by_its_detailed_frames(tiny_bundle: Path) -> None:
    branch = load_bundle(tiny_bundle, with_encoder=False).load_large()
    assert isinstance(branch, Qwen3VLBranch)
    details = images(8, 120, 160)
    score = branch.score(segment(details))
    assert score.branch == "large"
    assert score.feature.shape == (branch.embedder.card.dim,)
    expected = branch.embedder.embed([details], [seconds(8)])[0]
    np.testing.assert_allclose(score.feature, expected, atol=1e-6)
    logits = branch.head.logits(expected[None])[0]
    np.testing.assert_allclose(score.logits, logits, atol=1e-5)
    later = branch.score(segment(details, start=500.0))
    np.testing.assert_allclose(later.feature, score.feature, atol=1e-6)
    without = branch.score(segment(None))
    assert np.abs(without.feature - score.feature).max() > 1e-4


def test_a_segment_without_pixels_is_refused(tiny_bundle: Path) -> None:
    branch = load_bundle(tiny_bundle, with_encoder=False).load_large()
    assert branch is not None
    with pytest.raises(ValueError, match="holds no frames"):
        branch.score(segment(None, count=0))


def test_a_vector_that_is_not_finite_is_refused(tiny_qwen: Path) -> None:
    card = msgspec.structs.replace(CARD, weights=str(tiny_qwen))
    embedder = Qwen3VLEmbedder.load(card, Path())
    embedder.model.language_model.norm.weight.fill_(float("nan"))
    with pytest.raises(BundleError, match="not finite"):
        embedder.embed([images(8)], [seconds(8)])


def test_other_weights_or_sizes_are_refused(tiny_qwen: Path) -> None:
    card = msgspec.structs.replace(CARD, weights=str(tiny_qwen))
    state = Qwen3VLEmbedder.load(card, Path()).model.state_dict()
    pinned = msgspec.structs.replace(card, weights_sha256=state_sha256(state))
    Qwen3VLEmbedder.load(pinned, Path())
    with pytest.raises(BundleError, match="trained on other weights"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(card, weights_sha256="0"), Path())
    with pytest.raises(BundleError, match=r"`large\.dim` is 65"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(card, dim=65), Path())


def test_another_model_a_pickle_or_a_missing_folder_is_refused(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    from transformers import CLIPConfig

    CLIPConfig().save_pretrained(tmp_path / "clip")
    with pytest.raises(BundleError, match="is a clip model, not qwen3_vl"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights="clip"), tmp_path)
    shutil.copytree(tiny_qwen, tmp_path / "pickle")
    weights = tmp_path / "pickle" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(BundleError, match="cannot be loaded"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights="pickle"), tmp_path)
    with pytest.raises(BundleError, match=r"has no config\.json.*--no-large"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights="bundle"), tmp_path)


def test_weights_with_gaps_are_refused_instead_of_filled_with_noise(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_qwen, tmp_path / "gaps"))
    state = load_file(folder / "model.safetensors")
    gone = next(name for name in state if name.endswith("layers.1.mlp.up_proj.weight"))
    del state[gone]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"lacks 1 of the model's weights.*up_proj"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights=str(folder)), Path())


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "model.safetensors"])
def test_a_damaged_large_folder_is_refused(tiny_qwen: Path, tmp_path: Path, file: str) -> None:
    folder = Path(shutil.copytree(tiny_qwen, tmp_path / "damaged"))
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match="cannot be loaded"):
        Qwen3VLEmbedder.load(msgspec.structs.replace(CARD, weights=str(folder)), Path())


def test_a_hub_id_without_network_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    from egomon.branches.bundle import hub

    monkeypatch.setattr(hub, "hub_reachable", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    card = msgspec.structs.replace(CARD, weights="Qwen/Qwen3-VL-Embedding-2B")
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    with pytest.raises(BundleError, match=r"cannot be reached from here.*--no-large"):
        Qwen3VLEmbedder.load(card, tmp_path)
    assert asked == []


@pytest.mark.data
@pytest.mark.skipif(not REAL_TOKENIZER.is_dir(), reason="shared data with the tokenizer is absent")
def test_the_real_tokenizer_knows_the_markers_and_ends_as_the_tiny_one_does() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(REAL_TOKENIZER, local_files_only=True)
    ids = tokenizer(prompt(CARD))["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens.count("<|video_pad|>") == 1
    assert tokens.count("<|im_start|>") == 3
    assert tokenizer.decode(ids) == prompt(CARD)
