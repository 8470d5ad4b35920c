"""`encoders.toml`: presets, what is written is what is read, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from egomon.branches.bundle.card import FrameEncoderCard, LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.bundle.encoders_file import PRESETS, preset_text, read_encoders
from egomon.cli.app import app
from egomon.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "encoders.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_writes_is_read_back(name: str, tmp_path: Path) -> None:
    found = read_encoders(written(tmp_path, preset_text(name)))
    assert found == PRESETS[name]
    large = found.large_encoder
    assert large is not None
    # Qwen's own least size makes 144 tokens of a pair of frames.
    assert visual_tokens(large) == 16 * 144 == large.max_tokens


def test_every_written_field_has_a_comment() -> None:
    lines = [line for line in preset_text("paper").splitlines() if " = " in line]
    assert len(lines) == 14
    assert all("  # " in line for line in lines)


def test_the_presets_are_towers_that_the_libraries_know() -> None:
    import open_clip
    import timm

    for preset in PRESETS.values():
        card = preset.frame_encoder
        if card.library in ("open_clip", "dcr"):
            config = open_clip.get_model_config(card.architecture)
            assert (config["embed_dim"], config["vision_cfg"]["image_size"]) == (
                card.dim,
                card.image_px,
            )
        if card.library == "open_clip":
            tags = open_clip.list_pretrained_tags_by_model(card.architecture)
            assert card.weights in tags
        if card.library == "timm":
            assert timm.is_model(card.architecture.partition(".")[0])
            assert timm.get_pretrained_cfg(card.architecture).input_size[1] == card.image_px


def test_folders_beside_the_file_become_full_paths(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "files").mkdir()
    text = preset_text("paper").replace("dcr-clip-vit-large-patch14", "../clip")
    found = read_encoders(written(tmp_path / "files", text))
    assert found.frame_encoder.weights == str(tmp_path / "clip")
    assert found.large_encoder is not None
    assert found.large_encoder.weights == "Qwen/Qwen3-VL-Embedding-2B"  # a hub id stays one


def test_preprocessing_and_a_file_without_a_large_encoder(tmp_path: Path) -> None:
    text = (
        '[frame_encoder]\nlibrary = "timm"\narchitecture = "x"\nweights = "pretrained"\n'
        'image_px = 224\ndim = 8\ncrop = "letterbox"\nmean = [0.5, 0.5, 0.5]\n'
    )
    found = read_encoders(written(tmp_path, text))
    assert found.frame_encoder == FrameEncoderCard(
        library="timm", architecture="x", weights="pretrained", image_px=224, dim=8,
        crop="letterbox", mean=(0.5, 0.5, 0.5),
    )  # fmt: skip
    assert found.large_encoder is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_px = 224", "picture_px = 224", r"unknown field `picture_px`.*egomon models new"),
        ("[large_encoder]", "[big_encoder]", "unknown field `big_encoder`"),
        ("image_px = 224", 'image_px = "big"', r"Expected `int`, got `str`.*frame_encoder.image_"),
        ("frames = 32", "frames = 31", "`large_encoder.frames` is 31, but frames go in pairs"),
        ("frame_px = 384", "frame_px = 400", "`large_encoder.frame_px` is 400, not a multiple"),
        ("max_tokens = 2304", "max_tokens = 100", "`large_encoder.max_tokens` is 100, but 32"),
        ('weights = "dcr-', 'weights = "../../', r"must not contain '\.\.'"),
        ('"dcr-clip-vit-large-patch14"', '"bundle"', "only a bundle's own card may say"),
        ('library = "dcr"', 'library = "none"', "which only a bundle can have"),
        ("[frame_encoder]", "[frame_encoder", "is no TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_field(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    text = preset_text("paper")
    assert old in text
    with pytest.raises(ConfigError, match=message) as told:
        read_encoders(written(tmp_path, text.replace(old, new, 1)))
    assert str(tmp_path / "encoders.toml") in str(told.value)


def test_the_command_writes_once_and_names_the_presets(tmp_path: Path) -> None:
    out = str(tmp_path / "mine.toml")
    run = CliRunner()
    assert run.invoke(app, ["models", "new", "--preset", "siglip2", "-o", out]).exit_code == 0
    assert tomllib.loads(Path(out).read_text())["frame_encoder"]["weights"] == "webli"
    again = run.invoke(app, ["models", "new", "-o", out])
    assert "is there already" in str(again.exception)
    unknown = run.invoke(app, ["models", "new", "--preset", "clip", "-o", out + "2"])
    assert "no preset is called 'clip'; there are: paper, paper-8b, clip-b32" in str(
        unknown.exception
    )
    with pytest.raises(ConfigError, match=r"cannot be read.*egomon models new"):
        read_encoders(tmp_path / "none.toml")


def test_a_large_encoder_alone_is_no_file_of_encoders(tmp_path: Path) -> None:
    text = '[large_encoder]\nweights = "x"\ndim = 8\n'
    with pytest.raises(ConfigError, match="missing required field `frame_encoder`"):
        read_encoders(written(tmp_path, text))
    assert LargeEncoderCard(weights="x", dim=8).frames == 32


def test_teaching_can_begin_with_such_a_file(tmp_path: Path, tiny_clip: Path) -> None:
    from egomon.train.teach.base import open_base, open_encoders

    path = written(
        tmp_path,
        f'[frame_encoder]\nlibrary = "open_clip"\narchitecture = "tiny"\nweights = "{tiny_clip}"\n'
        "image_px = 64\ndim = 32\n",
    )
    base = open_base(str(path))
    assert base.encoder.dim == 32
    assert base.card.frame_encoder.weights_sha256 == open_encoders(path).encoder.weights_sha256  # type: ignore[attr-defined]
    assert base.card.large is None
