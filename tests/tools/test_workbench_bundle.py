"""The shipped demonstration bundle, through the real replay path, on fresh recordings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tools.make_workbench.encode_recordings import read_frames

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.out_of_domain.distance import MahalanobisGuard
from egomon.train.simulator import MISTAKES, SEEN, record, simulate
from egomon.train.simulator.write import write_video

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "video"
sys.path.insert(0, str(ROOT / "benchmarks"))

import workbench as benchmark  # noqa: E402


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("workbench")


def vectors(bundle: Bundle, images: list[np.ndarray]) -> np.ndarray:
    assert bundle.encoder is not None
    return bundle.encoder.encode(np.stack([bundle.encoder.prepare(image) for image in images]))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_card_says_plainly_that_it_is_a_demonstration(bundle):
    card = bundle.card
    assert "demonstration" in card.description.lower()
    assert "rendered" in card.description
    assert card.licence == "Apache-2.0"
    assert card.data[0].licence == "Apache-2.0"
    assert card.metrics
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    assert size < 14e6, "the weights once for torch, once for ONNX Runtime"


def test_frames_of_a_decoded_video_look_to_the_tower_like_the_rendered_ones(bundle, tmp_path):
    made = record(SEEN[1], np.random.default_rng(4242), 0.2, 8.0)
    rendered = list(made.frames(224))
    write_video(tmp_path / "a.mp4", rendered, 8.0)
    decoded = [image for _, image in read_frames(tmp_path / "a.mp4")]
    assert len(decoded) == len(rendered)
    found = cosines(vectors(bundle, decoded[::8]), vectors(bundle, rendered[::8]))
    shuffled = cosines(vectors(bundle, decoded[::8]), vectors(bundle, rendered[::8])[::-1])
    assert np.median(found) > 0.95
    assert np.median(found) > np.median(shuffled) + 0.1


def test_noise_and_a_gradient_are_out_of_domain(bundle):
    guard = bundle.guard
    assert isinstance(guard, MahalanobisGuard)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(16)]
    ramp = np.linspace(0, 255, 224).astype(np.uint8)
    flat = [np.broadcast_to(ramp[:, None, None], (224, 224, 3)).copy() for _ in range(16)]
    for clip in (noise, flat):
        assert guard.distance(vectors(bundle, clip)) > guard.limit


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fresh_recordings_are_judged_well_and_the_guard_lets_them_pass(bundle, tmp_path):
    simulate(tmp_path, 31_337, 8.0, mistake_rate=0.3)
    measured = benchmark.measure(bundle, tmp_path)
    assert measured.steps_seen / measured.steps > 0.97
    assert measured.foreign / measured.windows < 0.02
    table = measured.table()
    assert table["small"]["workflow"] > 0.9
    assert table["gate"]["all"] > 0.85
    assert measured.f1 > 0.6


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", ["assembly.mp4", "bike_repair.mp4", "box.mp4", "cooking.mp4", "cup.mp4", "damaged.avi"]
)
def test_real_video_is_foreign_in_every_window_and_raises_no_alert(bundle, name):
    if not (REAL / name).exists():
        pytest.skip(f"{REAL / name} is not there: the shared videos are needed")
    heard = benchmark.replay(bundle, REAL / name)
    assert not heard.alerts
    assert all(segment.out_of_domain for segment in heard.segments)
    guard = bundle.guard
    assert guard is not None
    images = [image for _, image in read_frames(REAL / name)]
    frames = vectors(bundle, images)
    windows = [frames[i : i + 16] for i in range(0, max(1, len(frames) - 15), 8)]
    assert min(guard.distance(window) for window in windows) > guard.limit


@pytest.mark.parametrize("name", ["bench.mp4", "bench-missed.mp4"])
def test_the_example_video_holds_the_mistakes_that_its_file_names(name):
    lines = (ROOT / "examples" / "bench.segments.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["recording"] == name]
    kinds = [tag for row in rows for tag in row["tags"] if tag in MISTAKES]
    assert len(kinds) == sum(row["label"] for row in rows) >= 3
    times = [t for t, _ in read_frames(ROOT / "examples" / name)]
    assert times[-1] >= max(row["end"] for row in rows) - 0.2
    assert (ROOT / "examples" / name).stat().st_size < 1.5e6
