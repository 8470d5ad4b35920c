"""From made frames to a followed workflow, and what it tells of other runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from made_work import DIM, FPS, SECONDS, frames_of

from egomon.branches.bundle.card import BundleCard, FrameEncoderCard, SmallCard, StreamCard
from egomon.branches.interfaces import ClipView, ContextView, StreamBranch
from egomon.branches.load_bundle import load_bundle, save_bundle
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, write_graphs
from egomon.errors import BundleError, DataError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.step_filter.calibration import poisson_upper
from egomon.train.teach.step_filter.follow import FollowedWorkflow, teach_steps
from egomon.train.teach.step_filter.made_mistakes import made_runs


def recording(work: str, seed: int) -> RecordingVectors:
    return RecordingVectors(f"{work}{seed}", *frames_of(work, seed))


@pytest.fixture(scope="module")
def taught() -> FollowedWorkflow:
    return teach_steps([recording("abcde", seed) for seed in range(3)], name="work")


@pytest.fixture
def branch(taught: FollowedWorkflow) -> StepFilterBranch:
    return StepFilterBranch(taught.model, taught.graphs)


def watch(
    follower: StreamBranch,
    times: np.ndarray,
    vectors: np.ndarray,
    shift: float = 0.0,
) -> list[tuple[float, str]]:
    """Alerts as (seconds, sentence), over windows of 2 s at every half second."""
    found = []
    for end in np.arange(0.5, times[-1] + 0.5, 0.5):
        held = (times >= end - 2.0) & (times < end)
        if not held.any():
            continue
        clip = ClipView(vectors[held], times[held] + shift, end - 2.0 + shift, end + shift)
        start = times[0] + shift
        view = ContextView(vectors[:1], times[:1] + shift, start, end + shift)
        score = follower.score(clip, view)
        if score.log_odds >= 0:
            assert score.reason is not None
            found.append((float(end + shift), score.reason))
    return found


def test_as_many_steps_are_found_as_were_shown_and_they_take_as_long(
    taught: FollowedWorkflow,
) -> None:
    assert (taught.report.steps, taught.report.frame_seconds) == (5, 0.0)
    assert taught.model.seconds == pytest.approx(np.full(5, SECONDS), abs=1.0)
    for visits in taught.visits:
        starts = [span.t_start for span in visits]
        assert starts == pytest.approx(np.arange(5) * SECONDS, abs=1.0)


def every_second(work: list[tuple[str, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One frame a second."""
    times, vectors = frames_of(work, seed)
    return times[:: int(FPS)], vectors[:: int(FPS)]


def test_with_a_frame_a_second_durations_are_told_in_seconds() -> None:
    work = [(letter, 20.0) for letter in "abcde"]
    taught = teach_steps(
        [RecordingVectors(f"r{seed}", *every_second(work, seed)) for seed in range(3)]
    )
    assert taught.model.seconds == pytest.approx(np.full(5, 20.0), abs=2.0)
    assert taught.report.hours == pytest.approx(3 * 100 / 3600)
    assert taught.report.frame_seconds == 1.0
    assert [visits[-1].t_end for visits in taught.visits] == [100.0] * 3
    follower = StepFilterBranch(taught.model, taught.graphs).follow()
    long = [("a", 20.0), ("b", 20.0), ("c", 90.0), ("d", 20.0), ("e", 20.0)]
    ((_, sentence),) = watch(follower, *every_second(long, 7))
    words = re.fullmatch(r"step 3 goes on for (\d+) s; in your recordings it took 20 s", sentence)
    assert words is not None, sentence
    assert 30 <= int(words[1]) <= 60, "1.8 times the longest, and four seconds"


def test_correct_work_is_silent_also_the_second_time_round(branch: StepFilterBranch) -> None:
    assert watch(branch.follow(), *frames_of("abcdeabcde", 9)) == []


def untimed(sentence: str) -> str:
    return re.sub(r" at \d\d:\d\d$", "", sentence)


