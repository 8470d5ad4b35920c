"""The folder of a feature set while it is made: what may be added to what lies there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from made_videos import FPS, ClipRange, MeanColour, begun_folder

from egomon.errors import UsageError
from egomon.train.extraction.find_videos import LabelledVideo
from egomon.train.extraction.output import ExtractionFolder
from egomon.train.extraction.partial import PartialVectors
from egomon.train.features.feature_set import DATASET_FILE, read_feature_set
from egomon.train.features.rows import SegmentRow

TIMES = np.arange(4) / FPS
VECTORS = np.arange(12, dtype=np.float16).reshape(4, 3)


def video(folder: Path, name: str = "v") -> LabelledVideo:
    path = folder / f"{name}.mp4"
    if not path.exists():
        path.write_bytes(b"video")
    return LabelledVideo(name, path, (SegmentRow(recording=name, start=0.0, end=0.4),))


def whole(**large: object) -> PartialVectors:
    return PartialVectors(TIMES, VECTORS, whole=True, **large)  # type: ignore[arg-type]


def test_a_recording_is_nothing_then_begun_then_whole(tmp_path: Path) -> None:
    folder, film = begun_folder(tmp_path / "set"), video(tmp_path)
    assert len(folder.known(film, large=False).times) == 0
    folder.save(film, PartialVectors(TIMES[:2], VECTORS[:2]))
    begun = folder.known(film, large=False)
    assert (begun.whole, begun.times.tolist()) == (False, TIMES[:2].tolist())
    folder.finish(film, whole(), large=False)
    done = folder.known(film, large=False)
    assert done.whole
    np.testing.assert_array_equal(done.vectors, VECTORS)
    assert not list((tmp_path / "set" / "partial").glob("*.npz")), "its beginning is not kept"


def test_a_changed_video_begins_anew(tmp_path: Path) -> None:
    folder, film = begun_folder(tmp_path / "set"), video(tmp_path)
    folder.save(film, PartialVectors(TIMES[:2], VECTORS[:2]))
    film.path.write_bytes(b"another video")
    assert len(folder.known(film, large=False).times) == 0


def test_large_vectors_are_known_where_they_are_asked_for(tmp_path: Path) -> None:
    folder, film = begun_folder(tmp_path / "set", ClipRange()), video(tmp_path)
    span = (0.0, 0.4)
    folder.finish(film, whole(large={span: np.ones(5, np.float32)}), large=True)
    assert list(folder.known(film, large=True).large) == [span]
    assert folder.known(film, large=False).large == {}


def test_the_index_names_what_is_there_and_clears_what_was_begun(tmp_path: Path) -> None:
    folder, films = begun_folder(tmp_path / "set"), [video(tmp_path, n) for n in "ab"]
    rows = [row for film in films for row in film.rows]
    assert folder.write_index(rows) == 0
    assert not (folder.path / DATASET_FILE).exists(), "there is no set without a recording"
    folder.finish(films[1], whole(), large=False)
    assert folder.write_index(rows) == 1
    assert read_feature_set(folder.path).recordings == ["b"]
    assert not (folder.path / "partial").exists()


def test_a_set_goes_on_with_its_own_encoders_alone(tmp_path: Path) -> None:
    begun_folder(tmp_path, ClipRange())
    card = begun_folder(tmp_path / "other").card
    encoder = card.encoder

    def begin(**changes: object) -> ExtractionFolder:
        return ExtractionFolder.begin(tmp_path, msgspec.structs.replace(card, **changes))

    assert begin().card.large == ClipRange().card, "what an earlier run made stays in the set"
    for changes, told in (
        ({"fps": 4.0}, "holds vectors of mean at 5.0 frames/s, or of another preprocessing"),
        ({"encoder": msgspec.structs.replace(encoder, image_px=8)}, "another preprocessing"),
        ({"large": ClipRange(frames=9).card}, "another large encoder or setting"),
    ):
        with pytest.raises(UsageError, match=told):
            begin(**changes)


def test_weights_that_were_not_pinned_are_pinned_by_the_next_run(tmp_path: Path) -> None:
    begun_folder(tmp_path)
    card = begun_folder(tmp_path / "other").card

    def pinned(sha256: str | None) -> ExtractionFolder:
        encoder = msgspec.structs.replace(MeanColour.card.recorded(), weights_sha256=sha256)
        return ExtractionFolder.begin(tmp_path, msgspec.structs.replace(card, encoder=encoder))

    assert pinned("aa").card.encoder.weights_sha256 == "aa"
    assert pinned("aa").card.encoder.weights_sha256 == "aa"
    with pytest.raises(UsageError, match="weights with the hash aa, but 'x' of mean now has bb"):
        pinned("bb")
