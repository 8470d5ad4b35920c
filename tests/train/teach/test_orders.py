"""Correct recordings that show steps in more than one order."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from made_work import FPS, SECONDS, frames_of

from egomon.branches.interfaces import ClipView, ContextView
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.step_filter.alignment import in_order
from egomon.train.teach.step_filter.follow import FollowedWorkflow, teach_steps
from egomon.train.teach.step_filter.made_mistakes import made_runs
from egomon.train.teach.step_filter.orders import (
    _without_doubtful,
    free_order,
    order_of,
    usual_order,
)


def recording(work: str, seed: int) -> RecordingVectors:
    return RecordingVectors(f"{work}{seed}", *frames_of(work, seed))


def taught_from(*works: str) -> FollowedWorkflow:
    return teach_steps([recording(work, seed) for seed, work in enumerate(works)])


def told(taught: FollowedWorkflow, work: str) -> list[str]:
    """Sentences of the alerts on a run, without times."""
    follower = StepFilterBranch(taught.model, taught.graphs).follow()
    times, vectors = frames_of(work, 9)
    found = []
    for i in range(0, len(times), int(FPS / 2)):
        clip = ClipView(
            vectors[i : i + 2], times[i : i + 2], float(times[i]), float(times[i]) + 0.5
        )
        view = ContextView(vectors[:1], times[:1], 0.0, float(times[i]) + 0.5)
        score = follower.score(clip, view)
        if score.log_odds >= 0:
            found.append((score.reason or "").split(" at ")[0])
    return found


@pytest.fixture(scope="module")
def either() -> FollowedWorkflow:
    """The third recording shows c before b."""
    return taught_from("abcde", "abcde", "acbde")


def test_both_orders_that_recordings_show_are_right(either: FollowedWorkflow) -> None:
    assert {step.id: step.after for step in either.graphs[0].steps} == {
        "step-1": (),
        "step-2": ("step-1",),
        "step-3": ("step-1",),
        "step-4": ("step-1", "step-2", "step-3"),
        "step-5": ("step-1", "step-2", "step-3", "step-4"),
    }
    assert told(either, "abcde") == told(either, "acbde") == []
    assert either.report.notes[0] == "the recordings show either order of step 2 and step 3"


def test_what_no_recording_shows_is_still_a_mistake(either: FollowedWorkflow) -> None:
    began = "which has not been seen; step"
    assert told(either, "abdce") == [f"expected step 3, {began} 4 began"]
    assert told(either, "acde") == [f"expected step 2, {began} 4 began"]
    assert told(either, "acbace") != []


def test_steps_are_shown_where_each_recording_has_them(either: FollowedWorkflow) -> None:
    shown = [[(span.text or "")[-1] for span in visits] for visits in either.visits]
    assert shown == [list("12345"), list("12345"), list("13245")]
    starts = [span.t_start for span in either.visits[2]]
    assert starts == pytest.approx(np.arange(5) * SECONDS, abs=1.0)


def test_recordings_in_one_order_leave_none_free() -> None:
    taught = taught_from("abcde", "abcde", "abcde")
    assert [len(step.after) for step in taught.graphs[0].steps] == list(range(5))
    assert told(taught, "acbde") == ["expected step 2, which has not been seen; step 3 began"]


def test_of_two_recordings_neither_says_that_the_other_is_right() -> None:
    graph = taught_from("acbde", "abcde").graphs[0]
    assert [len(step.after) for step in graph.steps] == list(range(len(graph.steps)))


def test_of_equally_many_the_first_recording_numbers_the_steps() -> None:
    taught = taught_from("acbde", "abcde", "acbde", "abcde")
    assert [(span.text or "")[-1] for span in taught.visits[1]] == list("13245")
    assert told(taught, "abcde") == told(taught, "acbde") == []


def test_named_boundaries_say_which_step_it_is_and_unnamed_ones_go_by_place() -> None:
    def known(work: str, seed: int, *, named: bool) -> RecordingVectors:
        spans = tuple(
            Span(i * SECONDS, (i + 1) * SECONDS, step if named else None)
            for i, step in enumerate(work)
        )
        return replace(recording(work, seed), spans=spans)

    works = ("abcde", "abcde", "acbde")
    for named, free in ((True, 1), (False, 0)):
        taught = teach_steps([known(work, i, named=named) for i, work in enumerate(works)])
        assert len(taught.graphs[0].steps[2].after) == 2 - free
        names = list("abcde") if named else [f"step {k}" for k in range(1, 6)]
        assert [step.name for step in taught.graphs[0].steps] == names


def test_steps_are_called_as_the_boundaries_of_one_recording_call_them() -> None:
    texts = ("soak", "step 2", "", "rub", "rub")
    spans = tuple(Span(i * SECONDS, (i + 1) * SECONDS, text) for i, text in enumerate(texts))
    taught = teach_steps([replace(recording("abcde", 0), spans=spans), recording("abcde", 1)])
    names = [step.name for step in taught.graphs[0].steps]
    assert names == ["soak", "step 2", "step 3", "rub", "rub (5)"]


def test_the_path_is_the_likeliest_of_all_orders_that_exchange_neighbours() -> None:
    count, least, cost = 4, 2, 1.5
    exchanges = [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (1, 0, 3, 2), (2, 3, 0, 1)]
    exchanges += [(1, 2, 0, 3), (2, 0, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2)]
    costs: dict[tuple[int, ...], int] = {
        order: 1 + (order == (1, 0, 3, 2)) for order in exchanges
    } | {(0, 1, 2, 3): 0}
    found = set()
    for seed in range(40):
        values = np.random.default_rng(seed).normal(size=(11, count))
        labels = free_order(values, least, cost)
        best = max(
            values[np.arange(11), in_order(values, order, least)].sum() - cost * costs[order]
            for order in permutations(range(count))
            if order in costs
        )
        order = tuple(order_of(labels))
        found.add(order)
        assert values[np.arange(11), labels].sum() - cost * costs[order] == pytest.approx(best)
        assert np.bincount(labels, minlength=count).min() >= least
    assert len(found) > 5


def test_the_usual_order_is_the_most_frequent_one_and_else_the_first() -> None:
    assert usual_order(["abc", "acb", "acb"]) == ("a", "c", "b")
    assert usual_order(["acb", "abc"]) == ("a", "c", "b")


def test_made_swaps_exchange_no_steps_that_come_in_either_order() -> None:
    windows = np.arange(50, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    labels = np.repeat([0, 2, 1, 3, 4], 10)
    swaps = set()
    for seed in range(20):
        runs = list(made_runs(windows, labels, seed, free=lambda a, b: {a, b} == {1, 2}))
        swaps.add(int(runs[2].windows[10, 0]))
        assert len(runs) == 6
    assert swaps == {10}  # the third part comes before the second in none
    assert len(list(made_runs(windows, labels, free=lambda a, b: True))) == 5


@pytest.mark.parametrize(
    ("clear", "saved", "counts"),
    [(True, 400.0, True), (True, 1e5, False), (False, 0.0, False)],
    ids=["clear", "a share of short work", "unclear"],
)
def test_an_exchange_counts_where_the_others_describe_the_recording_better_with_it(
    clear: bool, saved: float, counts: bool
) -> None:
    rng = np.random.default_rng(0)
    middles = 5.0 * np.eye(4)
    order, usual = [0, 2, 1, 3], [0, 1, 2, 3]
    shown = middles[order].copy()
    if not clear:  # what it shows lies between the two steps
        shown[1:3] = middles[1:3].mean(axis=0)
    rows = [
        (np.repeat(of, 20, axis=0) + rng.normal(size=(80, 4))).astype(np.float32)
        for of in (shown, middles[usual], middles[usual])
    ]
    labels = [np.repeat(of, 20) for of in (order, usual, usual)]
    found = _without_doubtful(rows, labels, 0, least=5, saved=saved)
    assert order_of(found) == (order if counts else [0, 1, 3])