@pytest.mark.parametrize(
    ("work", "wrong", "sentence"),
    [
        ("abde", 2, "expected step 3, which has not been seen; step 4 began"),
        ("acbde", 1, "expected step 2, which has not been seen; step 3 began"),
        ("abcdbe", 4, "step 2 is done again, it has been seen before"),
        ("abxcde", 2, "this does not look like any step of the workflow"),
    ],
)
def test_each_mistake_is_told_once_within_five_seconds_in_its_own_words(
    branch: StepFilterBranch, work: str, wrong: int, sentence: str
) -> None:
    alerts = watch(branch.follow(), *frames_of(work, 9))
    assert [untimed(told) for _, told in alerts] == [sentence]
    if "began" in sentence:
        assert f"began at 00:{wrong * SECONDS:02.0f}" in alerts[0][1]
    assert wrong * SECONDS < alerts[0][0] <= wrong * SECONDS + 5.0


def test_a_step_that_goes_on_far_beyond_the_recordings_is_told_once_with_both_durations(
    branch: StepFilterBranch,
) -> None:
    assert watch(branch.follow(), *frames_of("abbcde", 9)) == []
    ((seconds, sentence),) = watch(branch.follow(), *frames_of("abbbbbcde", 9))
    words = re.fullmatch(r"step 2 goes on for (\d+) s; in your recordings it took 8 s", sentence)
    assert words is not None
    assert int(words[1]) == pytest.approx(seconds - SECONDS, abs=2.0)


def test_the_same_frames_give_the_same_scores_wherever_the_clock_starts(
    branch: StepFilterBranch,
) -> None:
    times, vectors = frames_of("abde", 9)
    first = watch(branch.follow(), times, vectors)
    later = watch(branch.follow(), times, vectors, shift=1000.0)
    assert [(t + 1000.0, untimed(said)) for t, said in first] == [
        (t, untimed(said)) for t, said in later
    ]


def test_a_frozen_picture_is_a_pause_and_no_foreign_work(branch: StepFilterBranch) -> None:
    _, vectors = frames_of("abcde", 9)
    at = int(2.5 * SECONDS * FPS)
    still = np.repeat(np.ones((1, DIM), np.float32), int(20 * FPS), axis=0)
    paused = np.concatenate([vectors[:at], still, vectors[at:]])
    assert watch(branch.follow(), np.arange(len(paused)) / FPS, paused) == []


def test_another_place_is_said_to_be_one(branch: StepFilterBranch) -> None:
    here, there = branch.follow(), branch.follow()
    watch(here, *frames_of("abcde", 9))
    watch(there, *frames_of("abcde", 9, place=3))
    assert (here.state, there.state) == ("in_domain", "out_of_domain")
    assert here.distance is not None
    assert there.distance is not None
    assert here.distance < 1 < there.distance


def test_a_new_workflow_begins_where_the_context_begins_anew(branch: StepFilterBranch) -> None:
    follower = branch.follow()
    assert watch(follower, *frames_of("ab", 9)) == []
    assert watch(follower, *frames_of("abcde", 10), shift=17.0) == []


def test_given_boundaries_and_numbers_of_steps_are_taken(taught: FollowedWorkflow) -> None:
    spans = tuple(Span(i * SECONDS, (i + 1) * SECONDS) for i in range(5))
    known = replace(recording("abcde", 0), spans=spans)
    found = teach_steps([known, recording("abcde", 1)])
    assert [span.t_start for span in found.visits[0]] == [span.t_start for span in spans]
    assert teach_steps([recording("abcde", 0), recording("abcde", 1)], count=3).report.steps == 3


def test_boundaries_of_another_number_of_steps_are_refused_by_name() -> None:
    def known(many: int, seed: int) -> RecordingVectors:
        spans = tuple(Span(i * SECONDS, (i + 1) * SECONDS) for i in range(many))
        return replace(recording("abcde", seed), spans=spans)

    with pytest.raises(DataError, match=r"^abcde1 has boundaries of 4 steps, not of 5; "):
        teach_steps([known(5, 0), known(4, 1), recording("abcde", 2)])
    for count in (3, 7):
        with pytest.raises(
            DataError, match=rf"^abcde0 has boundaries of 5 steps, not of {count}; "
        ):
            teach_steps([known(5, 0), recording("abcde", 1)], count=count)


@pytest.mark.parametrize("starts", [(0.0, 6.0, 900.0), (0.0, 0.0, 12.0), (0.0, 6.0, 6.1)])
def test_boundaries_without_a_window_for_each_step_are_refused(starts: tuple[float, ...]) -> None:
    spans = tuple(Span(start, start + 0.1) for start in starts)
    with pytest.raises(DataError, match=r"^the boundaries at \d+ s of abcde0 leave no 0\.5 s for"):
        teach_steps([replace(recording("abcde", 0), spans=spans), recording("abcde", 1)])


