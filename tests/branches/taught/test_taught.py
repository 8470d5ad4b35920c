from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from egomon.branches.bundle.card import BundleCard, FrameEncoderCard, SmallCard, StreamCard
from egomon.branches.bundle.weights import part
from egomon.branches.interfaces import ClipView, ContextView, StepGuess, StepSeen
from egomon.branches.load_bundle import load_bundle, read_tensors, save_bundle
from egomon.branches.taught.anomaly_score import EXTRAPOLATION, USUAL, surprise, surprises_of
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.branch import TaughtBranch, options_of, tensors_of
from egomon.branches.taught.descriptor import CentredLook, unit
from egomon.branches.taught.model import ModelOptions, TaughtModel
from egomon.branches.taught.step_filter import BREAKS
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import BundleError

SECONDS = 6.0
DIM = 5
IDS = ("step-1", "step-2", "step-3", "step-4")
NAMES = {"step-1": "fetch", "step-2": "cut", "step-3": "glue", "step-4": "press"}

PLAIN = CentredLook(np.zeros(DIM, np.float32))
"""Without background, looks are the clips' own directions."""


@pytest.fixture
def model() -> TaughtModel:
    """Four steps of six seconds, each along one axis; the fifth axis is never demonstrated."""
    quiet = np.linspace(0.0, 0.1, 50)
    return TaughtModel(
        ids=IDS,
        looks=np.eye(DIM, dtype=np.float32)[:4],
        steps=np.arange(4),
        places=(np.arange(4) + 0.5) / 4,
        log_seconds=np.array([[np.log(SECONDS), 0.25]] * 4),
        openings=np.zeros((1, 0), np.float32),
        nulls={
            "look": quiet,
            "early": quiet,
            **{kind: np.linspace(-6, -4, 50) for kind in BREAKS},
            "time": np.linspace(0, 2, 50),
            "handling": np.empty(0),
        },
        options=ModelOptions(typical_segments=4, sharpness=20.0, threshold=4.0),
    )


@pytest.fixture
def graph() -> WorkflowGraph:
    """Its order is certain, as if set by hand."""
    learned = WorkflowGraph.learn([list(IDS)], name="glueing", names=NAMES)
    return replace(learned, demonstrations=0)


@pytest.fixture
def branch(model: TaughtModel, graph: WorkflowGraph) -> TaughtBranch:
    return TaughtBranch(model, [graph], PLAIN)


def clip(axis: int, start: float, seconds: float = SECONDS) -> ClipView:
    vectors = np.zeros((4, DIM), np.float32)
    vectors[:, axis] = 3.0
    times = start + np.arange(4) * seconds / 4
    return ClipView(vectors, times, start, start + seconds)


def after(steps: Sequence[int]) -> ContextView:
    """A workflow in which these steps were recognised, one every seven seconds."""
    seen = tuple(
        StepSeen(StepGuess(IDS[k], NAMES[IDS[k]], 0.95), 7.0 * i, 7.0 * i + SECONDS)
        for i, k in enumerate(steps)
    )
    end = 7.0 * len(steps)
    return ContextView(np.zeros((0, DIM), np.float32), np.zeros(0), 0.0, end, seen)


def test_a_correct_run_stays_below_the_threshold(branch: TaughtBranch) -> None:
    for i in range(4):
        score = branch.score(clip(i, 7.0 * i), after(range(i)))

        assert score.log_odds < -1
        assert score.step is not None
        assert (score.step.id, score.step.text) == (IDS[i], NAMES[IDS[i]])
        assert score.step.confidence > 0.9


def test_a_skipped_step_is_named(branch: TaughtBranch) -> None:
    score = branch.score(clip(2, 7.0), after([0]))

    assert score.log_odds > 0
    assert score.reason == "expected 'cut' (step 2), which has not been seen; 'glue' (step 3) began"
    assert score.missing_steps == (IDS[1],)


def test_a_step_done_twice_is_told(branch: TaughtBranch) -> None:
    score = branch.score(clip(1, 14.0), after([0, 1]))

    assert score.log_odds > 0
    assert score.reason == "'cut' (step 2) is done again, it has been seen before"
    assert score.missing_steps == ()


def test_what_was_never_demonstrated_looks_like_no_step(branch: TaughtBranch) -> None:
    score = branch.score(clip(4, 7.0), after([0]))

    assert score.log_odds > 0
    assert score.reason == "this does not look like any step of the workflow"


def test_a_step_that_drags_on_is_told_with_its_usual_length(branch: TaughtBranch) -> None:
    score = branch.score(clip(1, 7.0, seconds=18.0), after([0]))

    assert score.reason == "'cut' (step 2) took 3x longer than usual (18 s, usually 6 s)"
    assert score.log_odds > branch.score(clip(1, 7.0, seconds=7.0), after([0])).log_odds


