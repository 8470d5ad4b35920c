"""Recipes: what the bundled ones train, what they leave to the data, and the context they take."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from feature_sets import DIM, ENCODER, with_large, workshop

from egomon.branches.bundle.card import (
    BundleCard,
    FrameEncoderCard,
    GuardCard,
    SmallCard,
    StreamCard,
)
from egomon.branches.load_bundle import load_bundle
from egomon.branches.out_of_domain.distance import MahalanobisGuard
from egomon.cli.app import app
from egomon.errors import BundleError, ConfigError, DataError, UsageError
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.evaluation.scoring import clip_view, context_view, mode_of
from egomon.train.features.feature_set import FeatureSet, Track
from egomon.train.features.write_feature_set import write_feature_set
from egomon.train.fitting.domain import MARGIN, QUANTILE, _clips, fit_domain
from egomon.train.fitting.fit import train
from egomon.train.fitting.heads.batches import make_views
from egomon.train.fitting.recipe import FOLDER, Recipe, load_recipe
from egomon.train.fitting.record import TrainRecord, describe_data

STREAM = StreamCard(fps=1.0, fine_frames=16, context_frames=64)


def quick(name: str) -> Recipe:
    """A bundled recipe, small and short."""
    return msgspec.structs.replace(
        load_recipe(name), epochs=1, width=8, large_width=8, gate_width=4, fit_windows=False
    )


def both() -> FeatureSet:
    return with_large(workshop(12))


@pytest.mark.parametrize("name", ["paper", "default"])
def test_both_branches_and_the_gate_are_trained_where_the_vectors_are(
    name: str, tmp_path: Path
) -> None:
    told = train(quick(name), both(), tmp_path / "b", quiet=True)
    card = load_bundle(tmp_path / "b", with_encoder=False).card
    assert card.large is not None
    assert card.gate is not None
    assert set(told.evaluation.branches) == {"small", "large", "fused"}


def test_without_large_vectors_paper_says_what_makes_them_and_default_trains_one_branch(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"recipe paper trains both.*extract VIDEOS -o workshop --"):
        train("paper", workshop(12), tmp_path / "b", quiet=True)
    assert not (tmp_path / "b").exists()
    train(quick("default"), workshop(12), tmp_path / "b", quiet=True)
    assert load_bundle(tmp_path / "b", with_encoder=False).card.large is None


def test_members_keep_the_large_branch_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    several = msgspec.structs.replace(quick("default"), members=2)
    train(several, both(), tmp_path / "b", quiet=True)
    assert load_bundle(tmp_path / "b", with_encoder=False).card.large is None
    off = msgspec.structs.replace(quick("default"), large=False)
    train(off, both(), tmp_path / "b", quiet=True)
    assert load_bundle(tmp_path / "b", with_encoder=False).card.large is None


def test_paper_is_the_published_setting_and_nothing_more() -> None:
    paper = load_recipe("paper")
    assert (paper.batch, paper.epochs, paper.lr, paper.stream.fine_frames) == (128, 5, 1e-5, 32)
    assert paper.lambdas == (1.0, 1.0, 1.0)
    extras = (paper.auxiliary, paper.branch_dropout, paper.step_weight, paper.at_least)
    assert extras == (0, 0, 0, 0)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_bundled_recipe_is_read(path: Path) -> None:
    assert load_recipe(path.stem).context_mode == "causal"


@pytest.mark.parametrize(
    ("line", "mode"),
    [("true", "causal"), ("false", "none"), ('"offline"', "offline"), ('"none"', "none")],
)
def test_the_context_of_a_recipe_has_a_name(line: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'name = "r"\ndescription = "d"\ncontext = {line}\n')
    assert load_recipe(path).context_mode == mode
    path.write_text('name = "r"\ndescription = "d"\ncontext = "future"\n')
    with pytest.raises(ConfigError, match=r"r\.toml.*\$\.context"):
        load_recipe(path)


def test_a_recipe_of_ones_own_changes_a_bundled_one(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('base = "paper"\nlr = 1e-3\n[stream]\ncontext_from = "recording_start"\n')
    paper, mine = load_recipe("paper"), load_recipe(path)
    stream = msgspec.structs.replace(paper.stream, context_from="recording_start")
    assert mine == msgspec.structs.replace(paper, lr=1e-3, stream=stream)
    for bad in ('"papers"', '"../recipes/paper"', "3", '"."'):
        path.write_text(f"base = {bad}\n")
        with pytest.raises(ConfigError, match=r"no bundled recipe; there are: captaincook4d"):
            load_recipe(path)


def told_later(recordings: int = 24, seed: int = 0) -> FeatureSet:
    """Mistakes that only show after the last segment, where nothing live can know of them."""
    data, generator = workshop(recordings, seed, odd_look=0.0), np.random.default_rng(seed)
    sign = np.random.default_rng(97).normal(size=DIM)
    rows, tracks = [], {}
    for name in data.recordings:
        wrong = int(generator.random() < 0.5)
        own = [row for row in data.segments if row.recording == name]
        rows += [msgspec.structs.replace(row, label=wrong, tags=()) for row in own]
        after = generator.normal(size=(24, DIM)) * 0.15 + (2 * wrong - 1) * sign
        stacked = np.concatenate([data.track(name).vectors, after]).astype(np.float16)
        tracks[name] = Track(np.arange(48, dtype=np.float64), stacked)
    return replace(data, segments=tuple(rows), track=lambda name: tracks[name])


def test_an_offline_bundle_is_trained_and_evaluated_with_what_comes_after(tmp_path: Path) -> None:
    shape = Recipe(
        name="shop", description="t", stream=STREAM, epochs=8, width=16, batch=32, context="offline"
    )
    told = train(shape, told_later(), tmp_path / "b", quiet=True)
    assert told.evaluation.context == "offline"
    card = load_bundle(tmp_path / "b").card
    assert card.stream.context_until == "recording_end"
    assert mode_of(card.stream) == "offline"
    assert "no live use can have" in card.notes
    new = told_later(12, seed=5)
    as_trained = evaluate_features(tmp_path / "b", new)
    assert as_trained.context == "offline"
    assert as_trained.scores["roc_auc"] > 0.95
    assert evaluate_features(tmp_path / "b", new, context="causal").scores["roc_auc"] < 0.7


def test_the_command_chooses_the_context_and_a_causal_bundle_cannot_look_ahead(
    tmp_path: Path,
) -> None:
    data = write_feature_set(tmp_path / "set", told_later())
    (tmp_path / "r.toml").write_text(
        'name = "r"\ndescription = "d"\nepochs = 4\nwidth = 16\nbatch = 32\n'
        "[stream]\nfps = 1.0\nfine_frames = 16\ncontext_frames = 64\n"
    )
    found = {}
    for mode in ("offline", "causal", "none"):
        args = ["train", "-r", tmp_path / "r.toml", "--data", data, "-o", tmp_path / mode]
        done = CliRunner().invoke(app, [*map(str, args), "--context", mode, "--json"])
        assert done.exit_code == 0, done.exception
        found[mode] = json.loads(done.stdout)["held_out"]["roc_auc"]
    assert found["offline"] > 0.95
    assert max(found["causal"], found["none"]) < 0.8
    assert not load_bundle(tmp_path / "none").card.small.context
    assert load_bundle(tmp_path / "none").card.stream.context_until == "segment_end"
    with pytest.raises(UsageError, match="--context 'later' is not one of"):
        train(tmp_path / "r.toml", data, tmp_path / "x", context="later", quiet=True)


def test_statistics_refuse_what_comes_after(tmp_path: Path) -> None:
    shape = Recipe(name="e", description="t", kind="evidence", stream=STREAM, context="offline")
    with pytest.raises(ConfigError, match=r"context = 'offline', but the kind evidence"):
        train(shape, workshop(), tmp_path / "b", quiet=True)


def test_training_views_end_where_the_card_says() -> None:
    data = told_later(2)
    row, track = data.segments[1], data.track(data.segments[1].recording)
    ends = {}
    for until in ("segment_start", "segment_end", "recording_end"):
        stream = msgspec.structs.replace(STREAM, context_until=until)
        view = context_view(track, row, stream)
        ends[until] = float(view.times[-1])
        views = make_views(replace(data, segments=(row,)), stream)
        assert views.coarse.shape[1] == len(view.times)
        assert len(clip_view(track, row, stream).times) == 6
    assert ends == {"segment_start": 5.0, "segment_end": 11.0, "recording_end": 47.0}


def test_the_record_tells_how_a_bundle_was_made(tmp_path: Path) -> None:
    data = both()
    train(quick("paper"), data, tmp_path / "b", seeds=2, command="egomon train x", quiet=True)
    record = msgspec.json.decode((tmp_path / "b/train_record.json").read_bytes(), type=TrainRecord)
    assert record.command == "egomon train x"
    assert record.recipe.lr == 1e-5
    assert record.recipe.large is True
    assert [fit.seed for fit in record.fits] == [0, 1]
    [epoch] = record.fits[0].epochs
    assert epoch.loss > 0
    assert epoch.pr_auc == pytest.approx(
        load_bundle(tmp_path / "b", with_encoder=False).card.metrics["val/fused_pr_auc"], abs=1e-4
    )
    assert set(record.versions) == {"python", "egomon", "numpy", "torch"}
    assert record.data == describe_data(data)
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in data.segments)
    assert record.data.segments_sha256 == hashlib.sha256(lines).hexdigest()
    # The record is no part of the model: alerts of the same weights carry the same id.
    before = load_bundle(tmp_path / "b", with_encoder=False).model_id
    (tmp_path / "b" / "train_record.json").unlink()
    assert load_bundle(tmp_path / "b", with_encoder=False).model_id == before


def test_the_hashes_of_data_follow_labels_frames_and_large_vectors() -> None:
    data = both()
    told = describe_data(data)
    assert describe_data(both()) == told
    rows = (msgspec.structs.replace(data.segments[0], label=1), *data.segments[1:])
    relabelled = describe_data(replace(data, segments=rows))
    assert relabelled.mistakes == told.mistakes + 1
    assert relabelled.segments_sha256 != told.segments_sha256
    assert relabelled.vectors_sha256 == told.vectors_sha256
    other = describe_data(replace(data, track=workshop(12, seed=1).track))
    assert other.vectors_sha256 != told.vectors_sha256
    assert describe_data(with_large(workshop(12), seed=3)).large_sha256 != told.large_sha256
    assert describe_data(workshop(12)).large_sha256 is None


def seen_by_a_camera(recordings: int = 12, seed: int = 0) -> FeatureSet:
    """The workshop with an encoder that can see videos."""
    data = workshop(recordings, seed)
    card = FrameEncoderCard(
        library="timm", architecture="x", weights="pretrained", image_px=8, dim=DIM
    ).recorded()
    return replace(data, card=msgspec.structs.replace(data.card, encoder=card))


@pytest.mark.parametrize("kind", ["uemcm", "evidence"])
def test_a_trained_bundle_knows_its_domain(kind: str, tmp_path: Path) -> None:
    shape = Recipe(
        name="shop", description="t", kind=kind, stream=STREAM, epochs=1, width=8, cv_seeds=1
    )  # type: ignore[arg-type]
    train(shape, seen_by_a_camera(), tmp_path / "b", quiet=True)
    guard = load_bundle(tmp_path / "b", with_encoder=False).guard
    assert guard is not None
    new = workshop(4, seed=8)
    far = np.random.default_rng(0).normal(size=(8, DIM)).astype(np.float32) * 3
    near = [guard.distance(new.track(n).vectors[:2].astype(np.float32)) for n in new.recordings]
    assert max(near) < guard.limit < guard.distance(far)


def test_the_limit_comes_from_recordings_that_a_fit_had_left_out() -> None:
    data = seen_by_a_camera()
    found = fit_domain(data)
    assert found is not None
    # What the guard itself was fitted on is closer than anything new: the limit is beyond that.
    guard = MahalanobisGuard.load(bundle_card(found[0].limit), found[1])
    own = [guard.distance(clip) for name in data.recordings for clip in _clips(data.track(name))]
    assert found[0].limit > MARGIN * float(np.quantile(own, QUANTILE))
    assert fit_domain(replace(data, card=workshop(2).card)) is None


def test_one_strange_moment_does_not_blind_the_guard() -> None:
    data = seen_by_a_camera(10)
    plain = fit_domain(data)
    first = data.track("rec00")
    dazzled = first.vectors.copy()
    dazzled[:2] = 40.0
    track = Track(first.times, dazzled)
    found = fit_domain(replace(data, track=lambda n: track if n == "rec00" else data.track(n)))
    assert plain is not None
    assert found is not None
    assert found[0].limit < 1.5 * plain[0].limit


def bundle_card(limit: float) -> BundleCard:
    return BundleCard(
        name="x", description="", created="", egomon_version="", licence="",
        frame_encoder=ENCODER, small=SmallCard(), guard=GuardCard(limit=limit),
    )  # fmt: skip


def test_exchanged_weights_of_the_large_encoder_stop_a_training(
    tmp_path: Path, tiny_qwen: Path
) -> None:
    data = both()
    card = data.card.large
    assert card is not None
    pinned = msgspec.structs.replace(card, weights=str(tiny_qwen), weights_sha256="0" * 64)
    with pytest.raises(BundleError, match="extract and train again"):
        train(
            quick("paper"),
            replace(data, card=msgspec.structs.replace(data.card, large=pinned)),
            tmp_path / "b",
            quiet=True,
        )