def test_one_recording_is_enough_for_what_differs_much() -> None:
    one = teach_steps([recording("abcde", 0)], count=5)
    one_branch = StepFilterBranch(one.model, one.graphs)
    assert watch(one_branch.follow(), *frames_of("abcde", 0)) == []
    assert [said for _, said in watch(one_branch.follow(), *frames_of("abcdbe", 0))] == [
        "step 2 is done again, it has been seen before"
    ]
    assert one.report.verdict == "usable"


def test_the_report_counts_made_mistakes_and_bounds_the_false_alarms(
    taught: FollowedWorkflow,
) -> None:
    report = taught.report
    assert (report.made, report.alerts_on_recordings) == (18, 0)
    assert report.found >= 15
    bound = poisson_upper(0) / report.judged_hours
    assert report.most_an_hour == pytest.approx(bound)
    minutes = f"{60 * report.judged_hours:.0f} minutes"
    found = f"{report.found} of 18 made mistakes were found, with no false alarm in {minutes}"
    assert found in report.sentence
    assert report.verdict == "ready"


def test_the_budget_sets_what_raises_an_alert_and_few_recordings_make_it_careful() -> None:
    runs = [recording("abcde", seed) for seed in range(3)]
    chosen = {
        (many, budget): teach_steps(
            runs[:many], count=5, false_alarms_per_hour=budget
        ).model.options
        for many, budget in ((1, 6.0), (1, 0.6), (2, 6.0), (3, 6.0))
    }
    assert chosen[1, 0.6].threshold > chosen[1, 6.0].threshold == pytest.approx(0.8)
    assert chosen[1, 6.0].again < chosen[2, 6.0].again == chosen[3, 6.0].again
    assert chosen[1, 6.0].unseen == chosen[2, 6.0].unseen > chosen[3, 6.0].unseen == 0


@pytest.mark.parametrize(
    ("shown", "found_of", "tried"),
    [
        (3, {17: 3, 15: 8, 13: 12}, [None, 15, 13]),
        (3, {17: 9}, [None]),
        (2, {17: 3}, [None]),
        (3, {17: 4, 15: 2, 13: 5, 11: 3, 9: 1}, [None, 15, 13, 11, 9]),
    ],
)
def test_steps_by_which_little_is_found_are_learned_again_as_fewer(
    monkeypatch: pytest.MonkeyPatch, shown: int, found_of: dict[int, int], tried: list[int | None]
) -> None:
    asked: list[int | None] = []

    def learn(recordings: object, name: str, budget: float, count: int | None, progress: object):
        asked.append(count)
        steps = count or 17
        return SimpleNamespace(report=SimpleNamespace(steps=steps, found=found_of[steps], made=18))

    monkeypatch.setattr("egomon.train.teach.step_filter.follow._teach_steps", learn)
    kept = teach_steps([recording("abcde", seed) for seed in range(shown)])
    assert asked == tried
    assert kept.report.found == max(found_of.values())


def test_a_given_number_of_steps_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def learn(recordings: object, name: str, budget: float, count: int | None, progress: object):
        asked.append(count)
        return SimpleNamespace(report=SimpleNamespace(steps=count, found=0, made=18))

    monkeypatch.setattr("egomon.train.teach.step_filter.follow._teach_steps", learn)
    teach_steps([recording("abcde", seed) for seed in range(3)], count=5)
    assert asked == [5]


def test_recordings_of_other_work_or_another_order_are_refused_by_name() -> None:
    same = [recording("abcde", seed) for seed in range(2)]
    for other in ("deabc", "xexdx"):
        with pytest.raises(DataError, match=f"{other}5 shows other work than the other record"):
            teach_steps([*same, recording(other, 5)], count=5)
    with pytest.raises(DataError, match="abcde0 and deabc5 show different work"):
        teach_steps([same[0], recording("deabc", 5)], count=5)


