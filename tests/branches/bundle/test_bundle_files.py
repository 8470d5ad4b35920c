from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from tiny_models import build_tiny_bundle, tiny_card, tiny_tensors

from egomon.branches.bundle import locate
from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.card_check import check_card
from egomon.branches.bundle.locate import find_bundle, list_bundles, read_card
from egomon.branches.bundle.weights import weights_sha256
from egomon.branches.interfaces import ClipView, ContextView
from egomon.branches.load_bundle import load_bundle, read_tensors, save_bundle
from egomon.errors import BundleError, ConfigError
from egomon.fusion.gate import load_gate


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit_card(folder: Path, path: str, value: Any) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    target = card
    *parents, last = path.split(".")
    for key in parents:
        target = target[key]
    target[last] = value
    (folder / "bundle.json").write_text(json.dumps(card))


def edit_weights(folder: Path, changes: dict[str, np.ndarray | None]) -> None:
    tensors = read_tensors(folder)
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(tensors))


def test_a_saved_bundle_comes_back_whole(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.encoder is not None
    assert load_gate(bundle) is not None
    assert bundle.guard is not None
    assert bundle.activity is not None
    vectors = bundle.encoder.encode(np.zeros((4, 64, 64, 3), np.uint8))
    score = bundle.small.score(
        ClipView(vectors, np.arange(4.0), 0, 1), ContextView(vectors, np.arange(4.0), 0, 1)
    )
    assert np.isfinite(score.logits).all()
    assert np.isfinite(bundle.guard.distance(vectors))
    assert bundle.model_id == f"tiny@{bundle.hash[:8]}"


def test_saving_writes_the_same_bytes_and_loading_the_same_values(tmp_path: Path) -> None:
    card = tiny_card(tmp_path / "clip", large=False)
    odd = {"small.count": np.array(7), "small.turned": np.arange(6.0).reshape(2, 3).T}
    tensors = tiny_tensors(card) | odd
    one, two = (save_bundle(tmp_path / name, card, tensors) for name in ("one", "two"))
    for file in ("bundle.json", "model.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes()
    assert read_card(one) == card
    loaded = read_tensors(one)
    assert loaded.keys() == tensors.keys()
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)
    assert loaded["small.count"].shape == ()


def test_the_onnx_files_that_a_card_pins_come_along(tmp_path: Path) -> None:
    from egomon.branches.bundle.card import OnnxFileCard

    card = tiny_card(tmp_path / "clip", large=False)
    pin = OnnxFileCard(sha256="0" * 64, opset=17, dtype="float32", cosine=1.0)
    card = msgspec.structs.replace(card, runtime={"encoder.onnx": pin})
    source = tmp_path / "onnx"
    source.mkdir()
    for name in ("encoder.onnx", "large.onnx"):
        (source / name).write_bytes(name.encode())
    saved = save_bundle(tmp_path / "one", card, tiny_tensors(card), onnx_folder=source)
    assert [path.name for path in (saved / "onnx").iterdir()] == ["encoder.onnx"]
    with pytest.raises(BundleError, match="give the folder"):
        save_bundle(tmp_path / "two", card, tiny_tensors(card))
    (source / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"encoder\.onnx cannot be copied"):
        save_bundle(tmp_path / "two", card, tiny_tensors(card), onnx_folder=source)
    assert not (tmp_path / "two").exists()


def test_the_id_changes_with_any_file_of_the_bundle(tiny_bundle: Path, bundle: Path) -> None:
    reference = load_bundle(tiny_bundle, with_encoder=False).hash
    assert load_bundle(bundle, with_encoder=False).hash == reference
    config = bundle / "large" / "generation_config.json"
    config.write_text(config.read_text().swapcase())  # as long as before
    changed = load_bundle(bundle, with_encoder=False).hash
    edit_card(bundle, "notes", "another")
    assert len({reference, changed, load_bundle(bundle, with_encoder=False).hash}) == 3


def test_the_encoder_can_be_left_out(tiny_bundle: Path) -> None:
    assert load_bundle(tiny_bundle, with_encoder=False).encoder is None


def test_a_bundle_without_large_branch_has_none(tmp_path: Path) -> None:
    folder = build_tiny_bundle(tmp_path, large=False)
    bundle = load_bundle(folder)
    assert load_gate(bundle) is None
    assert bundle.load_large() is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", 2, "reads schema 1"),
        ("name", "../up", "field `name`"),
        ("name", "UP", "field `name`"),
        ("surprise", 1, "surprise"),
        ("created", 7, r"Expected `str`, got `int` - at `\$.created`"),
        ("frame_encoder.image_px", 0, "frame_encoder.image_px"),
        ("frame_encoder.image_px", 32, "takes 64 px"),
        ("frame_encoder.std", [1, 0, 1], "frame_encoder.std"),
        ("frame_encoder.dim", 31, "has shape"),
        ("frame_encoder.weights", "../../x", r"must not contain '\.\.'"),
        ("frame_encoder.weights_sha256", "00", "trained on other weights"),
        ("frame_encoder.library", "pickle", "'pickle', but there are only bundled, dcr"),
        ("frame_encoder.library", "../up", "frame_encoder.library"),
        ("frame_encoder.library", 7, "frame_encoder.library"),
        ("small.width", 17, "has shape"),
        ("small.width", 10**9, "small.width"),
        ("small.steps", ["a"], "step.weight has shape"),
        ("small.header_width", 8, "small branch cannot be built"),
        ("stream.fine_frames", 0, "stream.fine_frames"),
        ("stream.fps", 0, "stream.fps"),
        ("decision.calibration_small.temperature", 0, "calibration_small.temperature"),
        ("large", None, "`large` and `gate` go together"),
        ("large.frames", 3, "take an even number"),
        ("large.frame_px", 50, "multiple of 32"),
        ("large.rules", "official", "at least 128 visual tokens: take 384"),
        ("large.max_tokens", 1, "make 8 visual tokens"),
        ("guard", None, "belongs to no part"),
        ("activity_width", 0, "belongs to no part"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_by_file_and_field(
    bundle: Path, path: str, value: Any, message: str
) -> None:
    edit_card(bundle, path, value)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(bundle)
    assert str(bundle) in str(caught.value)


@pytest.mark.parametrize(("path", "value"), [("gate.width", 9), ("large.dim", 40)])
def test_a_gate_that_does_not_fit_its_card_is_refused_by_file_and_name(
    bundle: Path, path: str, value: int
) -> None:
    edit_card(bundle, path, value)
    with pytest.raises(BundleError, match=r"model\.safetensors: gate: .*has shape"):
        load_gate(load_bundle(bundle, with_encoder=False))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("small.g.0.weight", None, r"g\.0\.weight missing"),
        ("small.g.0.weight", np.zeros((2, 2)), r"g\.0\.weight has shape \(2, 2\)"),
        ("small.g.0.bias", np.full(8, np.nan), "not finite"),
        ("guard.mean", np.full(32, np.inf), "not finite"),
        ("small.more", np.zeros(1), "the card does not need"),
        ("strange.more", np.zeros(1), "belongs to no part"),
        ("encoder.conv1.weight", np.zeros(1), "belongs to no part"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    bundle: Path, name: str, tensor: np.ndarray | None, message: str
) -> None:
    edit_weights(bundle, {name: tensor})
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(bundle)
    assert "model.safetensors" in str(caught.value)


def test_head_weights_may_be_stored_in_half_precision(tiny_bundle: Path, bundle: Path) -> None:
    edit_weights(bundle, {k: v.astype(np.float16) for k, v in read_tensors(bundle).items()})
    view = ClipView(np.ones((4, 32), np.float32), np.arange(4.0), 0, 1)
    context = ContextView(view.vectors, view.times, 0, 1)
    exact, rough = (
        load_bundle(folder, with_encoder=False).small.score(view, context).logits
        for folder in (tiny_bundle, bundle)
    )
    assert rough.dtype == np.float32
    np.testing.assert_allclose(exact, rough, atol=1e-2)


@pytest.mark.parametrize("file", ["bundle.json", "model.safetensors"])
def test_a_missing_file_is_named(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    with pytest.raises(BundleError, match=file):
        load_bundle(bundle)


@pytest.mark.parametrize("file", ["bundle.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    os.mkfifo(bundle / file)
    with pytest.raises(BundleError, match=file):
        load_bundle(bundle)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_truncated_weights_are_refused(bundle: Path, kept: int) -> None:
    path = bundle / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleError, match="damaged or truncated"):
        load_bundle(bundle)


def test_a_huge_card_is_not_read(bundle: Path) -> None:
    (bundle / "bundle.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(BundleError, match="larger than 4 MiB"):
        load_bundle(bundle)


def test_saving_replaces_a_bundle_but_nothing_else(tmp_path: Path) -> None:
    card = tiny_card(tmp_path / "clip", large=False)
    target = save_bundle(tmp_path / "out" / "mine", card, tiny_tensors(card))
    renamed = msgspec.structs.replace(card, notes="second")
    save_bundle(target, renamed, tiny_tensors(card, seed=1))
    assert read_card(target).notes == "second"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("keep")
    with pytest.raises(BundleError, match="is not a bundle"):
        save_bundle(precious, card, tiny_tensors(card))
    assert (precious / "thesis.txt").read_text() == "keep"


def test_further_files_are_saved_along_and_count_for_the_id(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    card, tensors = read_card(tiny_bundle), read_tensors(tiny_bundle)
    hashes = set()
    for text in ("a = 1", "a = 2"):
        folder = save_bundle(
            tmp_path / "mine", card, tensors, tiny_bundle / "large", {"workflow.toml": text}
        )
        assert (folder / "workflow.toml").read_text() == text
        hashes.add(load_bundle(folder, with_encoder=False).hash)
    assert len(hashes) == 2
    for name in ("../up.toml", "code.py", "bundle.json", "/x.toml"):
        with pytest.raises(BundleError, match="cannot be in a bundle"):
            save_bundle(tmp_path / "mine", card, tensors, files={name: ""})


def test_a_failed_save_leaves_the_old_bundle(tmp_path: Path) -> None:
    card = tiny_card(tmp_path / "clip", large=False)
    target = save_bundle(tmp_path / "mine", card, tiny_tensors(card))
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    nan = {"small.x": np.array([np.nan])}
    for bad, large in ((nan, None), ({"x": np.ones(1)}, None), ({}, tmp_path / "absent")):
        with pytest.raises(BundleError):
            save_bundle(target, card, bad, large)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_place_where_no_folder_can_be_is_one_sentence(tmp_path: Path) -> None:
    card = tiny_card(tmp_path / "clip", large=False)
    (tmp_path / "file").write_text("keep")
    with pytest.raises(BundleError, match=r"^cannot write .*mine: (File exists|Not a dir).*; free"):
        save_bundle(tmp_path / "file" / "mine", card, tiny_tensors(card))


def test_a_wrong_encoder_hash_is_found_when_saving(tmp_path: Path) -> None:
    card = tiny_card(tmp_path / "clip", large=False)
    state = {"conv1.weight": np.ones((2, 2))}
    tensors = tiny_tensors(card) | {f"encoder.{name}": value for name, value in state.items()}

    def saved_with(sha256: str) -> Path:
        encoder = msgspec.structs.replace(
            card.frame_encoder, weights="bundle", weights_sha256=sha256
        )
        changed = msgspec.structs.replace(card, frame_encoder=encoder)
        return save_bundle(tmp_path / "mine", changed, tensors)

    assert saved_with(weights_sha256(state)).is_dir()
    with pytest.raises(BundleError, match="compute it on the values that are saved"):
        saved_with("0" * 64)


def test_bundles_are_found_by_name_folder_or_hub_id(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "BUNDLED_ROOT", tiny_bundle.parent)
    assert find_bundle("tiny") == tiny_bundle
    assert find_bundle(str(tiny_bundle)) == tiny_bundle
    with pytest.raises(BundleError, match="no bundle is called 'other'"):
        find_bundle("other")
    for ref in ("../tiny", "/absent/folder", "a/b/c", "", "x" * 300):
        with pytest.raises(BundleError):
            find_bundle(ref)
    with pytest.raises(BundleError, match=r"has no bundle\.json"):
        find_bundle(tiny_bundle.parent)


def test_listing_reads_cards_only(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    [entry] = list_bundles(tmp_path)
    assert entry.name == "b"
    assert entry.card.description == "Tiny random model for tests"
    assert entry.nbytes > 1_000_000
    assert list_bundles(tmp_path / "absent") == []


def test_every_bundled_model_loads() -> None:
    for entry in list_bundles():
        assert entry.card.name == entry.name
        ships_encoder = entry.card.frame_encoder.weights == "bundle"
        bundle = load_bundle(entry.name, with_encoder=ships_encoder)
        assert (bundle.encoder is not None) == ships_encoder


def test_listing_models_does_not_import_torch() -> None:
    code = (
        "import sys; from egomon.branches.bundle.locate import list_bundles; list_bundles(); "
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_bundle_loads_and_scores_without_torchs_compiler_and_the_large_model() -> None:
    """Modules built without memory make torch import its compiler, key masks make it import sympy:
    seconds of CPU before the first score.
    """
    (entry,) = (each for each in list_bundles() if each.name == "workbench")
    assert entry.card.small.header == "seqTransf"
    code = """
import sys
import numpy as np
from egomon.branches.interfaces import ClipView, ContextView
from egomon.fusion.gate import load_gate
from egomon.branches.load_bundle import load_bundle
bundle = load_bundle("workbench")
px, times = bundle.encoder.image_px, np.arange(4.0)
vectors = bundle.encoder.encode(np.zeros((4, px, px, 3), np.uint8))
fine, sofar = ClipView(vectors, times, 0, 4), ContextView(vectors[:2], times[:2], 0, 4)
assert np.isfinite(bundle.small.score(fine, sofar).logits).all()
print({"torch", "sympy", "transformers", "open_clip"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=100, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


def test_every_number_of_a_card_must_be_finite(tmp_path: Path) -> None:
    card = tiny_card(tmp_path, large=False)
    stream = msgspec.structs.replace(card.stream, stride_seconds=float("nan"))
    with pytest.raises(BundleError, match=r"stream\.stride_seconds"):
        check_card(msgspec.structs.replace(card, stream=stream))
    check_card(card)
    assert isinstance(card, BundleCard)


@pytest.mark.parametrize("option", [{"device": "abacus"}, {"device": "cuda:99"}, {"dtype": "int3"}])
def test_an_unknown_device_or_format_is_a_wrong_option(
    tiny_bundle: Path, option: dict[str, str]
) -> None:
    with pytest.raises(ConfigError):
        load_bundle(tiny_bundle, **option)
