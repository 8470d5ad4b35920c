"""From labelled vectors to a bundle and back to scores, on a workshop with a known answer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from fakes import frame
from feature_sets import DIM, ROWS, workshop, write_workshop
from safetensors.torch import save_file

from egomon.branches.bundle.card import SmallCard, StreamCard
from egomon.branches.bundle.weights import part
from egomon.branches.interfaces import SmallBranch, StepSeen
from egomon.branches.load_bundle import load_bundle, read_tensors
from egomon.branches.segment_scorer import ScoredSegment, ScoringModels, SegmentScorer
from egomon.branches.step_statistics.features import NAMES, collect
from egomon.branches.uemcm.heads import ContextBranch
from egomon.errors import BundleError, ConfigError, DataError, UsageError
from egomon.stream.segmenter import GivenSpans, Span
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.evaluation.plots import write_plots
from egomon.train.evaluation.scoring import clip_view, context_view, small_scores
from egomon.train.features.feature_set import FeatureSet, Track
from egomon.train.fitting.fit import train
from egomon.train.fitting.heads.batches import make_views, pool, stratified
from egomon.train.fitting.recipe import FOLDER, Recipe, load_recipe
from egomon.train.fitting.statistics.data import among, prepare
from egomon.train.fitting.statistics.fit import (
    StatisticsPlan,
    by_recording,
    by_workflow,
    cross_validate,
    fit_statistics,
)
from egomon.train.fitting.statistics.tables import count, reduce

STREAM = StreamCard(fps=1.0, fine_frames=16, context_frames=64)


def recipe(**changes: object) -> Recipe:
    plain = Recipe(
        name="shop", description="test", stream=STREAM, epochs=6, width=32, cv_seeds=1, batch=32
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture(scope="module")
def evidence_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence") / "bundle"
    train(recipe(kind="evidence"), workshop(), folder, quiet=True)
    return folder


def test_the_uemcm_head_learns_the_workshop_and_its_bundle_scores_the_same(
    tmp_path: Path,
) -> None:
    report = train(recipe(), workshop(), tmp_path / "b", quiet=True)
    assert report.metrics["val/roc_auc"] > 0.9
    again = evaluate_features(tmp_path / "b", workshop().split("val"))
    assert again.scores["roc_auc"] == pytest.approx(report.metrics["val/roc_auc"], abs=1e-3)
    assert again.threshold == load_bundle(tmp_path / "b").card.decision.threshold_small


def test_live_windows_are_as_long_as_the_segments_that_the_heads_were_fitted_on(
    tmp_path: Path,
) -> None:
    data = workshop()
    rows = tuple(msgspec.structs.replace(row, end=row.start + 6.4) for row in data.segments)
    longer = dataclasses.replace(data, segments=rows)
    told = train(recipe(fit_windows=True), longer, tmp_path / "b", quiet=True)
    stream = load_bundle(told.folder).card.stream
    assert (stream.length_seconds, stream.stride_seconds) == (7.0, 3.5)
    assert load_recipe("default").fit_windows


@pytest.mark.parametrize("header", ["seqTransf", "seqTransf-light"])
def test_seqtransf_is_trained_and_loaded(header: str, tmp_path: Path) -> None:
    shape = recipe(header=header, header_heads=2, header_layers=1, epochs=4)
    report = train(shape, workshop(), tmp_path / "b", quiet=True)
    held = evaluate_features(tmp_path / "b", workshop(12, seed=3))
    assert min(report.metrics["val/roc_auc"], held.scores["roc_auc"]) > 0.8


def test_a_recipe_starts_the_header_from_weights(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        vision = {"image_size": 32, "patch_size": 16, "width": 16, "head_width": 16, "layers": 1}
        text = {"context_length": 77, "vocab_size": 9, "width": DIM, "heads": 1, "layers": 1}
        clip = open_clip.CLIP(DIM, vision, text).state_dict()
    save_file({k: v.contiguous() for k, v in clip.items()}, tmp_path / "clip.safetensors")
    path = str(tmp_path / "clip.safetensors")
    shape = recipe(header="seqTransf", header_layers=1, header_start=path, epochs=1, lr=1e-9)
    train(shape, workshop(), tmp_path / "b", quiet=True)
    trained = part(read_tensors(tmp_path / "b"), "small.header.")
    found = trained["transformer.layers.0.linear1.weight"]
    np.testing.assert_allclose(found, clip["transformer.resblocks.0.mlp.c_fc.weight"], atol=1e-6)
    with pytest.raises(ConfigError, match="only seqTransf starts from weights"):
        train(recipe(header_start=path), workshop(), tmp_path / "c", quiet=True)


@pytest.mark.parametrize(
    "text",
    [
        'header = "meanP"',
        'header = "seqTransf"\nheader_width = 16\nheader_heads = 2\nheader_layers = 1',
        'kind = "evidence"',
    ],
    ids=["meanP", "seqTransf", "evidence"],
)
def test_a_recipe_from_a_file_gives_a_bundle_that_streams_as_it_was_evaluated(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'name = "mine"\ndescription = "test"\n{text}\nwidth = 32\nepochs = 2\ncv_seeds = 1\n'
        "[stream]\nfps = 1.0\nfine_frames = 16\ncontext_frames = 64\n"
    )
    train(path, workshop(), tmp_path / "b", quiet=True)
    bundle, data = load_bundle(tmp_path / "b"), workshop(4, seed=7)
    small, stream = bundle.small, bundle.card.stream
    expected = np.array([score.log_odds for score in small_scores(small, stream, data)])
    assert np.ptp(expected) > 0.1
    streamed = [odds for name in data.recordings for odds in stream_live(small, stream, data, name)]
    assert np.allclose(streamed, expected, atol=1e-4)


def stream_live(
    small: SmallBranch, stream: StreamCard, data: FeatureSet, recording: str
) -> list[float]:
    """Log odds of one recording's segments: frames one by one through a live scorer."""
    rows = [row for row in data.segments if row.recording == recording]
    spans = [Span(row.start, row.end) for row in rows]
    parts = ScoringModels(small=small, stream=stream, dim=DIM)
    scorer = SegmentScorer("cam", parts, GivenSpans(spans, period_seconds=1.0))
    track = data.track(recording)
    events = [
        event
        for time, vector in zip(track.times, track.vectors.astype(np.float32), strict=True)
        for event in scorer.feed([frame(float(time))], vector[None])
    ]
    events += scorer.flush()
    return [event.score.log_odds for event in events if isinstance(event, ScoredSegment)]


