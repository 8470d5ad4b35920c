"""Videos to frame and large-branch vectors: what the live path would see, crash-safe."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from feature_sets import DIM, workshop
from safetensors.torch import load_file, save_file
from test_datasets import published_holoassist
from tiny_models import CLIP_DIM, CLIP_PX, build_tiny_bundle, build_tiny_clip

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.large_weights import stored_sha256
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.load_bundle import load_bundle
from egomon.cli.app import app
from egomon.errors import BundleError, DataError, UsageError
from egomon.stream.frame import Frame, Segment
from egomon.stream.sampling_grid import SamplingGrid
from egomon.stream.sources.open import open_source
from egomon.train.extraction.extract import extract
from egomon.train.features.feature_set import Track, read_feature_set
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_feature_set


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from egomon.train.simulator import simulate

    folder = tmp_path_factory.mktemp("extract") / "videos"
    simulate(folder, seed=1, minutes=0.4, workflows="seen", correct_only=False)
    return folder


def name_of(videos: Path) -> str:
    return sorted(videos.glob("*.mp4"))[0].stem


def test_extract_goes_on_where_it_was_interrupted(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    first = extract(videos, tmp_path / "out", model=str(tiny_bundle), quiet=True)
    assert first.encoded >= 1
    path = sorted((tmp_path / "out" / "features").glob("*.npz"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = extract(videos, tmp_path / "out", model=str(tiny_bundle), quiet=True)
    assert (again.encoded, again.kept) == (1, first.encoded - 1)
    assert path.read_bytes() == whole


def test_large_vectors_are_those_of_the_live_branch(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    args = ["extract", videos, "-o", tmp_path / "out", "-m", tiny_bundle, "--large", "--json"]
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.exception
    data = read_feature_set(tmp_path / "out")
    assert data.large is not None
    bundle = load_bundle(tiny_bundle, with_encoder=False)
    branch, card = bundle.load_large(), bundle.card.large
    assert branch is not None
    assert card is not None
    detail, grid, frames = ImagePreparer(card.frame_px, "squash"), SamplingGrid(data.card.fps), []
    with open_source(str(videos / f"{name_of(videos)}.mp4"), name="x", kind="file") as source:
        while (grab := source.read()) is not None:
            if grid.accepts(grab.t_seconds):
                rgb = detail(grab.to_rgb())
                frames.append(Frame(rgb, rgb, grab.t_seconds, 0, 0, grab.index, 0))
    for row in [row for row in data.segments if row.recording == name_of(videos)][:3]:
        chosen = tuple(f for f in frames if row.start <= f.t_seconds < row.end)
        times = np.array([f.t_seconds for f in chosen])
        live = branch.score(Segment(0, "x", row.start, row.end, 0, times, chosen))
        np.testing.assert_allclose(data.large(row), live.feature, atol=1e-3)
    assert data.card.large is not None
    assert Path(data.card.large.weights).is_dir()  # not `bundle`, which means another folder here


def test_large_vectors_are_made_once_and_again_where_damaged(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    out = tmp_path / "out"

    def run(large: bool = True) -> tuple[int, int]:
        """Frames and segments that were encoded."""
        report = extract(videos, out, model=str(tiny_bundle), large=large, quiet=True)
        return sum(r.frames for r in report.recordings), sum(r.segments for r in report.recordings)

    frames, segments = run(large=False)
    assert frames > 0
    assert segments == 0
    assert not (out / "large").exists()
    assert run() == (0, len(read_feature_set(out).segments))
    assert run() == (0, 0)
    path = out / "large" / f"{name_of(videos)}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    frames, segments = run()
    assert frames == 0
    assert segments == sum(r.recording == name_of(videos) for r in read_feature_set(out).segments)
    assert path.read_bytes() == whole
    extract(videos, out, model=str(tiny_bundle), quiet=True)  # keeps what is there
    assert read_feature_set(out).large is not None


def test_a_segment_without_its_large_vector_is_named(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    extract(videos, tmp_path / "out", model=str(tiny_bundle), large=True, quiet=True)
    data = read_feature_set(tmp_path / "out")
    assert data.large is not None
    name = name_of(videos)
    with pytest.raises(DataError, match=rf"{name}\.npz has no vector .* 0\.25 to 0\.5 s.*--large"):
        data.large(SegmentRow(recording=name, start=0.25, end=0.5))
    path = tmp_path / "out" / "large" / f"{name}.npz"
    with np.load(path) as file:
        vectors, spans = file["features"], file["spans"]
    vectors[1] = np.nan
    np.savez(path, features=vectors, spans=spans)
    again = read_feature_set(tmp_path / "out").large
    assert again is not None
    with pytest.raises(DataError, match=rf"{name}\.npz: row 1 holds NaN"):
        again(data.segments[0])


def test_a_bundle_without_large_branch_is_refused(videos: Path, tmp_path: Path) -> None:
    small = build_tiny_bundle(tmp_path / "small", large=False)
    with pytest.raises(UsageError, match="tiny has no large branch"):
        extract(videos, tmp_path / "out", model=str(small), large=True, quiet=True)


def test_holoassist_s_own_tree_of_videos_is_extracted(
    videos: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    folder = published_holoassist(tmp_path / "holo")
    where = folder / "z002-02-%20Go" / "Export_py"
    where.mkdir(parents=True)
    shutil.copy(videos / f"{name_of(videos)}.mp4", where / "Video_pitchshift.mp4")
    report = extract(folder, tmp_path / "out", model=str(tiny_bundle), quiet=True)
    assert (report.encoded, report.segments) == (1, 1)
    [row] = read_feature_set(tmp_path / "out").segments
    assert (row.recording, row.label, row.end) == ("z002-02-%20Go", 1, 3.01)
    shutil.rmtree(folder / "z002-02-%20Go")
    with pytest.raises(DataError, match=r"no video of its annotation.*Export_py"):
        extract(folder, tmp_path / "none", model=str(tiny_bundle), quiet=True)


def test_a_feature_set_of_a_bundled_tower_carries_its_weights(videos: Path, tmp_path: Path) -> None:
    extract(videos, tmp_path / "out", model="workbench", quiet=True)
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert card["encoder"]["weights"] == "bundle"
    assert (tmp_path / "out" / "encoder.safetensors").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("[]", "does not describe a frame encoder"),
        (
            '{"library": "bundled", "architecture": "x", "image_px": 8, "dim": 8}',
            "give that bundle",
        ),
    ],
)
def test_a_file_that_names_no_encoder_is_refused(
    videos: Path, tmp_path: Path, text: str | None, told: str
) -> None:
    path = tmp_path / "clip.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BundleError, match=told):
        extract(videos, tmp_path / "out", model=str(path), quiet=True)


def test_an_encoder_without_a_bundle_extracts_the_same_vectors(
    videos: Path, tmp_path: Path, tiny_bundle: Path, tiny_clip: Path
) -> None:
    card = {"library": "open_clip", "architecture": "tiny", "weights": str(tiny_clip)}
    (tmp_path / "clip.json").write_text(json.dumps({**card, "image_px": 64, "dim": 32}))
    for model, out in ((str(tiny_bundle), "a"), (str(tmp_path / "clip.json"), "b")):
        extract(videos, tmp_path / out, model=model, quiet=True)
    name = f"features/{name_of(videos)}.npz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


RECIPE = """
name = "pinned"
description = "One epoch"
width = 8
epochs = 1
"""


def test_weights_that_were_exchanged_are_refused_by_every_verb(
    videos: Path, tmp_path: Path, tiny_clip: Path
) -> None:
    clip = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    encoder = {"library": "open_clip", "architecture": "tiny", "weights": "clip"}
    (tmp_path / "clip.json").write_text(json.dumps({**encoder, "image_px": 64, "dim": CLIP_DIM}))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    vectors, labelled, bundle = (tmp_path / name for name in ("vectors", "labelled", "bundle"))
    verbs = {
        "extract": ["extract", videos, "-o", vectors, "-m", tmp_path / "clip.json"],
        "train": ["train", "--recipe", tmp_path / "recipe.toml", "--data", labelled, "-o", bundle],
        "evaluate": ["evaluate", "--model", bundle, "--data", labelled],
        "replay": ["replay", videos / f"{name_of(videos)}.mp4", "--model", bundle, "--end", "2"],
    }

    def run(verb: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(word) for word in verbs[verb]])
        return done.exit_code, str(done.exception)

    assert run("extract")[0] == 0
    pinned = read_feature_set(vectors).card.encoder
    assert pinned.weights_sha256 is not None
    _write_with_encoder(labelled, pinned)
    for verb in ("train", "evaluate", "replay"):
        assert run(verb)[0] == 0, verb
    build_tiny_clip(clip, seed=1)

    for verb in verbs:
        code, told = run(verb)
        assert code != 0
        assert pinned.weights_sha256 in told, verb
        assert "now has" in told if verb == "extract" else "trained on other weights" in told


def _write_with_encoder(folder: Path, encoder: FrameEncoderCard) -> None:
    """The workshop, as if these vectors were the encoder's."""
    data = workshop()

    def track(name: str) -> Track:
        narrow = data.track(name)
        return Track(narrow.times, np.pad(narrow.vectors, ((0, 0), (0, CLIP_DIM - DIM))))

    card = msgspec.structs.replace(data.card, encoder=encoder, dim=CLIP_DIM)
    write_feature_set(folder, dataclasses.replace(data, card=card, track=track))


