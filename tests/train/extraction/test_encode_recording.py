"""One pass over a video gives the vectors of both branches, and goes on where it was cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_videos import FPS, ClipRange, MeanColour, begun_folder, grey_video, labelled

from egomon.errors import DataError, SourceError, SourceLostError
from egomon.train.extraction import encode_recording as module
from egomon.train.extraction.encode_recording import CHECKPOINT_SECONDS, ExtractionStopped
from egomon.train.extraction.extract_worker import ExtractOptions, ExtractWorker, Listener
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.partial import partial_path
from egomon.train.extraction.run_record import RecordingResult
from egomon.train.features.large_vectors import read_large

SPANS = [(2.0, 4.0), (0.0, 1.0), (0.5, 3.0), (1.01, 1.02), (0.0, 4.0)]
BATCH = 4


def run(
    out: Path,
    video: LabelledVideo,
    encoder: MeanColour | None = None,
    embedder: ClipRange | None = None,
    *,
    listener: Listener | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    **options: Any,
) -> RecordingResult:
    folder = begun_folder(out, embedder)
    chosen = ExtractOptions(batch=BATCH, **options)
    with ExtractWorker(folder, encoder or MeanColour(), embedder, chosen, clock) as worker:
        return worker.extract(video, listener or Listener())


def arrays(out: Path, name: str = "v") -> dict[str, bytes]:
    return {
        kind: (out / kind / f"{name}.npz").read_bytes()
        for kind in ("features", "large")
        if (out / kind).is_dir()
    }


def test_overlapping_unsorted_and_frameless_segments_get_their_own_frames(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    embedder = ClipRange()
    result = run(tmp_path / "out", video, embedder=embedder)
    assert (result.frames, result.segments) == (20, 5)
    vectors = read_large(tmp_path / "out", "v", embedder.card)
    darkest, brightest, count, first, last = np.array([vectors[span] for span in SPANS]).T
    np.testing.assert_allclose(darkest, [80, 0, 24, 40, 0], atol=3)
    np.testing.assert_allclose(brightest, [152, 32, 112, 40, 152], atol=3)
    assert count.tolist() == [4, 4, 4, 1, 4]
    np.testing.assert_allclose(first, [0, 0, 0.1, -0.01, 0], atol=1e-4)
    np.testing.assert_allclose(last, [1.8, 0.8, 2.3, -0.01, 3.8], atol=2e-3)


def test_a_video_is_opened_once_for_both_branches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = module.open_source

    def counted(reference: str, **options: Any) -> Any:
        opened.append(Path(reference).name)
        return real(reference, **options)

    monkeypatch.setattr(module, "open_source", counted)
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    run(tmp_path / "out", video, embedder=ClipRange())
    assert opened == ["v.mp4"]
    kept = run(tmp_path / "out", video, embedder=ClipRange())
    assert (kept.state, kept.frames, opened) == ("kept", 0, ["v.mp4"])


def test_clips_are_embedded_in_batches_in_the_order_in_which_they_end(tmp_path: Path) -> None:
    spans = [(0.1 * k, 0.1 * k + 1.0) for k in range(5)]
    embedder = ClipRange()
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *spans)
    folder = begun_folder(tmp_path / "out", embedder)
    with ExtractWorker(folder, MeanColour(), embedder, ExtractOptions(batch=16)) as worker:
        worker.extract(video, Listener())
    assert embedder.batches == [2, 2, 1]


@pytest.mark.parametrize("fails_after", [0, 8, 16])
def test_an_interrupted_recording_goes_on_within_itself_and_gives_the_same(
    tmp_path: Path, fails_after: int
) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    run(tmp_path / "whole", video, embedder=ClipRange())
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="no more"):
        run(out, video, MeanColour(fails_after), ClipRange())
    assert not (out / "features").exists()
    assert partial_path(out, "v").is_file()
    encoder = MeanColour()
    again = run(out, video, encoder, ClipRange())
    # Another thread may have failed at an earlier batch than the last that was encoded.
    assert encoder.frames == again.frames <= 20 - max(0, fails_after - BATCH)
    assert arrays(out) == arrays(tmp_path / "whole")
    assert not partial_path(out, "v").exists()


def test_work_is_saved_now_and_then(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    now = [0.0]
    saved = []

    def on_frames(count: int) -> None:
        now[0] += CHECKPOINT_SECONDS / 4
        saved.append(partial_path(tmp_path / "out", "v").is_file())

    run(tmp_path / "out", video, listener=Listener(on_frames=on_frames), clock=lambda: now[0])
    assert saved[:4] == [False] * 4
    assert all(saved[4:])
    assert len(saved) == 20


def test_a_run_that_is_stopped_saves_and_says_so(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    listener = Listener()
    listener.stop.set()
    with pytest.raises(ExtractionStopped, match="v is not finished"):
        run(tmp_path / "out", video, listener=listener)
    assert partial_path(tmp_path / "out", "v").is_file()


def test_what_is_saved_for_another_video_is_not_used(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    with pytest.raises(RuntimeError):
        run(tmp_path / "out", video, MeanColour(8))
    grey_video(tmp_path / "v.mp4", 30)
    encoder = MeanColour()
    run(tmp_path / "out", labelled(video.path, (0.0, 1.0)), encoder)
    assert encoder.frames == 15


def test_large_vectors_are_added_without_encoding_frames_again(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    run(tmp_path / "whole", video, embedder=ClipRange())
    run(tmp_path / "out", video)
    encoder = MeanColour()
    added = run(tmp_path / "out", video, encoder, ClipRange())
    assert (encoder.frames, added.segments) == (0, 5)
    assert arrays(tmp_path / "out") == arrays(tmp_path / "whole")
    more = labelled(video.path, *SPANS, (3.0, 3.9))
    embedder = ClipRange()
    run(tmp_path / "out", more, encoder, embedder)
    assert embedder.batches == [1]


def test_vectors_of_another_video_are_refused(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), *SPANS)
    run(tmp_path / "out", video)
    for frames in (30, 50):
        grey_video(tmp_path / "v.mp4", frames)
        with pytest.raises(DataError, match=r"v\.mp4 has other frames than its vectors .*'v'"):
            run(tmp_path / "out", labelled(video.path, *SPANS), embedder=ClipRange())


def test_a_video_that_ends_before_its_segments_is_damaged(tmp_path: Path) -> None:
    video = labelled(grey_video(tmp_path / "v.mp4", 40), (0.0, 1.0), (9.0, 10.0))
    with pytest.raises(SourceError, match=r"ends at 3\.9 s, but a segment begins at 9\.0.*--skip"):
        run(tmp_path / "out", video)
    skipped = run(tmp_path / "out", video, skip_damaged=True)
    assert skipped.state == "skipped"
    assert "begins at 9.0 s" in skipped.reason
    assert "--skip" not in skipped.reason


def test_a_file_that_is_no_video_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video at all" * 100)
    shares: list[tuple[str, float]] = []
    listener = Listener(on_share=lambda name, share: shares.append((name, share)))
    video = labelled(tmp_path / "v.mp4", (0.0, 1.0))
    result = run(tmp_path / "out", video, listener=listener, skip_damaged=True)
    assert (result.state, shares) == ("skipped", [("v", 1.0)])
    with pytest.raises(SourceError) as raised:
        run(tmp_path / "out", video)
    assert raised.value.exit_code == SourceLostError.exit_code == 3


def test_rows_are_those_of_the_sampling_grid(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, labelled(grey_video(tmp_path / "v.mp4", 40), (0.0, 1.0)))
    with np.load(out / "features" / "v.npz") as file:
        np.testing.assert_allclose(file["times"], np.arange(20) / FPS, atol=1e-9)
        np.testing.assert_allclose(file["features"][:, 0], 8.0 * np.arange(20), atol=3)
