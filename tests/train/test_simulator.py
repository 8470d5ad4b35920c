import collections
import json
from pathlib import Path

import av
import numpy as np
import pytest
from tools.make_workbench.networks.vocabulary import NUMBER

from egomon.errors import UsageError
from egomon.train.simulator import EXECUTION, MISTAKES, SEEN, UNSEEN, record, simulate
from egomon.train.simulator.annotate import PORT, caption, state, things
from egomon.train.simulator.plan import PlannedStep, missing, plan
from egomon.train.simulator.record import RenderedRecording
from egomon.train.simulator.shapes import PARTS
from egomon.train.simulator.write import SPLITS, splits_of

RECIPES = SEEN + UNSEEN


def recording(seed: int = 3, mistake_rate: float = 0.3, fps: float = 8.0) -> RenderedRecording:
    return record(SEEN[0], np.random.default_rng(seed), mistake_rate, fps)


def test_seen_and_unseen_workflows_differ_and_have_a_card_each():
    assert len(SEEN) >= 4
    assert len(UNSEEN) >= 4
    assert len({w.card for w in RECIPES}) == len(RECIPES)
    assert len({w.levels for w in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("recipes", [SEEN, UNSEEN])
def test_every_part_is_absent_from_exactly_one_workflow_so_none_is_more_suspect(recipes):
    absent = collections.Counter(part for w in recipes for part in w.absent)
    assert absent == dict.fromkeys(range(len(PARTS)), 1)


@pytest.mark.parametrize("workflow", RECIPES, ids=lambda w: w.name)
def test_labels_of_workflow_mistakes_follow_from_the_history_alone(workflow):
    for seed in range(300):
        done: set[int] = set()
        steps = plan(workflow, np.random.default_rng([seed, 1]), 0.4)
        later = [step.part for step in steps]
        for index, step in enumerate(steps):
            if step.part not in workflow.parts:
                truth = "wrongpart"
            elif step.part in done:
                truth = "repeat"
            elif lacking := missing(workflow, step.part, done):
                skipped = not any(part in later[index + 1 :] for part in lacking)
                truth = "skip" if skipped else "order"
            else:
                truth = "right"
            said = step.mistake if step.mistake and step.mistake not in EXECUTION else "right"
            assert said == truth
            done.add(step.part)


def test_a_plan_without_mistakes_does_every_part_once():
    for seed in range(50):
        for workflow in RECIPES:
            steps = plan(workflow, np.random.default_rng(seed), 0.0)
            assert all(step.mistake is None for step in steps)
            assert sorted(step.part for step in steps) == sorted(workflow.parts)


def test_every_kind_of_mistake_occurs_at_about_the_rate_asked_for():
    rng = np.random.default_rng(0)
    steps = [step for _ in range(2000) for step in plan(SEEN[int(rng.integers(4))], rng, 0.06)]
    kinds = collections.Counter(step.mistake for step in steps)
    assert set(kinds) == {None, *MISTAKES}
    assert 0.05 < 1 - kinds[None] / len(steps) < 0.07


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    first, again, other = (next(recording(seed).frames(64, [4.0])) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_the_scene_does_not_depend_on_the_resolution():
    big = next(recording().frames(224, [5.0])).astype(float)
    small = next(recording().frames(112, [5.0])).astype(float)
    halved = big.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.95


def test_a_frame_is_the_same_whichever_others_are_rendered():
    alone = next(recording().frames(64, [5.0]))
    among = list(recording().frames(64, [1.0, 5.0, 7.0]))[1]
    np.testing.assert_array_equal(alone, among)


def test_motion_does_not_depend_on_the_frame_rate():
    slow, fast = recording(fps=8.0), recording(fps=16.0)
    np.testing.assert_array_equal(slow.times, fast.times[::2][: len(slow.times)])
    np.testing.assert_array_equal(slow.moment(6.0).hand, fast.moment(6.0).hand)


@pytest.mark.parametrize(("kind", "sign"), [(None, 1.0), ("orient", -1.0)])
def test_a_wrongly_turned_part_points_away_from_the_notch_at_the_port(kind, sign):
    turned = []
    for seed in range(20):
        made = RenderedRecording(
            [0], [PlannedStep(seed % 8, kind)], np.random.default_rng(seed), 8.0
        )
        span = made.steps[0]
        for t in np.arange(span.t_start, span.t_end, 0.125):
            moment = made.moment(float(t))
            if moment.phase == "insert" and moment.part_at is not None:
                turned.append(state(made, moment).turned)
    assert min(sign * (value - 0.3) for value in turned) > 0


def test_an_inserted_part_vanishes_so_the_board_tells_nothing_of_the_history():
    made = RenderedRecording([0], [PlannedStep(2, None)], np.random.default_rng(1), 8.0)
    after = made.moment(made.steps[0].t_end + 0.05)
    assert after.part_at is None


def test_annotations_lie_where_the_picture_shows_the_thing():
    made = recording(7, 0.0)
    t = made.steps[0].t_start + 0.1
    places = things(made, made.moment(t), t)
    x, y = (places[PORT] * 224).astype(int)
    frame = next(made.frames(224, [t])).astype(float)
    # The port's hole is darker than the fixture around it.
    hole = frame[y - 3 : y + 4, x - 3 : x + 4].mean()
    assert hole < frame[y - 3 : y + 4, x - 24 : x - 20].mean()


def test_captions_only_use_known_words():
    rng = np.random.default_rng(0)
    for seed, kind in enumerate((None, *EXECUTION)):
        made = RenderedRecording(
            [seed], [PlannedStep(seed, kind)], np.random.default_rng(seed), 8.0
        )
        for t in made.times.tolist():
            assert set(caption(made, made.moment(t), rng).split()) <= set(NUMBER)


def test_simulate_writes_videos_and_their_segments(tmp_path):
    count = simulate(tmp_path, 5, 0.7, size_px=64, fps=8.0, mistake_rate=0.5)
    rows = [json.loads(line) for line in (tmp_path / "segments.jsonl").read_text().splitlines()]
    videos = sorted(path.name for path in tmp_path.glob("*.mp4"))
    assert len(videos) == count
    assert {row["recording"] for row in rows} == set(videos)
    assert any(row["label"] for row in rows)
    for row in rows:
        kinds = set(row["tags"]) & set(MISTAKES)
        assert len(kinds) == row["label"]
        assert 0 <= row["start"] < row["end"]
        assert row["text"].removeprefix("insert the ") in PARTS
    with av.open(str(tmp_path / videos[0])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 64, 64)
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    last = max(row["end"] for row in rows if row["recording"] == videos[0])
    assert last <= len(frames) / 8 + 0.2
    # The codec changes pixels, but not much: what is decoded is what was rendered.
    rng = np.random.default_rng([5, 0])
    made = record(SEEN[int(rng.integers(len(SEEN)))], rng, 0.5, 8.0)
    for shown, rendered in zip(frames[::40], list(made.frames(64))[::40], strict=True):
        assert np.corrcoef(shown.ravel(), rendered.ravel())[0, 1] > 0.95


def test_a_longer_run_begins_with_the_same_recordings_and_correct_only_has_no_mistakes(tmp_path):
    simulate(tmp_path / "a", 6, 0.1, size_px=32, fps=4.0)
    simulate(tmp_path / "b", 6, 0.8, size_px=32, fps=4.0)
    name = next((tmp_path / "a").glob("*.mp4")).name
    first, again = ((tmp_path / folder / name).read_bytes() for folder in "ab")
    assert first == again
    simulate(tmp_path / "c", 6, 0.8, workflows="unseen", correct_only=True, size_px=32, fps=4.0)
    rows = [json.loads(line) for line in (tmp_path / "c/segments.jsonl").read_text().splitlines()]
    assert not any(row["label"] for row in rows)
    assert {row["tags"][0] for row in rows} <= {w.name for w in UNSEEN}


@pytest.mark.parametrize("bad", [{"size_px": 63}, {"minutes": 0.0}, {"mistake_rate": 1.5}])
def test_impossible_options_are_refused_with_the_reason(tmp_path, bad):
    with pytest.raises(UsageError, match="change the option"):
        simulate(tmp_path, 1, **({"minutes": 0.1} | bad))


def pictures(path: Path) -> np.ndarray:
    """All frames of a video, (N, H, W, 3)."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def nuisances(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What should tell nothing of the label: duration, step number, colour, places."""
    facts, labels = [], []
    for seed in range(count):
        rng = np.random.default_rng([77, seed])
        made = record(SEEN[int(rng.integers(4))], rng, 0.25, 8.0)
        tone = next(made.frames(32, [made.steps[0].t_start])).mean(axis=(0, 1))
        for number, span in enumerate(made.steps):
            part = span.step.part
            facts.append(
                [
                    span.t_end - span.t_start, span.t_start, number, *tone, *made.look.bins[part],
                    *made.look.port, *made.look.part_colours[part], made.look.port_angle,
                    *np.eye(len(PARTS))[part],
                ]
            )  # fmt: skip
            labels.append(span.step.mistake is not None)
    return np.array(facts), np.array(labels)


def test_a_probe_on_nuisance_features_stays_at_chance():
    linear = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    facts, labels = nuisances(300)
    facts = preprocessing.StandardScaler().fit_transform(facts)
    half = len(labels) // 2
    probe = linear.LogisticRegression(C=0.1, max_iter=500).fit(facts[:half], labels[:half])
    found = metrics.roc_auc_score(labels[half:], probe.decision_function(facts[half:]))
    assert abs(found - 0.5) < 0.07
    durations = metrics.roc_auc_score(labels, facts[:, 0])
    assert abs(durations - 0.5) < 0.05


def test_rendering_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    count = simulate(tmp_path, seed=0, minutes=0.6, size_px=32, fps=2, progress=told.append)
    assert len(told) == count
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_validation_split_of_one_class_changes_places_with_a_recording_that_has_both() -> None:
    both, right, wrong = {True, False}, {False}, {True}
    assert splits_of([both, right, both, both, right]) == [*SPLITS]
    assert splits_of([right, both, both, right, both, right]) == (
        ["train", "val", "train", "train", "test", "train"]
    )
    assert splits_of([both, both, both, wrong]) == ["val", "train", "train", "train"]
    # Together they have both; nothing can be done where there is no other, or no mistake at all.
    assert splits_of([both] * 3 + [right] + [both] * 4 + [wrong]).count("val") == 2
    assert splits_of([both] * 3 + [right] + [both] * 4 + [wrong])[3] == "val"
    assert splits_of([right] * 5) == [*SPLITS]
    assert splits_of([both, both]) == ["train", "train"]
