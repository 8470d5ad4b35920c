"""Clips of the video's own frames: the same in a stored video and live."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from made_videos import ClipRange, MeanColour, begun_folder, labelled

from egomon.branches.bundle.locate import CARD_FILE, parse_card
from egomon.branches.frame_sampling import spread_indices
from egomon.branches.interfaces import Float32
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.cli.app import app
from egomon.stream.frame import Detail, Frame
from egomon.train.extraction.extract_worker import ExtractOptions, ExtractWorker, Listener
from egomon.train.extraction.source_clips import SourceClipCollector
from egomon.train.features.large_vectors import read_large
from egomon.train.features.rows import SegmentRow

SPANS = [(0.5, 2.0), (1.0, 1.2), (2.25, 4.5), (3.01, 3.02), (4.0, 5.9)]


def wide_video(path: Path, frames: int = 180, rate: int = 30) -> Path:
    """64 x 32 at 30 frames a second, brightness grows by one."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options={"qp": "0"})
        stream.width, stream.height = 64, 32
        stream.pix_fmt = "yuv444p"
        for k in range(frames):
            image = np.full((32, 64, 3), 40 + k, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def as_frames(times: Sequence[float], every: int) -> list[Frame]:
    """Every so many-th is sampled; the others lie between."""
    frames, between = [], []
    for k, t in enumerate(times):
        image = np.full((2, 2, 3), k, np.uint8)
        if k % every:
            between.append(Detail(t, image))
            continue
        frames.append(Frame(image, image, t, 0, 0, k, 0, between=tuple(between)))
        between = []
    return frames


@pytest.mark.parametrize("seed", range(8))
def test_choosing_while_reading_is_choosing_from_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.005, 0.12, 200))
    spans = [(a, a + b) for a, b in rng.uniform((0, 0.01), (times[-9], 3), (12, 2))]
    rows = [SegmentRow(recording="v", start=a, end=b) for a, b in spans]
    collector, clips = SourceClipCollector(rows, 8), {}
    for frame in as_frames(times.tolist(), 7):
        wanted = tuple(d for d in frame.between if collector.wants(d.t_seconds))
        assert len(wanted) <= len(frame.between)
        sparse = Frame(frame.image, frame.detail, frame.t_seconds, 0, 0, 0, 0, between=wanted)
        clips |= {clip.span: clip for clip in collector.push(sparse)}
    clips |= {clip.span: clip for clip in collector.finish()}
    known = times[: 1 + 7 * ((len(times) - 1) // 7)]  # what follows the last sampled one is lost
    for span in spans:
        expected = spread_indices(known, *span, 8)
        found = [int(image[0, 0, 0]) for image in clips[span].images]
        if len(expected):
            assert found == expected.tolist()
            np.testing.assert_allclose(clips[span].seconds, known[expected] - span[0])
        else:
            assert found == [max(k for k in range(0, len(known), 7) if known[k] < span[1])]


def test_a_short_action_gets_more_frames_than_the_grid_has(tmp_path: Path) -> None:
    video = labelled(wide_video(tmp_path / "v.mp4"), (1.0, 1.5))
    counts = {}
    for sampling in ("grid", "source"):
        embedder = ClipRange(frames=32, sampling=sampling)
        folder = begun_folder(tmp_path / sampling, embedder)
        with ExtractWorker(folder, MeanColour(), embedder, ExtractOptions()) as worker:
            worker.extract(video, Listener())
        vectors = read_large(folder.path, "v", embedder.card)
        counts[sampling] = int(vectors[(1.0, 1.5)][2])
    assert counts == {"grid": 3, "source": 15}


def test_an_interrupted_recording_gives_the_same_clips(tmp_path: Path) -> None:
    video = labelled(wide_video(tmp_path / "v.mp4"), *SPANS)
    for out, fails in (("whole", None), ("cut", 24)):
        embedder = ClipRange(frames=8, sampling="source")
        folder = begun_folder(tmp_path / out, embedder)
        options = ExtractOptions(batch=8)
        if fails is not None:
            with (
                pytest.raises(RuntimeError),
                ExtractWorker(folder, MeanColour(fails), embedder, options) as worker,
            ):
                worker.extract(video, Listener())
        with ExtractWorker(folder, MeanColour(), embedder, options) as worker:
            worker.extract(video, Listener())
    for name in ("large/v.npz", "features/v.npz"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("sampling", "crop", "rules"),
    [("source", "letterbox", "official"), ("grid", "squash", "fixed")],
)
def test_live_and_stored_give_the_large_encoder_the_same_frames(
    tmp_path: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampling: str,
    crop: str,
    rules: str,
) -> None:
    model = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    card = parse_card((model / CARD_FILE).read_bytes(), "card")
    assert card.large is not None
    large = msgspec.structs.replace(
        card.large, sampling=sampling, crop=crop, rules=rules, frame_px=384, max_tokens=288
    )
    card = msgspec.structs.replace(card, large=large)
    (model / CARD_FILE).write_bytes(msgspec.json.encode(card))
    videos = tmp_path / "videos"
    videos.mkdir()
    wide_video(videos / "v.mp4")
    spans = [(0.5, 2.0), (2.25, 4.5), (4.5, 5.5)]
    lines = [f'{{"recording": "v", "start": {a}, "end": {b}, "label": 0}}' for a, b in spans]
    (videos / "segments.jsonl").write_text("\n".join(lines))
    seen: list[tuple[list[float], bytes, tuple[int, ...]]] = []
    real = Qwen3VLEmbedder.embed

    def spy(self: Qwen3VLEmbedder, clips: Any, times: Any) -> Float32:
        for clip, seconds in zip(clips, times, strict=True):
            pixels = np.stack(clip)
            seen.append(([round(t, 6) for t in seconds], pixels.tobytes(), pixels.shape))
        return real(self, clips, times)

    def run(*words: object) -> list[tuple[list[float], bytes, tuple[int, ...]]]:
        seen.clear()
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.exception
        return sorted(seen)

    monkeypatch.setattr(Qwen3VLEmbedder, "embed", spy)
    stored = run("extract", videos, "-o", tmp_path / "f", "-m", model, "--large", "--json")
    table = videos / "segments.jsonl"
    given = ("--policy", "given", "--segments-file", table, "--speed", "max", "--json")
    live = run("replay", videos / "v.mp4", "--model", model, *given)
    assert len(stored) == 3
    assert live == stored
    times, pixels, shape = stored[-1]
    assert shape[1:] == (384, 384, 3)
    bars = np.frombuffer(pixels, np.uint8).reshape(shape)[:, :90]
    assert (bars.max() == 0) == (crop == "letterbox")
    assert len(times) == card.large.frames
