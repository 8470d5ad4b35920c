from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from egomon.branches.bundle.card import StreamCard
from egomon.branches.taught.anomaly_score import NULLS
from egomon.branches.taught.descriptor import CentredLook
from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.teach import RecordingVectors, teach_from_vectors
from egomon.train.teach.one_class.build import replay
from egomon.train.teach.one_class.discover import (
    agglomerate,
    change_points,
    discover,
    pairwise_distance,
)
from egomon.train.teach.one_class.fit import TaughtWorkflow
from egomon.train.teach.one_class.reference_scores import threshold_for
from egomon.train.teach.one_class.segment_features import observe

DIM = 32
GIVEN = StreamCard(fps=2.0, policy="given")
WINDOWS = StreamCard(fps=2.0, policy="fixed", length_seconds=2.0, stride_seconds=1.0)
STEPS = "abcde"
LOOKS = dict(zip("abcdex", np.random.default_rng(7).normal(size=(6, DIM)), strict=True))


def recording(
    seed: int, steps: Sequence[str], *, given: bool = True, slow: str = ""
) -> RecordingVectors:
    """Steps of about eight seconds in a room of its own; `slow` ones take four times as long."""
    rng = np.random.default_rng(seed)
    room = rng.normal(size=DIM)
    rows, spans, frame = [], [], 0
    for step in steps:
        many = round(16 * np.exp(0.1 * rng.normal()) * (4 if step in slow else 1))
        rows.append(room + 2 * LOOKS[step] + 0.8 * rng.normal(size=(many, DIM)))
        spans.append(Span(frame / 2, (frame + many) / 2))
        frame += many
    vectors = np.concatenate(rows).astype(np.float32)
    times = np.arange(frame) / 2
    return RecordingVectors(f"r{seed}", times, vectors, tuple(spans) if given else None)


def demonstrations(count: int, *, given: bool = True) -> list[RecordingVectors]:
    orders = ("abcde", "acbde", "abcde", "acbde", "abcde")
    return [recording(100 + i, orders[i % 5], given=given) for i in range(count)]


@pytest.fixture(scope="module")
def taught() -> TaughtWorkflow:
    return teach_from_vectors(demonstrations(5), stream=GIVEN, name="abc")


def log_odds(taught: TaughtWorkflow, new: RecordingVectors) -> list[float]:
    seen = observe(new, GIVEN if new.spans else WINDOWS, taught.look)
    evidence = replay(taught.model, taught.graphs, seen)
    return [e.score - taught.model.options.threshold for e in evidence]


def test_steps_and_their_order_are_found_without_labels(taught: TaughtWorkflow) -> None:
    assert taught.report.steps == 5
    assert taught.report.step_agreement == 1.0
    needs = {s.id: set(s.after) for s in taught.graphs[0].steps}
    assert needs["step-1"] == set()
    assert needs["step-2"] == needs["step-3"] == {"step-1"}
    assert needs["step-4"] == {"step-1", "step-2", "step-3"}
    assert not any(s.optional or s.repeatable for s in taught.graphs[0].steps)


def test_correct_work_of_either_order_raises_no_alert(taught: TaughtWorkflow) -> None:
    for seed, order in enumerate(("abcde", "acbde", "abcde", "acbde")):
        assert max(log_odds(taught, recording(seed, order))) < 0


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [("abde", 2), ("acbed", 3), ("abbcde", 2), ("abxde", 2)],
    ids=["skipped", "order", "repeated", "foreign"],
)
def test_the_wrong_step_scores_highest_and_above_the_threshold(
    taught: TaughtWorkflow, steps: str, wrong: int
) -> None:
    for seed in range(5):
        odds = log_odds(taught, recording(seed, steps))

        assert odds[wrong] > 0
        assert odds[wrong] == max(odds[: wrong + 1])


def test_a_step_that_takes_much_longer_is_more_surprising(taught: TaughtWorkflow) -> None:
    usual = log_odds(taught, recording(3, "abcde"))
    slow = log_odds(taught, recording(3, "abcde", slow="c"))

    assert slow[2] > usual[2] + 0.5


def test_one_demonstration_is_enough_to_see_a_foreign_step() -> None:
    taught = teach_from_vectors(demonstrations(1), stream=GIVEN)
    foreign = log_odds(taught, recording(5, "abxde"))
    correct = log_odds(taught, recording(5, "abcde"))

    assert foreign[2] > max(correct)
    assert "add recordings" in taught.report.notes[0]
    assert taught.report.step_agreement is None


def test_windows_are_joined_into_the_same_steps() -> None:
    taught = teach_from_vectors(demonstrations(4, given=False), stream=WINDOWS)

    assert taught.report.steps == 5
    assert taught.model.options.by_time
    correct = log_odds(taught, recording(8, "abcde", given=False))
    skipping = log_odds(taught, recording(8, "abde", given=False))
    assert max(skipping) > max(correct)


