"""Frame encoders of other packages: made from the card, tried once, blamed by name."""

from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import BrightnessEncoder

from egomon.branches.bundle import libraries
from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.libraries import EncoderContext
from egomon.branches.encoders import registry
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.errors import BundleError, PluginError
from egomon.plugins import PluginRegistry
from egomon.train.teach.base import open_base

CARD = FrameEncoderCard(library="foo", architecture="mean", image_px=8, dim=2)
GIVEN: list[tuple[FrameEncoderCard, EncoderContext]] = []


def good(card: FrameEncoderCard, context: EncoderContext) -> Any:
    GIVEN.append((card, context))
    return BrightnessEncoder()


def narrow(card: FrameEncoderCard, context: EncoderContext) -> Any:
    encoder = BrightnessEncoder()
    encoder.encode = lambda images: np.zeros((len(images), 1), np.float32)  # type: ignore[method-assign]
    return encoder


def silent(card: FrameEncoderCard, context: EncoderContext) -> Any:
    encoder = BrightnessEncoder()
    encoder.encode = lambda images: None  # type: ignore[method-assign, assignment, return-value]
    return encoder


def failing(card: FrameEncoderCard, context: EncoderContext) -> Any:
    encoder = BrightnessEncoder()
    encoder.encode = lambda images: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    return encoder


def other(card: FrameEncoderCard, context: EncoderContext) -> Any:
    return SimpleNamespace(dim=2)


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a package whose entry point `foo` is a function of this module."""

    def install(function: str) -> None:
        folder = tmp_path / "egomon_foo-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: egomon-foo\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(
            f"[egomon.encoders]\nfoo = test_encoder_plugins:{function}\n"
        )
        found = tuple(PathDistribution(folder).entry_points)
        made = PluginRegistry(
            "egomon.encoders", "frame encoder", libraries.LOADERS, lambda group: found
        )
        monkeypatch.setattr(libraries, "ENCODERS", made)
        monkeypatch.setattr(registry, "ENCODERS", made)

    return install


def test_an_encoder_of_another_package_gets_card_and_context(use: Any, tmp_path: Path) -> None:
    use("good")
    encoder = build_frame_encoder(CARD, device="cpu", dtype="bfloat16", folder=tmp_path)
    assert isinstance(encoder, BrightnessEncoder)
    card, context = GIVEN.pop()
    assert card == CARD
    assert (context.folder, context.device, context.dtype) == (tmp_path, "cpu", "bfloat16")
    assert not context.weights


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("narrow", r"gives vectors of \(1, 1\) float32, not \(1, 2\) float32"),
        ("silent", r"gives vectors of None None, not \(1, 2\) float32"),
        ("failing", "cannot encode: ZeroDivisionError"),
        ("other", "gave a SimpleNamespace, which is no FrameEncoder"),
        ("missing", "cannot be loaded: AttributeError"),
    ],
)
def test_an_encoder_that_does_not_work_is_blamed_on_its_package(
    use: Any, function: str, message: str
) -> None:
    use(function)
    start = "the frame encoder 'foo' of package egomon-foo 1.0 "
    with pytest.raises(PluginError, match=f"^{start}{message}"):
        build_frame_encoder(CARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 3}, "field `frame_encoder.dim` is 3, but the frame encoder 'foo' .* has 2"),
        ({"image_px": 9}, "field `frame_encoder.image_px` is 9, but .* has 8; correct the card"),
        ({"weights_sha256": "00"}, "have an unknown hash: the vectors were"),
        ({"library": "bar"}, "'bar', but there are only dcr, foo, lite0, .*; install the package"),
    ],
)
def test_a_card_that_does_not_fit_its_encoder_is_refused_by_field(
    use: Any, changes: dict[str, Any], message: str
) -> None:
    use("good")
    fields = {"library": "foo", "architecture": "mean", "image_px": 8, "dim": 2, **changes}
    with pytest.raises(BundleError, match=message):
        build_frame_encoder(FrameEncoderCard(**fields))


def test_a_model_over_an_encoder_of_another_package_can_be_written(
    use: Any, tmp_path: Path
) -> None:
    use("hashed")
    path = tmp_path / "foo.json"
    path.write_text('{"library": "foo", "architecture": "mean", "image_px": 8, "dim": 2}')
    base = open_base(str(path))
    encoder = base.card.frame_encoder
    assert encoder == encoder.recorded()
    assert encoder.weights_sha256 == "ab" * 32


def hashed(card: FrameEncoderCard, context: EncoderContext) -> Any:
    encoder: Any = BrightnessEncoder()
    encoder.weights_sha256 = "ab" * 32
    return encoder