def test_a_step_at_an_unusual_place_is_told(model: TaughtModel) -> None:
    free = WorkflowGraph.learn([list(IDS), list(reversed(IDS))], names=NAMES)

    score = TaughtBranch(model, [free], PLAIN).score(clip(3, 0.0), after([]))

    assert score.log_odds > 0
    assert score.reason == "this looks like 'press' (step 4), which usually comes later"


@pytest.mark.parametrize(("order_trust", "added"), [(0.0, 1.5), (1.0, 0.0)])
def test_strange_work_so_far_raises_the_score_unless_steps_are_well_recognised(
    model: TaughtModel, graph: WorkflowGraph, order_trust: float, added: float
) -> None:
    options = replace(model.options, order_trust=order_trust)
    branch = TaughtBranch(replace(model, options=options), [graph], PLAIN)
    usual = after(range(3))
    strange = replace(
        usual, steps=tuple(replace(s, step=replace(s.step, excess=2.0)) for s in usual.steps)
    )

    before, now = (branch.score(clip(3, 21.0), seen).log_odds for seen in (usual, strange))

    assert now - before == pytest.approx(added, abs=1e-5)


def test_a_segment_hands_on_how_strange_it_was(branch: TaughtBranch) -> None:
    correct = branch.score(clip(1, 7.0), after([0])).step
    strange = branch.score(clip(4, 7.0), after([0])).step

    assert correct is not None
    assert strange is not None
    # Look and order are cut off at two nats, time is usual; the base judges nothing here.
    assert strange.excess == pytest.approx(2 * 2.0 - 3 * USUAL, abs=0.3)
    assert correct.excess < 0


def test_windows_of_one_running_step_are_no_repetition(
    model: TaughtModel, graph: WorkflowGraph
) -> None:
    by_time = replace(model.options, by_time=True, typical_segments=28.0)
    branch = TaughtBranch(replace(model, options=by_time), [graph], PLAIN)
    running = after([0, 1])  # the second window of "cut" comes next

    assert branch.score(clip(1, 10.0, seconds=2.0), running).log_odds < 0
    assert branch.score(clip(0, 14.0, seconds=2.0), running).reason is not None


def test_the_score_is_a_pure_function_of_its_views(branch: TaughtBranch) -> None:
    first = branch.score(clip(2, 7.0), after([0]))
    branch.score(clip(1, 14.0), after([0, 1]))
    again = branch.score(clip(2, 7.0), after([0]))

    assert np.array_equal(first.logits, again.logits)
    assert np.array_equal(first.feature, again.feature)
    assert (first.reason, first.step) == (again.reason, again.step)


def test_an_empty_clip_is_refused(branch: TaughtBranch) -> None:
    empty = ClipView(np.zeros((0, DIM), np.float32), np.zeros(0), 0.0, 1.0)

    with pytest.raises(ValueError, match="no frame vectors"):
        branch.score(empty, after([]))


def test_vectors_of_another_encoder_are_refused(branch: TaughtBranch) -> None:
    foreign = ClipView(np.ones((2, DIM + 1), np.float32), np.arange(2.0), 0.0, 2.0)
    context = ContextView(np.zeros((0, DIM + 1), np.float32), np.zeros(0), 0.0, 0.0)

    with pytest.raises(ValueError, match="another frame encoder"):
        branch.score(foreign, context)


def test_the_look_is_blind_to_what_a_whole_recording_shares() -> None:
    rng = np.random.default_rng(0)
    work, background = rng.normal(size=(6, 16)), rng.normal(size=(20, 16))
    room = np.full(16, 5.0)

    def look(offset: np.ndarray) -> np.ndarray:
        own = (work + offset).astype(np.float32)
        rest = (background + offset).astype(np.float32)
        return CentredLook(np.zeros(16, np.float32))(own, rest)

    raw = unit(work).mean(axis=0), unit(work + room).mean(axis=0)
    assert look(np.zeros(16)) @ look(room) > unit(raw[0]) @ unit(raw[1]) + 0.2


def test_unusual_order_of_correct_work_does_not_excuse_a_repetition(model: TaughtModel) -> None:
    free = dict(model.nulls) | {
        "missing": np.sort(np.append(model.nulls["missing"][:-5], [4.0] * 5))
    }
    values = {"look": 0.0, "order": 5.0, "time": 0.0, "handling": 0.0}

    def nats(kind: str) -> float:
        breaks = {k: 5.0 if k == kind else -6.0 for k in BREAKS}
        return surprises_of(values, breaks, free, early=False)["order"]

    assert nats("repeated") > nats("missing") + 1


def test_surprise_grows_beyond_the_sample_but_not_without_end() -> None:
    null = np.linspace(0, 1, 100)
    values = [surprise(x, null) for x in (0.0, 0.5, 0.85, 1.0, 1.2, 100.0)]

    assert values == sorted(values)
    assert values[0] == pytest.approx(0.0, abs=0.02)
    assert values[1] == pytest.approx(np.log(2), abs=0.05)
    assert values[-1] == pytest.approx(np.log(101) + EXTRAPOLATION)
    assert surprise(1.0, np.empty(0)) == 0.0