def test_only_a_header_with_positions_learns_the_direction_of_a_movement(tmp_path: Path) -> None:
    found = {}
    plain = recipe(epochs=30, patience=30, lr=3e-3)
    shapes = {
        "meanP": plain,
        **{
            header: msgspec.structs.replace(plain, header=header, header_heads=2, header_layers=1)
            for header in ("seqTransf", "seqTransf-light")
        },
    }
    for header, shape in shapes.items():
        train(shape, movements(64), tmp_path / header, quiet=True)
        held = evaluate_features(tmp_path / header, movements(seed=1))
        found[header] = held.scores["roc_auc"]
    assert found["meanP"] < 0.7
    assert min(found["seqTransf"], found["seqTransf-light"]) > 0.9


def movements(recordings: int = 32, seed: int = 0) -> FeatureSet:
    """The workshop's segments, each a move from one look to another; a mistake goes backwards."""
    data, generator = workshop(recordings), np.random.default_rng(seed)
    first, last = np.random.default_rng(98).normal(size=(2, DIM))
    tracks, rows = {}, []
    for name in data.recordings:
        vectors = []
        for row in (r for r in data.segments if r.recording == name):
            wrong = bool(generator.random() < 0.5)
            there = np.linspace(1.0, 0.0, 6)[:, None]
            move = there * first + (1 - there) * last
            vectors.append(move[::-1] if wrong else move)
            rows.append(msgspec.structs.replace(row, label=int(wrong)))
        noisy = np.concatenate(vectors) + 0.15 * generator.normal(size=(24, DIM))
        tracks[name] = Track(np.arange(24, dtype=np.float64), noisy.astype(np.float16))
    return dataclasses.replace(data, segments=tuple(rows), track=lambda name: tracks[name])


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(recipe(epochs=2), workshop(), tmp_path / name, quiet=True)
    first, second = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("a", "b"))
    assert first == second


