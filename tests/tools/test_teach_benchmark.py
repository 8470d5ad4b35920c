"""The benchmark of teaching on real footage: what is made wrong, and how it is counted."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


STEPS = list(range(1, 13))


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_makes_its_one_mistake_after_the_first_step(seed: int) -> None:
    from teach_parts.made_runs import order_of

    rng = random.Random(seed)
    for kind, tag, length in (
        ("omit", "missing", 11),
        ("skip2", "missing", 10),
        ("swap", "order", 12),
        ("repeat", "repeated", 13),
        ("foreign", "foreign", 13),
    ):
        order = order_of(kind, STEPS, rng)
        assert len(order) == length
        (at,) = [i for i, (_, found) in enumerate(order) if found]
        assert order[at][1] == tag
        assert at > 0
        step, done = order[at][0], [s for s, _ in order[:at]]
        if kind in ("omit", "skip2"):
            assert step == done[-1] + (2 if kind == "omit" else 3)
        elif kind == "swap":
            assert (step, order[at + 1][0]) == (done[-1] + 2, done[-1] + 1)
        elif kind == "repeat":
            assert step in done[:-1]
        else:
            assert step == -1
    assert order_of("correct", STEPS, rng) == [(s, None) for s in STEPS]


def test_a_run_knows_when_its_mistake_happens_and_alerts_are_counted() -> None:
    from teach_parts.clips import Piece, Run
    from teach_parts.watch import Scores, Told, Watched, steps_found, trivial

    def piece(seconds: float, text: str, tag: str | None = None) -> Piece:
        return Piece(np.ones((int(4 * seconds), 2), np.float32), text, tag)

    wrong = Run.of("w", [piece(5, "a"), piece(10, "c", "missing"), piece(5, "d")], 4.0)
    right = Run.of("r", [piece(5, "a"), piece(10, "b")], 4.0)
    assert [(r.start, r.end, r.label) for r in wrong.rows] == [
        (0.0, 5.0, 0),
        (5.0, 15.0, 1),
        (15.0, 20.0, 0),
    ]
    assert (wrong.seconds, wrong.correct, right.correct) == (20.0, False, True)
    assert np.allclose(wrong.recording().times[:3], [0, 0.25, 0.5])
    told = Told(7.0, "step 3 started, step 2 has not been seen")
    steps = ((0.0, 5.0, "step-1"), (5.0, 15.0, "step-2"))
    scores = Scores(
        [
            Watched(wrong, (told, Told(8.0, "again")), (), 0.0),
            Watched(right, (Told(3.0, "step 1 is done again"),), steps, 0.0),
            Watched(right, (), steps, 0.5),
        ]
    )
    events = scores.events
    assert (events.events, events.matched, events.duplicates, events.false_alarms) == (1, 1, 1, 1)
    assert events.delay_seconds_median == pytest.approx(2.0)
    assert events.false_alarms_per_hour == pytest.approx(1 / (50 / 3600))
    assert scores.silent == (1, 2)
    assert scores.reasons == (1, 1)
    assert scores.early == 1
    assert steps_found(scores.watched[1:]) == 2
    beside = {name: Scores(rows) for name, rows in trivial([right], [wrong, right]).items()}
    assert set(beside) == {"never", "always", "clock", "count"}
    assert beside["never"].events.alerts == 0
    assert [a.t_seconds for a in beside["clock"].watched[0].alerts] == [7.5]
    assert [a.t_seconds for a in beside["count"].watched[0].alerts] == [15.0]


def test_what_is_said_of_alerts_is_what_a_person_would_say() -> None:
    from teach_parts.clips import Piece, Run
    from teach_parts.watch import Told, Watched, said_of

    def run(*tags: str | None) -> Run:
        pieces = [Piece(np.ones((80, 2), np.float32), f"{i}", tag) for i, tag in enumerate(tags)]
        return Run.of("r", pieces, 4.0)

    missing = "step 3 started, step 2 has not been seen"
    again = "step 1 is done again, it has been seen before"
    found = Watched(run(None, "order"), (Told(22.0, missing, "step-3"),), (), 0.0)
    wrong = Watched(run(None, None), (Told(9.0, again, "step-1"), Told(9.0, "odd")), (), 0.0)
    silent = Watched(run(None, "order", "foreign"), (), (), 0.0)
    said = [(row.said, row.kind, row.step) for row in said_of([found, wrong, silent])]
    assert said == [
        ("right", "missing", "step-3"),
        ("wrong", "repeated", "step-1"),
        ("missed", "missing", ""),
        ("missed", "foreign", ""),
    ]


def test_pieces_of_demonstrations_and_tests_share_no_frame() -> None:
    from teach_parts.real import PHASES, PIECES, cut

    frames = np.arange(360, dtype=np.float32)[:, None]
    rng = random.Random(0)
    right, others = cut(frames, (0,), rng), cut(frames, (1, 2), rng)
    for number in range(1, PIECES + 1):
        assert set(right[number].ravel() % PHASES) == {0}
        assert not set(right[number].ravel()) & set(others[number].ravel())
        assert np.all(np.diff(right[number].ravel()) >= 0)
        slot = len(frames) // PIECES
        for made in (right, others):
            assert (number - 1) * slot <= made[number].min()
            assert made[number].max() < number * slot


def test_clips_are_encoded_once_and_cut_to_half_seconds(tmp_path: Path) -> None:
    from teach_parts import clips

    calls: list[float] = []

    class Base:
        class encoder:
            weights_sha256 = "0" * 64

    def encode(video: Path, encoder: object, fps: float) -> object:
        calls.append(fps)

        class Made:
            vectors = np.ones((31, 2), np.float32)

        return Made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "encode_video", encode)
        for limit, rows in ((None, 30), (11, 10)):
            video = tmp_path / "x_01.mp4"
            found = clips.clip_vectors(video, Base, 4.0, tmp_path, limit)  # type: ignore[arg-type]
            assert found.shape == (rows, 2)
    assert calls == [4.0]


def test_the_reason_of_a_rendered_segment_is_a_sentence_that_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import teach_rendered

    from egomon.branches.taught.explanation import FOREIGN, explain
    from egomon.stream.segmenter import Span
    from egomon.train.features.recording import RecordingVectors

    spans = [Span(0.0, 2.0), Span(2.0, 4.0)]
    seen = SimpleNamespace(seconds=4.0, moments=[SimpleNamespace(span=span) for span in spans])
    # Far from all steps, by its look.
    odd = SimpleNamespace(score=1.0, main="look", distance=9.0, step=0, workflow=0, early=False)
    usual = SimpleNamespace(**{**vars(odd), "score": -1.0})
    monkeypatch.setattr(teach_rendered, "observe", lambda *args: seen)
    monkeypatch.setattr(teach_rendered, "replay", lambda *args: [usual, odd])
    monkeypatch.setattr(teach_rendered, "base_odds", lambda *args: [-1.0, -1.0])
    monkeypatch.setattr(teach_rendered, "filter_odds", lambda *args: [-1.0, -1.0])
    options = SimpleNamespace(threshold=0.0)
    model = SimpleNamespace(options=options, ids=("step-1",), nulls={"look": np.ones(9)})
    taught = SimpleNamespace(model=model, graphs=[SimpleNamespace(ids=())], look=None)
    bundle = SimpleNamespace(card=SimpleNamespace(stream=None), activity=None)
    recording = RecordingVectors("r", np.arange(4.0), np.ones((4, 2), np.float32))
    rows = [
        {"start": 0.0, "end": 2.0, "label": 0, "tags": [], "recording": "r"},
        {"start": 2.0, "end": 4.0, "label": 1, "tags": ["wrongpart"], "recording": "r"},
    ]
    judged = teach_rendered.Judged()
    teach_rendered.judge(judged, taught, None, bundle, recording, rows)
    assert judged.reasons[1] == explain(odd, model, taught.graphs)[0] == FOREIGN
    teach_rendered.show(judged)
    assert "reason right in 1 of 1 true alerts" in capsys.readouterr().out


def test_recordings_vary_by_what_their_row_says_and_wrong_runs_show_neither_order() -> None:
    from teach_parts.orders import WRONG, varied, wrong_runs

    assert varied(STEPS, 3, 1) == [1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11, 12]
    assert varied(STEPS, 3, 2) == [1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 11, 12]
    assert varied(STEPS, 3, 0) == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    clips = {step: np.ones((4, 2), np.float32) for step in STEPS}
    for at in range(1, 10):
        right = [STEPS, varied(STEPS, at, 1)]
        runs = wrong_runs("r", clips, clips[1], 4.0, right)
        assert len(runs) == WRONG
        assert not any(run.correct for run in runs)
        usual = [[f"step {step}" for step in order] for order in right]
        assert not any([row.text for row in run.rows] in usual for run in runs)
