from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egomon.branches.interfaces import Float64
from egomon.branches.step_filter.descriptor import Descriptor
from egomon.branches.step_filter.explanation import FOREIGN, explain
from egomon.branches.step_filter.filter import StepBelief, StepFilter
from egomon.branches.step_filter.model import StepModel, StepOptions
from egomon.branches.step_filter.moves import START, Node, WorkflowMistake, moves
from egomon.branches.taught.corrections import Correction
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_graph import WorkflowGraph

IDS = ("step-1", "step-2", "step-3", "step-4", "step-5")
NAMES = dict(zip(IDS, ("wet", "soap", "rub", "rinse", "dry"), strict=True))
SECONDS = 8.0
WINDOWS = 16
GRAPH = WorkflowGraph.learn([list(IDS)] * 3, name="washing", names=NAMES)
RULES = [Rules.of(GRAPH, IDS)]


@pytest.fixture
def model() -> StepModel:
    """Distances are given by the tests, so the arrays do not matter."""
    nothing = Descriptor(
        np.zeros(2, np.float32), np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    )
    options = StepOptions(sharpness=3.5)
    usual = np.array([[SECONDS - 2.0] * 5, [SECONDS] * 5])
    return StepModel(
        IDS, nothing, np.zeros((5, 2), np.float32), np.full(5, SECONDS), usual, options
    )


def looks_like(step: int | None) -> Float64:
    """Distances of a window that shows this step clearly; None = none of them."""
    distances = np.full(5, 2.0)
    if step is None:
        return distances + 3.0
    distances[step] = 0.4
    return distances


def run(
    model: StepModel, steps: str, windows: int = WINDOWS, *, cycles: bool = True
) -> list[tuple[int, StepBelief]]:
    """Alerts as (place in `steps`, belief); digits are steps, x foreign work."""
    follower = StepFilter(model, RULES, cycles=cycles)
    found = []
    for place, step in enumerate(steps):
        for _ in range(windows):
            belief = follower.push(looks_like(None if step == "x" else int(step)))
            if belief.told:
                found.append((place, belief))
    return found


def told(model: StepModel, steps: str, *, cycles: bool = True) -> list[tuple[int, str, str]]:
    return [
        (place, belief.mistake.kind, explain(belief.mistake, IDS, [GRAPH]))
        for place, belief in run(model, steps, cycles=cycles)
        if belief.mistake is not None
    ]


@pytest.mark.parametrize("steps", ["01234", "0123401234", "012340123401234", "0011122334", "234"])
def test_correct_work_raises_nothing_whether_slow_or_repeated_as_a_whole_or_joined_late(
    model: StepModel, steps: str
) -> None:
    assert told(model, steps) == []


def test_a_step_left_out_is_told_once_by_the_step_that_comes_in_its_place(
    model: StepModel,
) -> None:
    sentence = "expected 'rub' (step 3), which has not been seen; 'rinse' (step 4) began"
    assert told(model, "0134") == [(2, "missing", sentence)]


def test_of_two_swapped_steps_the_first_is_told_and_the_late_one_is_taken_in(
    model: StepModel,
) -> None:
    assert [place for place, *_ in told(model, "02134")] == [1]


def test_several_steps_from_before_the_first_one_seen_are_work_in_another_order(
    model: StepModel,
) -> None:
    ((place, kind, sentence),) = told(model, "43210")
    assert (place, kind) == (2, "missing")
    assert sentence.startswith("expected 'wet' (step 1) to 'rinse' (step 4), which have not been")


@pytest.mark.parametrize("steps", ["10234", "34012"])
def test_a_stream_joined_in_the_middle_may_show_one_such_step_or_begin_anew(
    model: StepModel, steps: str
) -> None:
    assert told(model, steps) == []


def test_one_or_two_recordings_do_not_tell_steps_apart_surely_enough_for_that(
    model: StepModel,
) -> None:
    assert told(with_options(model, unseen=0.01), "43210") == []


def test_a_step_done_again_is_told_with_its_name(model: StepModel) -> None:
    sentence = "'soap' (step 2) is done again, it has been seen before"
    assert told(model, "0123" + "1" + "4") == [(4, "repeated", sentence)]


def test_foreign_work_within_the_workflow_is_told_once_however_long_it_lasts(
    model: StepModel,
) -> None:
    assert told(model, "01xxx234") == [(2, "foreign", FOREIGN)]