def test_the_card_tells_the_spread_of_seeds_and_holds_the_first(tmp_path: Path) -> None:
    shape = recipe(epochs=2)
    told = train(shape, workshop(), tmp_path / "three", seeds=3, quiet=True).metrics
    single = train(shape, workshop(), tmp_path / "one", quiet=True).metrics
    each = [
        train(shape, workshop(), tmp_path / "x", seed=k, quiet=True).metrics["val/roc_auc"]
        for k in range(3)
    ]
    assert told["val/seeds"] == 3
    assert told["val/roc_auc_mean_of_seeds"] == pytest.approx(np.mean(each), abs=1e-3)
    assert told["val/roc_auc_sd_of_seeds"] == pytest.approx(np.std(each), abs=1e-3)
    assert told["val/roc_auc"] == single["val/roc_auc"] == each[0]
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("three", "one")]
    assert weights[0] == weights[1]
    with pytest.raises(UsageError, match="--seeds 0"):
        train(shape, workshop(), tmp_path / "x", seeds=0, quiet=True)


def test_seeds_of_the_kind_evidence_are_its_cross_validations(tmp_path: Path) -> None:
    told = train(recipe(kind="evidence"), workshop(), tmp_path / "b", seeds=2, quiet=True).metrics
    assert told["cv/seeds"] == 2
    assert "cv/roc_auc_sd_of_seeds" in told
    assert "new_workflow/roc_auc" not in told  # there is one workflow


def test_few_recordings_are_fitted_and_too_few_are_refused(tmp_path: Path) -> None:
    shape = recipe(kind="evidence")
    told = train(shape, workshop(4), tmp_path / "b", quiet=True)  # without one there is one class
    assert np.isfinite(list(told.metrics.values())).all()
    with pytest.raises(DataError, match=r"3 recordings.*needs 4"):
        train(shape, workshop(3), tmp_path / "b", quiet=True)


def test_a_single_recording_gives_no_interval(evidence_bundle: Path) -> None:
    one = evaluate_features(evidence_bundle, workshop().select(["rec01"]))
    assert all(np.isnan(low) and np.isnan(high) for low, high in one.intervals.values())
    assert one.to_json()["intervals"]["roc_auc"] == [None, None]
    assert "No interval" in str(one.table().caption)
    two = evaluate_features(evidence_bundle, workshop().select(["rec01", "rec03"]))
    assert np.isfinite(two.intervals["roc_auc"]).all()


def test_evidence_finds_order_mistakes_in_new_recordings(evidence_bundle: Path) -> None:
    report = evaluate_features(evidence_bundle, workshop(16, seed=5))
    assert report.scores["roc_auc"] > 0.95
    assert report.by_tag["order"] > 0.9
    without = evaluate_features(evidence_bundle, workshop(16, seed=5), context="none")
    assert without.scores["roc_auc"] < report.scores["roc_auc"]


def test_the_live_branch_gives_what_training_computed(evidence_bundle: Path) -> None:
    data = workshop()
    demos = prepare(data)
    fitted = fit_statistics(demos, StatisticsPlan(), 0)
    scores = small_scores(load_bundle(evidence_bundle).small, STREAM, data)
    live = np.array([score.log_odds for score in scores])
    for recording in demos.recordings:
        assert np.allclose(live[recording.numbers], fitted.score(recording), atol=1e-3)