def test_made_runs_hold_one_mistake_each_at_a_boundary() -> None:
    windows = np.arange(50, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    labels = np.repeat(np.arange(5), 10)
    runs = list(made_runs(windows, labels))
    assert [len(run.windows) for run in runs] == [40, 30, 50, 60, 74, 100]
    for run in runs:
        assert 0 < run.onset < run.end <= len(run.windows)
        assert run.windows[run.onset, 0] != run.windows[run.onset - 1, 0] + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": np.arange(3) / FPS, "vectors": np.ones((3, DIM), np.float32)}, "too short"),
        ({"vectors": np.full((160, DIM), np.nan, np.float32)}, "not finite"),
        ({"times": np.zeros(160)}, "not later"),
    ],
)
def test_an_unusable_recording_is_named(change: dict[str, np.ndarray], words: str) -> None:
    bad = replace(recording("abcde", 0), **change)
    with pytest.raises(DataError, match=f"abcde0.*{words}"):
        teach_steps([bad])


def bundle_of(taught: FollowedWorkflow, folder: Path, **options: float) -> Path:
    card = BundleCard(
        name="work",
        description="made",
        created="2026-01-01",
        egomon_version="0",
        licence="none",
        frame_encoder=FrameEncoderCard(library="none", architecture="made", image_px=32, dim=DIM),
        small=SmallCard(
            kind="step_filter",
            steps=taught.model.ids,
            options=taught.model.card_options() | options,
        ),
        stream=StreamCard(fps=FPS, length_seconds=2.0, stride_seconds=0.5),
    )
    save_bundle(folder, card, {f"small.{k}": v for k, v in taught.model.tensors().items()})
    write_graphs(taught.graphs, folder / WORKFLOW_FILE)
    return folder


def test_a_saved_bundle_tells_what_was_taught(taught: FollowedWorkflow, tmp_path: Path) -> None:
    loaded = load_bundle(bundle_of(taught, tmp_path / "b"), with_encoder=False).small
    assert isinstance(loaded, StepFilterBranch)
    work = frames_of("abde", 9)
    own = StepFilterBranch(taught.model, taught.graphs)
    assert watch(loaded.follow(), *work) == watch(own.follow(), *work) != []


def test_a_damaged_bundle_is_refused_with_the_part_that_does_not_fit(
    taught: FollowedWorkflow, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="unknown key 'size'"):
        load_bundle(bundle_of(taught, tmp_path / "a", size=1.0), with_encoder=False)
    with pytest.raises(BundleError, match=r"threshold` is -1"):
        load_bundle(bundle_of(taught, tmp_path / "b", threshold=-1.0), with_encoder=False)
    folder = bundle_of(taught, tmp_path / "c")
    card = msgspec.json.decode((folder / "bundle.json").read_bytes())
    card["stream"]["stride_seconds"] = 3.0
    (folder / "bundle.json").write_bytes(msgspec.json.encode(card))
    with pytest.raises(BundleError, match="leave no frame out"):
        load_bundle(folder, with_encoder=False)


@pytest.mark.parametrize("recordings", [3, 1])
def test_from_its_second_cycle_on_a_stream_is_described_by_its_own_place(
    branch: StepFilterBranch, recordings: int
) -> None:
    """After one recording it is not: there the steps move instead."""
    if recordings == 1:
        one = teach_steps([recording("abcde", 0)], count=5)
        branch = StepFilterBranch(one.model, one.graphs)
    _, once = frames_of("abcde", 9)
    away = 0.25 * np.random.default_rng(3).random(DIM).astype(np.float32)
    vectors = np.concatenate([once + away, once + away])
    times = np.arange(len(vectors)) / FPS
    follower = branch.follow()
    apart: list[float] = []
    for i in range(0, len(times), 2):
        end = float(times[i]) + 0.5
        clip = ClipView(vectors[i : i + 2], times[i : i + 2], end - 0.5, end)
        score = follower.score(clip, ContextView(vectors[:1], times[:1], 0.0, end))
        assert score.log_odds < 0
        if score.step is not None:
            usual = branch.model.steps[branch.model.ids.index(score.step.id)]
            apart.append(float(np.linalg.norm(score.feature - usual)))
    cycle, step = len(apart) // 2, int(2 * SECONDS)
    nearer = np.mean(apart[cycle + 4 : cycle + step]) / np.mean(apart[4:step])
    assert nearer < 0.9 if recordings > 1 else 0.95 < nearer < 1.05