def save(model: TaughtModel, graph: WorkflowGraph, folder: Path) -> Path:
    card = BundleCard(
        name="glueing",
        description="test",
        created="2026-01-01",
        egomon_version="0",
        licence="Apache-2.0",
        frame_encoder=FrameEncoderCard(library="none", architecture="none", image_px=8, dim=DIM),
        small=SmallCard(kind="taught", steps=model.ids, options=options_of(model, PLAIN)),
        stream=StreamCard(fps=4.0),
    )
    tensors = {f"small.{k}": v for k, v in tensors_of(model, PLAIN).items()}
    save_bundle(folder, card, tensors)
    write_graphs([graph], folder / WORKFLOW_FILE)
    return folder


def test_a_saved_bundle_gives_the_same_verdicts(
    branch: TaughtBranch, model: TaughtModel, graph: WorkflowGraph, tmp_path: Path
) -> None:
    bundle = load_bundle(save(model, graph, tmp_path / "b"), with_encoder=False)

    for views in ((clip(0, 0.0), after([])), (clip(2, 7.0), after([0]))):
        loaded, made = bundle.small.score(*views), branch.score(*views)
        assert np.allclose(loaded.logits, made.logits, atol=1e-5)
        assert (loaded.reason, loaded.step) == (made.reason, made.step)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "step-2"\nname = "cut"\nafter = ["step-1"]  # fetch\noptional = false',
         'id = "step-2"\nname = "cut"\nafter = ["step-1"]\noptional = true'),
        ('name = "glue"\nafter = ["step-1", "step-2"]', 'name = "glue"\nafter = ["step-1"]'),
    ],
    ids=["marked optional", "order removed"],
)  # fmt: skip
def test_an_edited_workflow_file_lets_the_skip_pass(
    model: TaughtModel, graph: WorkflowGraph, tmp_path: Path, old: str, new: str
) -> None:
    by_order_alone = replace(model, options=replace(model.options, place_weight=0.0))
    file = save(by_order_alone, graph, tmp_path / "b") / WORKFLOW_FILE
    before = load_bundle(tmp_path / "b", with_encoder=False)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    edited = load_bundle(tmp_path / "b", with_encoder=False)

    views = clip(2, 7.0), after([0])
    strict, lenient = before.small.score(*views), edited.small.score(*views)
    assert lenient.log_odds < strict.log_odds - 3
    assert "has not been seen" not in (lenient.reason or "")


def test_a_renamed_step_is_called_by_its_new_name(
    model: TaughtModel, graph: WorkflowGraph, tmp_path: Path
) -> None:
    file = save(model, graph, tmp_path / "b") / WORKFLOW_FILE
    file.write_text(file.read_text().replace('name = "cut"', 'name = "saw it off"'))

    score = load_bundle(tmp_path / "b", with_encoder=False).small.score(clip(2, 7.0), after([0]))

    assert score.reason == (
        "expected 'saw it off' (step 2), which has not been seen; 'glue' (step 3) began"
    )


def test_a_bundle_without_its_workflow_file_is_refused(
    model: TaughtModel, graph: WorkflowGraph, tmp_path: Path
) -> None:
    (save(model, graph, tmp_path / "b") / WORKFLOW_FILE).unlink()

    with pytest.raises(BundleError, match="cannot read workflow"):
        load_bundle(tmp_path / "b", with_encoder=False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sharpness": 1.0}, "incomplete"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"typical_segments": 0.0, "sharpness": 1.0, "threshold": 1.0}, "above 0"),
    ],
)
def test_options_that_do_not_fit_are_named(
    model: TaughtModel, graph: WorkflowGraph, tmp_path: Path, options: dict[str, float], told: str
) -> None:
    folder = save(model, graph, tmp_path / "b")
    card = msgspec.json.decode((folder / "bundle.json").read_bytes(), type=BundleCard)
    small = msgspec.structs.replace(card.small, options=options)
    broken = msgspec.structs.replace(card, small=small)
    (folder / "bundle.json").write_bytes(msgspec.json.encode(broken))

    with pytest.raises(BundleError, match=told):
        load_bundle(folder, with_encoder=False)


def test_a_bundle_of_fixed_windows_without_a_step_head_is_told_to_be_taught_again(
    model: TaughtModel, graph: WorkflowGraph, tmp_path: Path
) -> None:
    old = replace(model, options=replace(model.options, by_time=True))
    folder = save(old, graph, tmp_path)
    with pytest.raises(BundleError, match="teach it again"):
        load_bundle(folder, with_encoder=False)


def test_a_base_whose_header_has_its_former_name_is_built_upon() -> None:
    bundle = load_bundle("workbench", with_encoder=False)
    assert bundle.card.small.header == "seqTransf"  # today's name is seqTransf-light
    small = part(read_tensors(bundle.folder), "small.")
    assert BaseLook.of_base(bundle.card, small).network.card.header == "seqTransf-light"