def test_evidence_counts_what_is_usual_at_a_step_and_what_makes_a_mistake_of_it() -> None:
    """In the workshop, press before turn is the mistake."""
    demos = prepare(workshop())
    tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
    press, turn = demos.steps.index("press"), demos.steps.index("turn")
    assert tables.risk_undone[turn, press] > 1
    assert tables.risk_done[turn, press] < -1
    assert tables.pace[press, 0] == pytest.approx(2, abs=0.2)
    rows = {
        r.name: dict(zip(NAMES, collect(tables, r.unit, r.spans, r.seconds)[0][1], strict=False))
        for r in demos.recordings
    }
    right, swapped = rows["rec00"], rows["rec01"]
    assert swapped["risk"] > right["risk"] + 1
    assert swapped["done_z"] < -1 < right["done_z"]


def test_lengths_count_in_seconds_whatever_the_number_of_rows() -> None:
    data = workshop()
    thinned = {
        name: Track(data.track(name).times[::ROWS], data.track(name).vectors[::ROWS])
        for name in data.recordings
    }  # one row a segment, as sets of step vectors have it
    demos = prepare(dataclasses.replace(data, track=lambda name: thinned[name]))
    tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
    recording = demos.recordings[0]
    assert recording.spans == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert np.allclose(tables.log_seconds, np.log(ROWS))
    usual, beliefs = collect(tables, recording.unit, recording.spans, recording.seconds)
    assert (beliefs.argmax(axis=1) == recording.step).all()
    slow = [(start, end + 60 * (start == ROWS)) for start, end in recording.seconds]
    found = collect(tables, recording.unit, recording.spans, slow)[0]
    column = NAMES.index("duration_z")
    assert found[1, column] > usual[1, column] + 2
    assert np.allclose(found[0], usual[0])  # what comes later changes nothing


def test_the_report_says_on_how_many_recordings_the_heads_were_fitted(
    evidence_bundle: Path, tmp_path: Path
) -> None:
    report = evaluate_features(evidence_bundle, workshop(30))
    assert report.to_json()["recordings_fitted_on"] == 24  # the other six are new
    assert "Fitted on 24 of these 30 recordings" in str(report.table().caption)
    train(recipe(epochs=1), workshop(), tmp_path / "b", quiet=True)
    held = evaluate_features(tmp_path / "b", workshop().split("val"))
    assert held.fitted_on == 0
    assert "Fitted" not in str(held.table().caption)
    assert evaluate_features(tmp_path / "b", workshop().split("train")).fitted_on == 18


def test_evidence_never_looks_ahead(evidence_bundle: Path) -> None:
    small, data = load_bundle(evidence_bundle).small, workshop(4, seed=2)
    row, track = data.segments[1], data.track("rec00")
    early = small.score(clip_view(track, row, STREAM), context_view(track, row, STREAM))
    cut = msgspec.structs.replace(row)
    short = type(track)(track.times[:12], track.vectors[:12])
    late = small.score(clip_view(short, cut, STREAM), context_view(short, cut, STREAM))
    np.testing.assert_allclose(early.logits, late.logits, atol=1e-6)


def test_a_repeated_step_is_told_as_the_reason_or_the_order(evidence_bundle: Path) -> None:
    small, data = load_bundle(evidence_bundle).small, workshop(8, seed=4)
    track, reasons = data.track("rec01"), []
    seen: list[StepSeen] = []
    for row in [r for r in data.segments if r.recording == "rec01"]:
        context = context_view(track, row, STREAM, steps=tuple(seen))
        score = small.score(clip_view(track, row, STREAM), context)
        assert score.step is not None
        assert score.step.text == row.text
        seen.append(StepSeen(score.step, row.start, row.end))
        reasons.append(score.reason)
    assert reasons[0] is None
    assert any(reason is not None and "step" in reason for reason in reasons)