def test_a_moment_of_the_step_before_is_no_mistake(model: StepModel) -> None:
    follower = StepFilter(model, RULES)
    shown = [0] * 16 + [1] * 10 + [0] * 4 + [1] * 6 + [2] * 16
    assert not any(follower.push(looks_like(step)).told for step in shown)


def test_two_mistakes_are_two_alerts(model: StepModel) -> None:
    assert [kind for _, kind, _ in told(model, "01x34")] == ["foreign", "missing"]


def test_what_happened_in_a_hole_of_the_stream_is_not_told(model: StepModel) -> None:
    for seconds, expected in ((0.0, 1), (30.0, 0)):
        follower = StepFilter(model, RULES)
        for step in (0, 1):
            for _ in range(WINDOWS):
                follower.push(looks_like(step))
        follower.skip(seconds)
        assert sum(follower.push(looks_like(4)).told for _ in range(WINDOWS)) == expected


def begun(model: StepModel, steps: str) -> list[int]:
    """Places in `steps` at which a new cycle is taken to begin."""
    follower = StepFilter(model, RULES)
    return [
        place
        for place, step in enumerate(steps)
        for _ in range(WINDOWS)
        if follower.push(looks_like(int(step))).began
    ]


def test_a_new_cycle_is_known_when_it_begins(model: StepModel) -> None:
    assert begun(model, "0123401") == [5]


def test_memory_stays_bounded_and_the_belief_sums_to_one(model: StepModel) -> None:
    follower = StepFilter(model, RULES)
    rng = np.random.default_rng(0)
    for _ in range(400):
        belief = follower.push(rng.random(5))
        assert belief.steps.sum() == pytest.approx(1.0)
        assert 0.0 <= belief.p_mistake <= 1.0


def with_options(model: StepModel, **options: float) -> StepModel:
    return replace(model, options=replace(model.options, **options))


def test_steps_that_all_look_alike_are_missed_only_where_no_time_was_spent_on_them(
    model: StepModel,
) -> None:
    other_person = with_options(model, unseen=0.01)
    assert [kind for _, kind, _ in told(model, "01114")] == ["missing"]
    assert told(other_person, "01114") == []
    assert [kind for _, kind, _ in told(other_person, "014")] == ["missing"]


def test_after_one_recording_a_step_must_look_like_an_earlier_one_for_longer(
    model: StepModel,
) -> None:
    waited = []
    for again in (1.0, 0.1):
        follower = StepFilter(with_options(model, again=again), RULES)
        for step in (0, 1, 2):
            for _ in range(WINDOWS):
                follower.push(looks_like(step))
        beliefs = [follower.push(looks_like(1)) for _ in range(WINDOWS)]
        waited.append([belief.told for belief in beliefs].index(True))
    assert waited[0] < waited[1]


@pytest.mark.parametrize("unseen", [0.0, 0.2])
@pytest.mark.parametrize(
    "node",
    [
        Node(0, 0, 0, START),
        Node(0, 0b00111, 0, 3),
        Node(0, 0b00011, 0b00100, 3, mistake=WorkflowMistake("missing", 0, 3, 0b100)),
        Node(0, 0b01111, 0, 4),
        Node(0, 0b00011, 0, -1, 1),
        Node(0, 0b00011, 0, 0, 1, brief=True),
        Node(0, 0b00011, 0, 2, look=1),
        Node(0, 0b00100, 0b00011, 3, joined=0b00011),
    ],
)
def test_moves_are_a_distribution(node: Node, unseen: float) -> None:
    found = moves(RULES, node, 0.1, unseen)
    assert sum(p for _, p in found) == pytest.approx(1.0)
    assert all(p > 0 for _, p in found)


def test_work_that_begins_again_too_early_names_what_was_left_out() -> None:
    mistake = WorkflowMistake("stopped", 0, 0, 0b11100)
    assert explain(mistake, IDS, [GRAPH]) == (
        "expected 'rub' (step 3), 'rinse' (step 4) and 'dry' (step 5), which have not been seen; "
        "the work begins again with 'wet' (step 1)"
    )
    missing = WorkflowMistake("missing", 0, 3, 0b00100)
    assert explain(missing, IDS, [GRAPH], began_seconds=72.9) == (
        "expected 'rub' (step 3), which has not been seen; 'rinse' (step 4) began at 01:12"
    )


