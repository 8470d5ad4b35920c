"""Which base teaching starts from, and which files cannot be one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from feature_sets import ENCODER

from egomon.branches.bundle.card import BundleCard, SmallCard, StreamCard
from egomon.errors import BundleError, UsageError
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach import choose_base as module
from egomon.train.teach.base import LITE0, Base, open_base
from egomon.train.teach.choose_base import (
    FIRST_CHOICE,
    LOOK_SECONDS,
    choose_base,
    encode_recordings,
)

CARD = BundleCard(
    name="x",
    description="",
    created="",
    egomon_version="",
    licence="",
    frame_encoder=ENCODER,
    small=SmallCard(),
    stream=StreamCard(fps=5.0),
)
GUARDED = Base(CARD, object(), Path(), {}, object(), None)  # type: ignore[arg-type]
FILMS = [Path("first.mp4"), Path("second.mp4")]


class Bench:
    """Stands for what opens bases, encodes videos and judges them; notes what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, foreign: bool, guard: bool = True):
        self.opened: list[str] = []
        self.encoded: list[tuple[Any, ...]] = []

        def open_base(ref: str) -> Base:
            self.opened.append(ref)
            return GUARDED if guard else replace(GUARDED, guard=None)

        def encode_video(path: Path, encoder: object, fps: float, *tell: Any, **how: Any) -> Any:
            self.encoded.append((path.name, fps, how))
            if tell:
                tell[0](0.5)
            return RecordingVectors(path.name, np.arange(3.0), np.ones((3, 2), np.float32))

        monkeypatch.setattr(module, "open_base", open_base)
        monkeypatch.setattr(module, "encode_video", encode_video)
        monkeypatch.setattr(module, "is_foreign", lambda base, looks: foreign)


def test_footage_that_the_first_choice_knows_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, foreign=False)
    assert choose_base(None, FILMS) is GUARDED
    assert bench.opened == [FIRST_CHOICE]
    assert bench.encoded == [("first.mp4", 5.0, {"until_seconds": LOOK_SECONDS})], (
        "only the beginning of the first"
    )


def test_other_footage_goes_to_the_general_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, foreign=True)
    choose_base(None, FILMS)
    assert bench.opened == [FIRST_CHOICE, LITE0]


def test_a_base_that_was_asked_for_is_refused_rather_than_exchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, foreign=True)
    with pytest.raises(UsageError, match=r"first\.mp4 is another kind of footage than base mine"):
        choose_base("mine", FILMS)
    assert bench.opened == ["mine"]


def test_force_takes_it_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, foreign=True)
    assert choose_base("mine", FILMS, force=True) is GUARDED
    assert bench.encoded == []
    choose_base(None, FILMS, force=True)
    assert bench.opened == ["mine", FIRST_CHOICE, LITE0], "nothing was asked for: choose as usual"


def test_a_base_without_a_guard_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, foreign=True, guard=False)
    assert choose_base("lite0", FILMS).guard is None
    assert bench.encoded == []


def test_every_recording_is_encoded_and_the_share_is_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, foreign=False)
    told: list[tuple[str, float]] = []
    found = encode_recordings(FILMS, GUARDED, None, lambda what, share: told.append((what, share)))
    assert [recording.name for recording in found] == ["first.mp4", "second.mp4"]
    assert [fps for _, fps, _ in bench.encoded] == [5.0, 5.0]
    assert told == [("encoding first.mp4", 0.25), ("encoding second.mp4", 0.75)]


def described(path: Path, **fields: object) -> str:
    plain: dict[str, object] = {
        "library": "timm", "architecture": "x", "image_px": 8, "dim": 4, "weights": "w"
    }  # fmt: skip
    path.write_text(json.dumps(plain | fields))
    return str(path)


@pytest.mark.parametrize(
    "fields", [{"library": "none"}, {"library": "bundled"}, {"weights": "bundle"}]
)
def test_an_encoder_whose_weights_lie_in_a_bundle_is_no_base(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    with pytest.raises(BundleError, match="weights that lie in a bundle; give that bundle"):
        open_base(described(tmp_path / "e.json", **fields))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        (b"{", "does not describe a frame encoder"),
        (b'{"library": "timm"}', "does not describe a frame encoder"),
    ],
)
def test_a_file_that_describes_no_encoder_is_named(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "e.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=told) as caught:
        open_base(str(path))
    assert str(path) in str(caught.value)


def test_the_general_encoder_says_all_of_its_preprocessing() -> None:
    base = open_base(LITE0)
    assert base.guard is None
    assert base.tensors == {}
    assert base.card.stream.fps == 4.0
    encoder = base.card.frame_encoder
    assert encoder.weights_sha256 is not None
    assert encoder == encoder.recorded()
    assert msgspec.json.encode(base.card)
    picture = base.encoder.prepare(np.zeros((48, 64, 3), np.uint8))
    assert base.encoder.encode(picture[None]).shape == (1, base.encoder.dim)