def test_an_evidence_bundle_with_a_wrong_table_is_refused(evidence_bundle: Path) -> None:
    from egomon.branches.bundle.weights import part
    from egomon.branches.load_bundle import read_tensors
    from egomon.branches.step_statistics.branch import StepStatisticsBranch

    card = load_bundle(evidence_bundle).card
    tensors = part(read_tensors(evidence_bundle), "small.")
    with pytest.raises(BundleError, match=r"tables\.need"):
        StepStatisticsBranch.load(card, {**tensors, "tables.need": np.zeros((3, 3))})
    with pytest.raises(BundleError, match=r"tables\.workflow"):
        StepStatisticsBranch.load(card, {**tensors, "tables.workflow": np.full(4, 9.0)})
    del tensors["psi.weight"]
    with pytest.raises(BundleError, match=r"psi\.weight"):
        StepStatisticsBranch.load(card, tensors)


def test_out_of_fold_scores_do_not_see_their_recording() -> None:
    """Labels that are coin flips a recording must not be recovered."""
    data = workshop(20)
    coins = np.random.default_rng(0).integers(0, 2, 20)
    rows = tuple(
        msgspec.structs.replace(r, label=int(coins[int(r.recording[3:])])) for r in data.segments
    )
    demos = prepare(type(data)(data.card, rows, data.track, data.where))
    scores = cross_validate(demos, StatisticsPlan(), by_recording(demos, 0))
    y = np.array([r.label for r in rows])
    gap = scores[y == 1].mean() - scores[y == 0].mean()
    assert gap < 0.5 * scores.std()


def test_frames_outside_all_segments_are_the_background_that_is_counted() -> None:
    data = workshop()
    first = {row.recording: row for row in reversed(data.segments)}
    rest = tuple(row for row in data.segments if row is not first[row.recording])
    for segments, least, most in ((rest, 0.9, 1.0), (data.segments, 0.0, 0.0)):
        demos = prepare(dataclasses.replace(data, segments=segments))
        tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
        recording = demos.recordings[0]
        found = collect(tables, recording.unit, recording.spans, recording.seconds)[0]
        before, sofar = (found[:, NAMES.index(f"background_{n}")] for n in ("before", "sofar"))
        second = len(segments) == len(data.segments)  # then row 1 is the second step too
        assert least <= before[int(second)] <= most
        assert (np.diff(sofar) <= 0).all()


def test_labels_of_a_fold_change_nothing_of_its_scores() -> None:
    """Neither counts nor weights nor choices may see them."""
    data = workshop(20)
    demos = prepare(data)
    fold = by_recording(demos, 0)
    turned = [
        dataclasses.replace(r, y=1 - r.y) if fold[r.name] == 0 else r for r in demos.recordings
    ]
    plan = StatisticsPlan()
    before = cross_validate(demos, plan, fold)
    after = cross_validate(dataclasses.replace(demos, recordings=turned), plan, fold)
    held = np.array([fold[row.recording] == 0 for row in data.segments])
    assert np.array_equal(before[held], after[held])
    assert not np.allclose(before[~held], after[~held])


def test_a_workflow_that_is_left_out_leaves_nothing_behind() -> None:
    data = workshop(12)
    rows = tuple(
        msgspec.structs.replace(row, workflow="bench" if row.recording < "rec06" else "desk")
        for row in data.segments
    )
    demos = prepare(dataclasses.replace(data, segments=rows))
    fold = by_workflow(demos)
    assert {fold[f"rec{k:02d}"] for k in range(6)} == {0}
    rest = among(demos, {name for name, own in fold.items() if own != 0})
    assert rest.workflows == ("desk",)
    assert len(rest.steps) == 4
    assert max(int(r.step.max()) for r in rest.recordings) == 3
    assert [rest.steps[k] for k in rest.recordings[0].step] == [
        demos.steps[k] for k in demos.recordings[6].step
    ]