def test_where_cycles_begin_on_demand_a_first_step_after_the_last_is_one_done_again(
    model: StepModel,
) -> None:
    assert told(model, "01234", cycles=False) == []
    assert told(model, "0123401234", cycles=False)[0][:2] == (5, "repeated")


def test_a_step_that_goes_on_and_on_is_told_once_with_how_long_it_usually_takes(
    model: StepModel,
) -> None:
    follower = StepFilter(model, RULES)
    shown = [0] * WINDOWS + [1] * 8 * WINDOWS + [2] * WINDOWS
    told = [(i, b) for i, b in enumerate(map(follower.push, map(looks_like, shown))) if b.told]
    assert [b.mistake and b.mistake.kind for _, b in told] == ["long"]
    at, belief = told[0]
    assert 3 * WINDOWS < at - WINDOWS < 5 * WINDOWS
    assert belief.mistake is not None
    sentence = explain(
        belief.mistake,
        IDS,
        [GRAPH],
        lasted_seconds=belief.lasted_seconds,
        usual_seconds=model.usual_seconds(belief.mistake.step),
    )
    lasted = belief.lasted_seconds
    assert (
        sentence
        == f"'soap' (step 2) goes on for {lasted:.0f} s; in your recordings it took 6 to 8 s"
    )
    assert lasted == pytest.approx((at - WINDOWS) / 2, abs=2.0)


@pytest.mark.parametrize("pause", ["still", "gap"])
def test_a_pause_or_a_gap_makes_no_step_too_long(model: StepModel, pause: str) -> None:
    follower = StepFilter(model, RULES)
    alerts = 0
    for part in range(8):
        for _ in range(WINDOWS if part in (0, 7) else WINDOWS // 2):
            alerts += follower.push(looks_like(1 if part else 0)).told
        if pause == "gap":
            follower.skip(SECONDS)
            continue
        for _ in range(WINDOWS if part else 0):
            alerts += follower.push(looks_like(1), moving=False).told
    assert alerts == 0


def test_what_was_said_of_such_alerts_is_heeded(model: StepModel) -> None:
    wrong = [Correction(said="wrong", kind="long", step="step-2") for _ in range(5)]
    firsts = []
    for said in ([], wrong):
        follower = StepFilter(model, RULES, said)
        beliefs = [follower.push(looks_like(0)) for _ in range(WINDOWS)]
        beliefs = [follower.push(looks_like(1)) for _ in range(8 * WINDOWS)]
        firsts.append(next(i for i, belief in enumerate(beliefs) if belief.told))
    assert firsts[1] > firsts[0] + 2


@pytest.mark.parametrize(("steps", "wrong"), [("012301234", 4), ("0123401230", 9)])
def test_a_last_step_left_out_is_told_once_when_the_next_cycle_begins(
    model: StepModel, steps: str, wrong: int
) -> None:
    sentence = (
        "expected 'dry' (step 5), which has not been seen; "
        "the work begins again with 'wet' (step 1)"
    )
    assert told(model, steps) == [(wrong, "stopped", sentence)]


@pytest.mark.parametrize(
    ("steps", "what", "first"),
    [("012341234", "'wet' (step 1), which has", 1), ("01234234", "'wet' (step 1) and 'soap'", 2)],
)
def test_first_steps_left_out_of_a_later_cycle_are_told_once(
    model: StepModel, steps: str, what: str, first: int
) -> None:
    ((place, kind, text),) = told(model, steps)
    assert (place, kind) == (5, "missing")
    assert text.startswith(f"expected {what}")
    assert f"(step {first + 1}) began" in text
    assert begun(model, steps) == [5]


def test_after_one_recording_no_cycle_begins_without_its_first_step(model: StepModel) -> None:
    kinds = {kind for _, kind, _ in told(with_options(model, again=0.1), "012341234")}
    assert kinds <= {"repeated"}


def test_where_cycles_begin_on_demand_none_begins_without_its_first_step(model: StepModel) -> None:
    assert told(model, "012341234", cycles=False)[0][:2] == (5, "repeated")


def test_work_that_ends_before_its_last_steps_raises_nothing(model: StepModel) -> None:
    for steps in ("012", "0123", "0123401"):
        assert told(model, steps) == []
