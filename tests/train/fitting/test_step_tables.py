"""Counts of steps, order and durations, each beside a value that was worked out by hand."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from feature_sets import DIM, ENCODER, workshop

from egomon.errors import DataError
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow
from egomon.train.fitting.statistics.data import Demonstrations, among, prepare
from egomon.train.fitting.statistics.tables import (
    FAULTY_WEIGHT,
    NO_BACKGROUND,
    RATE_PSEUDO,
    count,
    reduce,
)

LOOKS = np.random.default_rng(5).normal(size=(4, DIM))
Visit = tuple[str, float, int]
"""Step, its seconds, and 1 for a mistake."""


def shown(recordings: dict[str, list[Visit]], workflow: str = "w") -> FeatureSet:
    """A frame a second; each step has a look of its own."""
    rows, tracks = [], {}
    for name, visits in recordings.items():
        at, vectors = 0.0, []
        for step, seconds, wrong in visits:
            rows.append(
                SegmentRow(
                    recording=name, start=at, end=at + seconds, label=wrong, text=step,
                    workflow=workflow,
                )
            )  # fmt: skip
            vectors += [LOOKS[ord(step) - ord("a")]] * int(seconds)
            at += seconds
        noise = 0.05 * np.random.default_rng(len(tracks)).normal(size=(len(vectors), DIM))
        seen = (np.array(vectors) + noise).astype(np.float32)
        tracks[name] = Track(np.arange(len(vectors), dtype=np.float64), seen)
    card = DatasetCard(name="x", licence="", encoder=ENCODER, fps=1.0, dim=DIM)
    return FeatureSet(card, tuple(rows), lambda name: tracks[name], "here")


RIGHT: list[Visit] = [("a", 4, 0), ("b", 8, 0), ("c", 2, 0)]
MADE = shown({"r0": RIGHT, "r1": RIGHT, "r2": [("a", 4, 0), ("c", 2, 1), ("b", 8, 0)]})


@pytest.fixture(scope="module")
def demos() -> Demonstrations:
    return prepare(MADE)


def test_steps_are_in_the_order_of_their_names_and_segments_in_that_of_time(
    demos: Demonstrations,
) -> None:
    assert (demos.steps, demos.workflows) == (("a", "b", "c"), ("w",))
    swapped = demos.recordings[2]
    assert swapped.step.tolist() == [0, 2, 1]
    assert swapped.spans == [(0, 4), (4, 6), (6, 14)]
    assert swapped.y.tolist() == [0, 1, 0]
    np.testing.assert_allclose(np.linalg.norm(swapped.unit, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(swapped.scatter, swapped.unit.T @ swapped.unit, rtol=1e-5)


def test_places_in_the_set_are_kept_though_rows_come_in_another_order() -> None:
    turned = dataclasses.replace(MADE, segments=MADE.segments[::-1])
    last = prepare(turned).recordings[2]
    assert [turned.segments[k].text for k in last.numbers] == ["a", "c", "b"]


def test_a_segment_without_a_name_is_told_by_number() -> None:
    data = workshop(2)
    nameless = (*data.segments[:3], msgspec.structs.replace(data.segments[3], text=""))
    with pytest.raises(DataError, match=r"segment 4 \(rec00\) has no text or no workflow"):
        prepare(dataclasses.replace(data, segments=nameless))


def test_the_same_step_of_two_workflows_is_two_steps() -> None:
    first, second = shown({"r0": RIGHT}), shown({"s0": RIGHT}, workflow="v")
    both = dataclasses.replace(
        first,
        segments=(*first.segments, *second.segments),
        track=lambda name: (first if name == "r0" else second).track(name),
    )
    found = prepare(both)
    assert found.steps == ("a", "b", "c", "a (2)", "b (2)", "c (2)")
    assert found.workflow.tolist() == [0, 0, 0, 1, 1, 1]
    assert [found.workflows[k] for k in (0, 1)] == ["v", "w"]
    alone = among(found, {"r0"})
    assert (alone.workflows, alone.workflow.tolist()) == (("w",), [0, 0, 0])
    assert alone.recordings[0].step.tolist() == [0, 1, 2]


def test_the_order_is_a_share_of_recordings_and_faulty_ones_count_less(
    demos: Demonstrations,
) -> None:
    need = count(demos, reduce(demos, demos.recordings), demos.recordings).need
    whole = 2 + FAULTY_WEIGHT
    assert need[1, 2] == pytest.approx(2 / (whole + 0.5)), "b before c in the two right ones"
    assert need[2, 1] == pytest.approx(FAULTY_WEIGHT / (whole + 0.5))
    assert need[0, 1] == pytest.approx(whole / (whole + 0.5)), "a before b in all"
    assert (need[:, 0] == 0).all(), "nothing before a"


def test_rates_lean_on_the_mean_rate(demos: Demonstrations) -> None:
    tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
    usual = 1 / 9
    assert tables.rate[2] == pytest.approx((1 + RATE_PSEUDO * usual) / (3 + RATE_PSEUDO))
    assert tables.rate[0] == pytest.approx((0 + RATE_PSEUDO * usual) / (3 + RATE_PSEUDO))


def test_durations_lean_on_those_of_all_steps(demos: Demonstrations) -> None:
    tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
    mean = np.log([4, 8, 2]).mean()
    for step, seconds in enumerate((4, 8, 2)):
        expected = (3 * np.log(seconds) + 2 * mean) / 5
        assert tables.log_seconds[step] == pytest.approx(expected)
        spread = 3 * (np.log(seconds) - expected) ** 2 + 0.8
        assert tables.log_seconds_sd[step] == pytest.approx(np.sqrt(spread / 5))


def test_a_step_that_comes_too_early_risks_more_while_the_other_is_undone(
    demos: Demonstrations,
) -> None:
    tables = count(demos, reduce(demos, demos.recordings), demos.recordings)
    assert tables.risk_undone[1, 2] > 0 > tables.risk_done[1, 2]
    # `a` always came before: its having been done tells nothing but the rate.
    assert abs(tables.risk_done[0, 1]) < tables.risk_undone[1, 2]


def test_sets_of_segments_alone_have_no_background(demos: Demonstrations) -> None:
    space = reduce(demos, demos.recordings)
    assert space.rows == 4.0, "the median segment"
    assert count(demos, space, demos.recordings).background.tolist() == [NO_BACKGROUND]
    gaps = dataclasses.replace(MADE, segments=tuple(r for r in MADE.segments if r.text != "b"))
    outside = prepare(gaps)
    space = reduce(outside, outside.recordings)
    assert count(outside, space, outside.recordings).background.tolist() == [0.0]