def test_weights_lean_on_the_prior_of_a_recipe_as_much_as_the_penalty_says() -> None:
    demos = prepare(workshop())
    prior = {"risk": (0.7, -0.2)}
    stiff = fit_statistics(demos, StatisticsPlan((1e-6,), (0.25,), prior, 1e-6)).weight
    now, earlier = NAMES.index("risk"), len(NAMES) + NAMES.index("risk")
    assert (stiff[now], stiff[earlier]) == pytest.approx((0.7, -0.2), abs=1e-2)
    assert np.abs(np.delete(stiff, [now, earlier])).max() < 1e-2
    free = fit_statistics(demos, StatisticsPlan((1.0,), (0.25,), prior, 1e-6)).weight
    assert free[now] == pytest.approx(0.7, abs=1e-2)
    assert np.abs(free - stiff).max() > 0.1  # the others are as free as the penalty lets them
    loose = fit_statistics(demos, StatisticsPlan((1e-6,), (0.25,), prior, 1.0)).weight
    assert abs(loose[now] - 0.7) > 0.1
    with pytest.raises(ConfigError, match="statistic 'risks'"):
        StatisticsPlan(prior={"risks": (1.0, 0.0)}).centre()


def test_pooled_views_give_the_head_the_same_logits_as_whole_clips() -> None:
    data = workshop(6)
    views = make_views(data, STREAM)
    torch.manual_seed(0)
    head = ContextBranch(DIM, SmallCard(width=8)).eval()
    numbers = np.arange(len(data.segments))
    with torch.inference_mode():
        whole = head(*views.batch(numbers)).logits
        pooled = head(*pool(views).batch(numbers)).logits
    assert torch.allclose(whole, pooled, atol=1e-5)


def test_every_batch_holds_mistakes_and_every_segment_comes_once() -> None:
    y = np.zeros(500, np.int64)
    y[:25] = 1
    batches = list(stratified(y, 16, 3, np.random.default_rng(0)))
    assert min(int(y[b].sum()) for b in batches) >= 3
    assert set(np.concatenate([b[:16] for b in batches])) == set(range(500))


def test_offline_context_sees_the_whole_recording_and_none_sees_nothing() -> None:
    data = workshop(4)
    row, track = data.segments[0], data.track("rec00")
    lengths = {
        mode: len(context_view(track, row, STREAM, mode).times)  # type: ignore[arg-type]
        for mode in ("causal", "offline", "none")
    }
    assert lengths == {"causal": 6, "offline": 24, "none": 0}
    with pytest.raises(UsageError, match="--context 'all'"):
        evaluate_features("none", data, context="all")


def test_the_report_carries_trivial_rows_intervals_and_plain_json(
    evidence_bundle: Path, tmp_path: Path
) -> None:
    report = evaluate_features(evidence_bundle, write_workshop(tmp_path / "set", 12))
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told["n"] == 48
    assert {
        "positives",
        "roc_auc",
        "pr_auc",
        "holoassist_f",
        "macro_f1",
        "mistake_precision",
        "mistake_recall",
        "ece",
        "eda",
        "micro_auc",
        "brier",
    } <= set(told)
    assert set(told["trivial"]) == {"always", "never", "prior", "clock", "repeat_last (oracle)"}
    assert told["trivial"]["always"]["mistake_recall"] == 1.0
    low, high = told["intervals"]["roc_auc"]
    assert low <= told["roc_auc"] <= high
    assert report.table().row_count > 6
    paths = write_plots(report, tmp_path / "plots", "svg")
    assert all(path.stat().st_size > 1000 for path in paths)


def test_a_set_of_another_encoder_is_refused(evidence_bundle: Path, tmp_path: Path) -> None:
    folder = write_workshop(tmp_path / "set", 4)
    card = json.loads((folder / "dataset.json").read_text())
    card["dim"] = card["encoder"]["dim"] = 8
    (folder / "dataset.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="8 numbers"):
        evaluate_features(evidence_bundle, folder)


def test_bundled_recipes_are_valid_and_a_wrong_key_is_named(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.toml"):
        assert load_recipe(path.stem).description
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "x"\ndescription = "y"\nlearning_rate = 1.0\n')
    with pytest.raises(ConfigError, match="learning_rate"):
        load_recipe(bad)
    with pytest.raises(ConfigError, match="bundled: "):
        load_recipe("nothing")