def test_encoders_by_a_file_go_into_the_vectors_with_their_hashes(
    videos: Path, tmp_path: Path, tiny_clip: Path, tiny_qwen: Path
) -> None:
    qwen = shutil.copytree(tiny_qwen, tmp_path / "qwen")
    (tmp_path / "tiny.toml").write_text(
        f'[frame_encoder]\nlibrary = "open_clip"\narchitecture = "tiny"\nweights = "{tiny_clip}"\n'
        f"image_px = {CLIP_PX}\ndim = {CLIP_DIM}\n"
        '[large_encoder]\nweights = "qwen"\nframes = 4\nframe_px = 64\nmax_tokens = 64\ndim = 48\n'
    )
    args = ["extract", videos, "-o", tmp_path / "out", "--encoders", tmp_path / "tiny.toml"]
    result = CliRunner().invoke(app, [str(arg) for arg in [*args, "--no-large", "--json"]])
    assert result.exit_code == 0, result.exception
    assert read_feature_set(tmp_path / "out").card.large is None
    result = CliRunner().invoke(app, [str(arg) for arg in [*args, "--json"]])
    assert result.exit_code == 0, result.exception
    card = read_feature_set(tmp_path / "out").card
    assert card.encoder.weights_sha256 is not None
    assert card.large is not None
    assert card.large.weights == str(qwen)
    assert card.large.weights_sha256 == stored_sha256(qwen)
    state = load_file(qwen / "model.safetensors")
    next(iter(state.values())).mul_(1.5)
    save_file(state, qwen / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="another large encoder"):
        extract(videos, tmp_path / "out", encoders=tmp_path / "tiny.toml", quiet=True)
