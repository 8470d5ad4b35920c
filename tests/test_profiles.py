"""Profiles lie below what the user sets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tiny_models import tiny_card

from egomon.branches.bundle.card import BundleCard, OnnxFileCard
from egomon.branches.onnx.forms import INT8
from egomon.config import load_settings
from egomon.errors import UsageError
from egomon.monitor.run_plan import make_plan
from egomon.profiles import SMALL, profile

CARD = tiny_card(Path("clip"), large=False)


def with_int8(card: BundleCard) -> BundleCard:
    pin = OnnxFileCard(sha256="0" * 64, opset=17, dtype="int8", cosine=0.999)
    return msgspec.structs.replace(card, runtime={INT8: pin})


def test_a_profile_lies_between_the_defaults_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "egomon.toml"
    path.write_text("[source]\nbuffer_mb = 99\n")
    small = profile("small", CARD)
    settings = load_settings(path, {"model": {"threads": 3}}, small)
    assert settings.source.buffer_mb == 99
    assert settings.model.threads == 3
    assert settings.source.buffer_seconds == SMALL["source"]["buffer_seconds"]
    assert settings.model.most_fps == 2.0
    assert load_settings(path).model.most_fps is None


def test_int8_is_taken_where_the_encoder_has_it() -> None:
    assert profile("small", with_int8(CARD))["model"]["dtype"] == "int8"
    assert "dtype" not in profile("small", CARD)["model"]
    assert "dtype" not in SMALL["model"]


def test_another_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="not one of: small"):
        profile("tiny", CARD)


@pytest.mark.parametrize(("most", "fps"), [(2.0, 2.0), (50.0, 4.0), (None, 4.0)])
def test_frames_are_encoded_at_most_so_often(
    tiny_bundle: Path, most: float | None, fps: float
) -> None:
    from egomon.branches.load_bundle import load_bundle

    settings = load_settings(None, {"model": {"most_fps": most}})
    assert make_plan(load_bundle(tiny_bundle), settings).stream.fps == fps
