"""A bundle's ONNX forms give what its torch forms give, and are refused when they are others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from egomon.branches.bundle.card import OnnxFileCard
from egomon.branches.bundle.locate import BUNDLED_ROOT, read_card
from egomon.branches.encoders.tower import TowerEncoder
from egomon.branches.export.bundle import export_bundle
from egomon.branches.interfaces import LargeBranch
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.onnx.encoder import OnnxEncoder, pictures
from egomon.branches.onnx.forms import Compute, OnnxForms
from egomon.branches.onnx.large import OnnxEmbedder
from egomon.branches.onnx.tokens import TokenTable
from egomon.branches.uemcm.large_branch import Qwen3VLBranch
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.cli.app import app
from egomon.errors import BundleError, ConfigError

REPO = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def exported(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with its ONNX forms."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    written = export_bundle(tiny_bundle, folder)
    assert not written.refused
    assert sorted(written.files) == ["encoder-int8.onnx", "encoder.onnx", "large.onnx"]
    return folder


def embedder(bundle: Bundle) -> Any:
    branch: LargeBranch | None = bundle.load_large()
    assert isinstance(branch, Qwen3VLBranch)
    return branch.embedder


def clip(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, 60, 90, 3)).astype(np.uint8))


def test_the_encoder_gives_the_same_vectors(exported: Path) -> None:
    ours, theirs = (load_bundle(exported, engine=engine).encoder for engine in ("auto", "torch"))
    assert isinstance(ours, OnnxEncoder)
    assert isinstance(theirs, TowerEncoder)
    images = pictures(ours.image_px)
    np.testing.assert_allclose(ours.encode(images), theirs.encode(images), atol=1e-5)
    assert ours.card == theirs.card
    small = load_bundle(exported, dtype="int8").encoder
    assert isinstance(small, OnnxEncoder)
    assert "int8" in small.backend
    assert type(load_bundle(exported, dtype="bfloat16").encoder) is TowerEncoder


@pytest.mark.parametrize("name", ["tiny", "workbench"])
@pytest.mark.parametrize(("count", "seconds"), [(4, 0.0), (9, 3.3), (16, 61.7)])
def test_the_large_model_gives_the_same_vector(
    exported: Path, name: str, count: int, seconds: float
) -> None:
    ref = exported if name == "tiny" else name
    ours, theirs = (
        embedder(load_bundle(ref, engine=engine, with_encoder=False))
        for engine in ("auto", "torch")
    )
    assert isinstance(ours, OnnxEmbedder)
    assert isinstance(theirs, Qwen3VLEmbedder)
    times = np.linspace(0, seconds, count).tolist()
    given = [clip(count), clip(count, seed=1)], [times, times]
    found = ours.embed(*given)
    np.testing.assert_allclose(found, theirs.embed(*given), atol=1e-5)
    assert not np.allclose(found[0], found[1])
    assert ours.embed([], []).shape == (0, ours.card.dim)


def test_tokens_and_positions_are_those_of_the_processor(exported: Path) -> None:
    ours, theirs = (
        embedder(load_bundle(exported, engine=engine, with_encoder=False))
        for engine in ("auto", "torch")
    )
    times = [0.04, 0.26, 9.99, 100.06]
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    inputs = theirs._inputs([frames], [times])
    positions, _ = theirs.model.get_rope_index(
        inputs["input_ids"],
        video_grid_thw=inputs["video_grid_thw"],
        attention_mask=inputs["attention_mask"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
    )
    ids, places = ours._table.inputs(times)
    assert ids.tolist() == inputs["input_ids"][0].tolist()
    assert places.tolist() == positions[:, 0].tolist()


def test_only_the_pins_of_the_card_are_new(tiny_bundle: Path, exported: Path) -> None:
    before, after = (json.loads((f / "bundle.json").read_bytes()) for f in (tiny_bundle, exported))
    pins = after.pop("runtime")
    before.pop("runtime", None)
    assert before == after
    assert set(pins) == {path.name for path in (exported / "onnx").iterdir()}
    hashes = {load_bundle(f, with_encoder=False).hash for f in (tiny_bundle, exported)}
    assert len(hashes) == 2, "the card pins the files, and the bundle's hash covers the card"
    with pytest.raises(BundleError, match="exists"):
        export_bundle(tiny_bundle, exported)


def repinned(exported: Path, folder: Path, name: str, **changes: Any) -> Path:
    """A copy in which one entry of the card says something else."""
    shutil.copytree(exported, folder)
    card = json.loads((folder / "bundle.json").read_bytes())
    card["runtime"][name] |= changes
    (folder / "bundle.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, r"encoder\.onnx is not the file that the card pins"),
        ({"opset": 18}, r"encoder\.onnx is written in opset 17, but the card says 18"),
        ({"dtype": "int2"}, "does not follow the card's schema"),
    ],
)
def test_a_file_that_does_not_match_its_card_is_refused_by_name(
    exported: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = repinned(exported, tmp_path / "b", "encoder.onnx", **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_a_changed_large_branch_is_found_without_being_loaded(
    exported: Path, tmp_path: Path
) -> None:
    folder = repinned(exported, tmp_path / "b", "large.onnx", sha256="0" * 64)
    forms = OnnxForms(folder, read_card(folder).runtime)
    with pytest.raises(BundleError, match=r"large\.onnx is not the file that the card pins"):
        forms.check_large(Compute())
    forms.check_large(Compute(engine="torch"))
    OnnxForms(exported, read_card(exported).runtime).check_large(Compute())


def test_a_file_of_another_network_is_refused(exported: Path, tmp_path: Path) -> None:
    pin = read_card(exported).runtime["large.onnx"]
    folder = repinned(exported, tmp_path / "b", "encoder.onnx", sha256=pin.sha256)
    shutil.copy(exported / "onnx/large.onnx", folder / "onnx/encoder.onnx")
    with pytest.raises(BundleError, match=r"encoder\.onnx has the inputs frames, ids, positions"):
        load_bundle(folder)


def test_a_file_of_other_weights_is_refused(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "b")
    path = tmp_path / "b" / "bundle.json"
    card = json.loads(path.read_bytes())
    card["large"]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(card))
    with pytest.raises(BundleError, match="made from the model"):
        load_bundle(tmp_path / "b", with_encoder=False).load_large()


def test_a_file_of_an_unknown_name_is_not_looked_for(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "b")
    path = tmp_path / "b" / "bundle.json"
    card = json.loads(path.read_bytes())
    card["runtime"]["../../outside.onnx"] = card["runtime"]["encoder.onnx"]
    path.write_text(json.dumps(card))
    with pytest.raises(BundleError, match=r"does not follow the card's schema"):
        load_bundle(tmp_path / "b")


def test_an_engine_without_a_form_runs_in_torch_and_says_so(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(load_bundle(tiny_bundle, engine="onnx").encoder, TowerEncoder)
    assert "no encoder.onnx" in caplog.text
    with pytest.raises(ConfigError, match="engine 'abacus' is unknown"):
        load_bundle(tiny_bundle, engine="abacus")


def test_a_model_that_writes_times_otherwise_is_refused(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenTable, "stamp", lambda self, text: (1, 2))
    written = export_bundle(tiny_bundle, tmp_path / "b")
    assert "large.onnx" not in written.files
    assert [line for line in written.refused if "its tokenizer does not write" in line]
    assert isinstance(embedder(load_bundle(tmp_path / "b", with_encoder=False)), Qwen3VLEmbedder), (
        "what has no ONNX form runs in torch"
    )


def test_the_verb_tells_what_it_wrote_and_what_it_left(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(app, ["models", "export", *map(str, words)])

    said = run(tiny_bundle, "-o", tmp_path / "a", "--json")
    assert set(json.loads(said.stdout)["files"]) == set(read_card(tmp_path / "a").runtime)
    monkeypatch.setattr(TokenTable, "stamp", lambda self, text: (1, 2))
    said = run(tiny_bundle, "-o", tmp_path / "b")
    assert "encoder.onnx: cosine with torch at least 1.00000" in said.stdout
    assert "Left to torch: the large model 'bundle' cannot be made an ONNX graph" in said.stdout
    card = json.loads((tmp_path / "b" / "bundle.json").read_bytes())
    card["frame_encoder"]["library"] = "none"
    before = json.dumps(card | {"large": None, "gate": None})
    (tmp_path / "b" / "bundle.json").write_text(before)
    assert run(tmp_path / "b").stdout.startswith("Nothing to export")
    assert (tmp_path / "b" / "bundle.json").read_text() == before


def test_shipped_files_are_pinned_and_nothing_lies_beside_them() -> None:
    card = read_card(BUNDLED_ROOT / "workbench")
    files = {path.name for path in (BUNDLED_ROOT / "workbench" / "onnx").iterdir()}
    assert files == set(card.runtime) == {"encoder.onnx", "large.onnx"}
    assert all(msgspec.to_builtins(pin)["cosine"] > 0.99999 for pin in card.runtime.values())
    assert all(isinstance(pin, OnnxFileCard) for pin in card.runtime.values())


def test_the_example_is_replayed_with_both_branches_where_torch_cannot_be_imported() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "open_clip", "timm"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["egomon", *sys.argv[1:]]
from egomon.cli import main
main()
"""
    video = REPO / "examples/bench.mp4"
    command = [sys.executable, "-c", code, "replay", str(video), "--speed", "max"]
    done = subprocess.run(
        [*command, "--json", "--store", "none"], timeout=100, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    alerts = json.loads(done.stdout)["alert_list"]
    assert len(alerts) == 3
    assert all(alert["mode"] == "full" and alert["scores"]["large"] for alert in alerts)