def test_names_come_from_the_texts_of_given_segments() -> None:
    demos = [
        replace(d, spans=tuple(replace(s, text=t) for s, t in zip(d.spans or (), o, strict=True)))
        for d, o in zip(demonstrations(2), ("abcde", "acbde"), strict=True)
    ]

    taught = teach_from_vectors(demos, stream=GIVEN)

    assert sorted(s.name for s in taught.graphs[0].steps) == list(STEPS)


def test_teaching_twice_gives_the_same_model() -> None:
    first, second = (teach_from_vectors(demonstrations(3), stream=GIVEN) for _ in range(2))

    assert np.array_equal(first.model.looks, second.model.looks)
    assert first.graphs == second.graphs
    assert first.model.options == second.model.options
    assert all(np.array_equal(first.model.nulls[k], second.model.nulls[k]) for k in NULLS)


def test_a_smaller_budget_gives_a_higher_threshold() -> None:
    scores = np.random.default_rng(0).exponential(size=500)
    thresholds = [threshold_for(scores, allowed, 500) for allowed in (100, 10, 1, 0.1)]

    assert thresholds == sorted(thresholds)
    assert (scores >= thresholds[1]).sum() == pytest.approx(10, abs=5)


def test_no_budget_allows_alerts_on_more_than_a_tenth_of_the_work() -> None:
    scores = np.random.default_rng(0).exponential(size=500)

    assert (scores >= threshold_for(scores, 1000, 500)).sum() <= 50


def test_scores_that_run_high_on_correct_work_raise_the_threshold() -> None:
    usual = np.random.default_rng(0).exponential(size=500)

    assert threshold_for(usual + 1.0, 5, 500) == pytest.approx(threshold_for(usual, 5, 500) + 1)
    assert threshold_for(usual - 3.0, 5, 500) == threshold_for(np.empty(0), 5, 500)


def test_change_points_cut_where_the_looks_change() -> None:
    rng = np.random.default_rng(1)
    means = np.repeat(rng.normal(size=(3, 8)), (10, 6, 12), axis=0)
    looks = (means + 0.05 * rng.normal(size=means.shape)).astype(np.float32)

    assert change_points(looks).tolist() == [0] * 10 + [1] * 6 + [2] * 12
    assert set(change_points(looks[:10]).tolist()) == {0}


def test_agglomeration_merges_the_nearest_first() -> None:
    points = np.array([0.0, 0.1, 5.0, 5.1, 9.0])
    owner = np.array([0, 1, 0, 1, 0])
    labels = agglomerate(np.abs(points[:, None] - points[None]), owner, 3)

    assert len(set(labels.tolist())) == 3
    assert labels[0] == labels[1]
    assert labels[2] == labels[3]


def test_two_pieces_of_one_recording_are_kept_apart() -> None:
    distance = np.zeros((4, 4))
    distance[3, :3] = distance[:3, 3] = 1.0
    owner = np.array([0, 0, 1, 1])

    assert agglomerate(distance, owner, 2).tolist() == [0, 1, 0, 1]
    assert agglomerate(distance, np.arange(4), 2).tolist() == [0, 0, 0, 1]


def test_distant_looks_and_distant_places_lie_apart() -> None:
    looks = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    places = np.array([0.25, 0.75, 0.25])

    distance = pairwise_distance(looks, places, np.arange(3))

    assert 0 < distance[0, 1] < distance[0, 2]


def test_discovery_numbers_steps_in_their_order() -> None:
    seen = [observe(d, GIVEN, CentredLook(np.zeros(DIM, np.float32))) for d in demonstrations(3)]

    steps = discover(seen, by_time=False)

    assert steps.labels[0].tolist() == [0, 1, 2, 3, 4]
    assert steps.labels[1].tolist() == [0, 2, 1, 3, 4]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"times": np.array([0.0, 0.0])}, "frame 1 is not later"),
        ({"vectors": np.full((2, 3), np.nan, np.float32)}, "frame 0 has a value"),
        ({"times": np.arange(3.0)}, r"expected vectors \(N, D\)"),
        ({"spans": ()}, "no segment was found"),
    ],
)
def test_unusable_recordings_are_named(change: dict[str, object], told: str) -> None:
    good = RecordingVectors(
        "kitchen", np.arange(2.0), np.ones((2, 3), np.float32), (Span(0.0, 2.0),)
    )

    with pytest.raises(DataError, match=f"kitchen.*{told}"):
        teach_from_vectors([replace(good, **change)], stream=GIVEN)  # type: ignore[arg-type]


def test_no_recordings_is_refused() -> None:
    with pytest.raises(DataError, match="1 to 50"):
        teach_from_vectors([], stream=GIVEN)
