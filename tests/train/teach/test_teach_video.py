from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from egomon.branches.bundle.card import BundleCard, StreamCard
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.segment_scorer import ScoredSegment, ScoringModels, SegmentScorer
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.branch import TaughtBranch
from egomon.branches.taught.corrections import Correction, log_odds_of, write_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
from egomon.errors import SourceError, UsageError
from egomon.stream.frame import Frame
from egomon.stream.segmenter import FixedWindows
from egomon.train.features.encode_video import encode_video
from egomon.train.simulator.write import write_video
from egomon.train.teach import TeachReport, teach

FPS = 8.0
SIDE = 64
PATTERNS = {
    step: np.random.default_rng(20 + i).integers(0, 256, (4, 4, 3)) for i, step in enumerate("abcx")
}
WINDOWS = StreamCard(fps=4.0, fine_frames=8, length_seconds=2.0, stride_seconds=1.0)


def film(path: Path, steps: str, seed: int) -> Path:
    """Each step is five seconds of its own blocks of colour, with noise and a bit of sway."""
    rng = np.random.default_rng(seed)

    def frames() -> Iterator[np.ndarray]:
        for step in steps:
            blocks = np.kron(PATTERNS[step], np.ones((SIDE // 4, SIDE // 4, 1)))
            for _ in range(int(5 * FPS)):
                moved = np.roll(blocks, rng.integers(-2, 3), axis=1)
                noisy = moved + rng.normal(scale=6, size=moved.shape)
                yield np.clip(noisy, 0, 255).astype(np.uint8)

    write_video(path, frames(), FPS, crf=10)  # the random encoder sees what the codec does
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [film(folder / f"right{i}.mp4", "abc", i) for i in range(3)]


def base_of(tiny: Path, folder: Path, *, limit: float, demonstration: bool = False) -> Path:
    """A copy of the tiny bundle with fixed windows and this guard limit."""
    shutil.copytree(tiny, folder)
    card = msgspec.json.decode((folder / "bundle.json").read_bytes(), type=BundleCard)
    guard = None if card.guard is None else msgspec.structs.replace(card.guard, limit=limit)
    changed = msgspec.structs.replace(
        card, stream=WINDOWS, guard=guard, demonstration=demonstration
    )
    (folder / "bundle.json").write_bytes(msgspec.json.encode(changed))
    return folder


@pytest.fixture(scope="module")
def taught(
    tiny_bundle: Path, films: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, TeachReport]:
    """Taught on a base whose guard does not know the footage."""
    folder = tmp_path_factory.mktemp("taught")
    base = base_of(tiny_bundle, folder / "base", limit=0.0)
    report = teach(films, folder / "my-work", base=str(base), force=True)
    return load_bundle(folder / "my-work"), report


def watch(bundle: Bundle, path: Path) -> list[ScoredSegment]:
    """What a live scorer makes of a video."""
    assert bundle.encoder is not None
    seen = encode_video(path, bundle.encoder, bundle.card.stream.fps)
    scorer = SegmentScorer(
        "film",
        ScoringModels(small=bundle.small, stream=bundle.card.stream, dim=bundle.encoder.dim),
        FixedWindows(length_seconds=2.0, stride_seconds=1.0, period_seconds=0.25),
    )
    pixel = np.zeros((1, 1, 3), np.uint8)
    frames = [Frame(pixel, None, float(t), 0, 0, i, 0) for i, t in enumerate(seen.times)]
    events = scorer.feed(frames, seen.vectors) + scorer.flush()
    return [e for e in events if isinstance(e, ScoredSegment)]


def test_a_bundle_comes_out_that_the_loader_accepts(taught: tuple[Bundle, TeachReport]) -> None:
    bundle, report = taught

    assert bundle.card.name == "my-work"
    assert bundle.card.small.kind == "step_filter"
    assert bundle.card.large is None
    assert bundle.card.decision.threshold_small == 0.5
    assert (report.recordings, report.steps) == (3, 3)
    assert read_graphs(bundle.folder / WORKFLOW_FILE)[0].ids == bundle.card.small.steps
    assert report.to_json()["recordings"] == 3
    assert report.table().row_count >= 6


def test_correct_work_stays_silent_and_a_skipped_step_is_named(
    taught: tuple[Bundle, TeachReport], tmp_path: Path
) -> None:
    bundle, _ = taught

    correct = watch(bundle, film(tmp_path / "correct.mp4", "abc", 9))
    skipping = watch(bundle, film(tmp_path / "skipping.mp4", "ac", 9))

    assert max(s.score.log_odds for s in correct) < 0
    worst = max(skipping, key=lambda s: s.score.log_odds)
    assert worst.score.log_odds > 0
    told = str(worst.score.reason)
    assert told.startswith("expected step 2, which has not been seen; step 3 began at 00:0")
    assert worst.score.missing_steps == ("step-2",)
    assert not any(s.score.missing_steps for s in correct)


def test_what_was_said_of_alerts_moves_the_odds_of_their_kind_alone(
    taught: tuple[Bundle, TeachReport], tmp_path: Path
) -> None:
    bundle, _ = taught
    skipping = film(tmp_path / "skipping.mp4", "ac", 9)
    before = watch(bundle, skipping)
    alert = max(before, key=lambda s: s.score.log_odds)
    assert alert.score.step is not None
    for said, kind in (("wrong", "missing"), ("missed", "missing"), ("wrong", "foreign")):
        row = Correction(said=said, kind=kind, step=alert.score.step.id)  # type: ignore[arg-type]
        folder = tmp_path / f"{said}-{kind}"
        shutil.copytree(bundle.folder, folder)
        write_corrections(folder, [row])
        changed = load_bundle(folder)
        assert changed.hash != bundle.hash
        after = {s.segment.index: s.score.log_odds for s in watch(changed, skipping)}
        moved = after[alert.segment.index] - alert.score.log_odds
        expected = log_odds_of([row], "missing", row.step)
        assert moved == pytest.approx(expected, abs=0.7 if expected else 0.05)


def test_foreign_footage_is_said_and_no_guard_swallows_foreign_work_in_it(
    taught: tuple[Bundle, TeachReport],
) -> None:
    bundle, report = taught

    assert any("not trained on footage like this" in note for note in report.notes)
    assert bundle.activity is None
    assert bundle.guard is None


def test_known_footage_is_described_by_the_bases_step_head(
    tiny_bundle: Path, films: list[Path], tmp_path: Path
) -> None:
    base = base_of(tiny_bundle, tmp_path / "base", limit=1e9)

    teach(films[:2], tmp_path / "my-work", base=str(base), name="named")

    bundle = load_bundle(tmp_path / "my-work")
    assert isinstance(bundle.small, TaughtBranch)
    assert isinstance(bundle.small.look, BaseLook)
    assert bundle.card.name == "named"
    assert bundle.card.activity_width == 8
    assert bundle.guard is not None
    assert bundle.guard.limit == 1e9
    assert len(watch(bundle, films[0])) == 15


def test_each_frame_on_the_grid_is_encoded_once(
    taught: tuple[Bundle, TeachReport], films: list[Path]
) -> None:
    encoder = taught[0].encoder
    assert encoder is not None
    shares: list[float] = []

    seen = encode_video(films[0], encoder, 4.0, shares.append)

    assert np.allclose(seen.times, np.arange(60) / 4)
    assert seen.vectors.shape == (60, encoder.dim)
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_bad_requests_are_refused_with_a_sentence(
    tiny_bundle: Path, films: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"this is no video")

    with pytest.raises(UsageError, match="at least one"):
        teach([], tmp_path / "out", base=str(tiny_bundle))
    with pytest.raises(UsageError, match="cannot name a bundle"):
        teach(films, tmp_path / "out", base=str(tiny_bundle), name="No Name!")
    with pytest.raises(SourceError):
        teach([tmp_path / "noise.mp4"], tmp_path / "out", base=str(tiny_bundle))
    with pytest.raises(UsageError, match="no such recording"):
        teach([tmp_path / "missing.mp4"], tmp_path / "out", base=str(tiny_bundle))
    assert not (tmp_path / "out").exists()
