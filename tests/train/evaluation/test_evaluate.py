"""The figures of a report, each beside a value that was worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO

import msgspec
import numpy as np
import pytest
from feature_sets import ENCODER
from rich.console import Console

from egomon.train.evaluation.bootstrap import by_recording
from egomon.train.evaluation.evaluate import EvaluationReport, report
from egomon.train.evaluation.stage_scores import StageScores
from egomon.train.evaluation.trivial import row_of, trivial_scores
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow
from egomon.train.metrics.curves import roc_auc

CARD = DatasetCard(name="bench", licence="CC0", encoder=ENCODER, fps=2.0, dim=16)
ROWS = (
    # recording, start, end, label, tags; the rows of b are not in the order of time
    ("a", 0.0, 10.0, 0, ()),
    ("a", 10.0, 20.0, 1, ("order",)),
    ("a", 20.0, 30.0, 0, ()),
    ("a", 30.0, 40.0, 1, ("order", "slip")),
    ("b", 10.0, 20.0, 0, ()),
    ("b", 0.0, 10.0, 1, ("slip",)),
)
P = np.array([0.1, 0.9, 0.6, 0.4, 0.2, 0.8])
FLAGGED = P >= 0.5


def rows() -> FeatureSet:
    segments = tuple(
        SegmentRow(recording=name, start=start, end=end, label=label, tags=tags)
        for name, start, end, label, tags in ROWS
    )
    empty = Track(np.zeros(0), np.zeros((0, 16), np.float32))
    return FeatureSet(CARD, segments, lambda name: empty, "bench")


def judged(p: np.ndarray = P, threshold: float = 0.5) -> StageScores:
    return StageScores(p, np.full(len(p), threshold))


def bench(**changes: object) -> EvaluationReport:
    return replace(report("m", rows(), judged()), **changes)  # type: ignore[arg-type]


def text_of(found: EvaluationReport) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(found.table())
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_counts_and_hours_are_those_of_the_rows() -> None:
    found = report("m", rows(), judged(), context="offline")
    assert (found.n, found.positives, found.recordings) == (6, 3, 2)
    assert found.hours == pytest.approx((40 + 20) / 3600)
    assert (found.model, found.data, found.context) == ("m", "bench", "offline")
    assert found.times[-1] == ("b", 0.0, 10.0)


def test_scores_of_the_threshold_are_those_of_two_hits_one_miss_and_one_false_alarm() -> None:
    scores = report("m", rows(), judged()).scores
    assert scores["mistake_precision"] == pytest.approx(2 / 3)
    assert scores["mistake_recall"] == pytest.approx(2 / 3)
    assert scores["correct_precision"] == pytest.approx(2 / 3)
    assert scores["correct_recall"] == pytest.approx(2 / 3)
    assert scores["mistake_f1"] == pytest.approx(2 / 3)
    assert scores["flagged_correct_per_hour"] == pytest.approx(60.0)
    assert scores["roc_auc"] == pytest.approx(8 / 9), "only .6 beside .4 is the wrong way round"
    assert scores["brier"] == pytest.approx(np.mean((P - rows().labels) ** 2))
    assert scores["brier_of_prior"] == pytest.approx(0.25)


def test_recall_at_a_budget_counts_false_alarms_an_hour() -> None:
    scores = report("m", rows(), judged()).scores
    assert scores["recall_at_1_per_hour"] == pytest.approx(2 / 3), "none is allowed in one minute"
    long = rows()
    long = replace(long, hours={"a": 0.5, "b": 0.5})
    assert report("m", long, judged()).scores["recall_at_1_per_hour"] == 1.0
    assert report("m", long, judged()).scores["flagged_correct_per_hour"] == 1.0


def test_the_recall_of_a_tag_counts_mistakes_that_have_it() -> None:
    assert report("m", rows(), judged()).by_tag == {"order": 0.5, "slip": 0.5}
    assert report("m", rows(), judged(threshold=0.3)).by_tag == {"order": 1.0, "slip": 1.0}
    unlike = rows()
    unlike = replace(
        unlike,
        segments=tuple(msgspec.structs.replace(r, tags=("easy",)) for r in unlike.segments[:2]),
    )
    assert report("m", unlike, judged(P[:2])).by_tag == {"easy": 1.0}, "no correct segment counts"


def test_frames_weigh_segments_by_their_length_at_the_sampling_rate() -> None:
    data = rows()
    longer = msgspec.structs.replace(data.segments[3], end=60.0)  # the missed mistake
    lengthened = replace(data, segments=(*data.segments[:3], longer, *data.segments[4:]))
    short, long = (report("m", each, judged()).scores for each in (data, lengthened))
    assert long["micro_auc"] < short["micro_auc"]
    assert long["eda"] == short["eda"], "a segment counts once there, however long it is"


def test_the_trivial_rows_stand_beside_the_model() -> None:
    found = report("m", rows(), judged()).trivial
    assert list(found) == ["always", "never", "prior", "clock", "repeat_last (oracle)"]
    assert found["always"]["mistake_recall"] == 1.0
    assert found["always"]["mistake_precision"] == 0.5
    assert found["never"]["mistake_recall"] == 0.0
    assert found["prior"]["roc_auc"] == 0.5


def test_the_clock_flags_from_the_fourth_segment_of_a_recording_on() -> None:
    clock = trivial_scores(rows())["clock"]
    assert (clock >= 0.5).tolist() == [False, False, False, True, False, False]
    assert clock[0] == clock[5] == 0.0
    assert clock[4] == clock[1], "by time, not by the order of the rows"


def test_the_oracle_repeats_the_label_before_in_time_and_begins_with_correct() -> None:
    assert trivial_scores(rows())["repeat_last (oracle)"].tolist() == [0, 0, 1, 0, 1, 0]


def test_the_branches_of_a_fused_bundle_have_rows_at_their_own_thresholds() -> None:
    both = StageScores(P, np.full(6, 0.5), {"small": (P, 0.15), "fused": (np.asarray(1 - P), 0.85)})
    found = report("m", rows(), both)
    assert found.branches["small"]["mistake_recall"] == 1.0
    assert found.branches["fused"]["roc_auc"] == pytest.approx(1 / 9)
    assert found.threshold == 0.85, "of the gate"
    assert report("m", rows(), judged(threshold=0.3)).threshold == 0.3


def test_what_one_class_leaves_undefined_is_null_in_json_and_a_dash_in_the_table() -> None:
    data = rows()
    correct = replace(
        data, segments=tuple(msgspec.structs.replace(r, label=0) for r in data.segments)
    )
    found = report("m", correct, judged())
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["roc_auc"] is None
    assert told["intervals"]["roc_auc"] == [None, None]
    assert told["trivial"]["always"]["pr_auc"] is None
    assert told["correct_recall"] == pytest.approx(3 / 6)
    line = next(line for line in text_of(found).splitlines() if "m (causal)" in line)
    assert line.split("│")[2].strip() == "-"


def test_json_is_one_flat_object_of_scores_beside_its_tables() -> None:
    told = bench(fitted_on=1).to_json()
    assert (told["n"], told["recordings_fitted_on"], told["threshold"]) == (6, 1, 0.5)
    assert told["mistake_recall"] == pytest.approx(2 / 3)
    assert told["by_tag"] == {"order": 0.5, "slip": 0.5}
    assert set(told["trivial"]) == set(trivial_scores(rows()))
    low, high = told["intervals"]["mistake_recall"]
    assert low <= told["mistake_recall"] <= high


def test_the_table_tells_each_row_the_tags_and_what_flatters() -> None:
    text = text_of(bench(fitted_on=2))
    assert "m on bench: 6 segments, 3 mistakes" in text
    assert "Fitted on 2 of these 2 recordings" in text
    for heading in ("ROC AUC", "PR AUC", "Holo F", "macro F1", "prec."):
        assert heading in text
    for row in ("m (causal)", "always", "repeat_last (oracle)", "recall of slip", "micro_auc"):
        assert row in text
    assert "0.889" in next(line for line in text.splitlines() if "m (causal)" in line)
    assert "Fitted on" not in text_of(bench())


def test_one_recording_has_no_interval_and_the_table_says_why() -> None:
    data = rows()
    single = report("m", data.select("a"), judged(P[:4]))
    assert all(math.isnan(low) for low, _ in single.intervals.values())
    assert "No interval: a single recording" in text_of(single)
    assert "95 % intervals: roc_auc [" in text_of(bench())


def test_an_interval_is_drawn_from_whole_recordings() -> None:
    def recall(index: np.ndarray) -> float:
        return float(np.mean(np.array([1.0, 1.0, 0.0, 0.0])[index]))

    assert by_recording(["a", "a", "b", "b"], recall) == (0.0, 1.0)
    assert by_recording(["a", "b", "a", "b"], recall) == (0.5, 0.5), "each holds one of each"
    assert by_recording(["a", "a", "b", "b"], recall, seed=1, draws=1) in [
        (0.0, 0.0), (0.5, 0.5), (1.0, 1.0)
    ]  # fmt: skip


def test_each_recording_is_drawn_alone() -> None:
    values = np.array([0.0, 0.0, 1.0])
    found = by_recording(["a", "b", "c"], lambda i: float(values[i].mean()), draws=2000)
    assert found == (0.0, 1.0), "the third one alone, three times, is one draw of 27"


def test_draws_that_a_metric_cannot_judge_are_left_out() -> None:
    y, p = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.9, 0.2, 0.8, 0.5, 0.6])
    names = ["a", "a", "b", "b", "c", "c"]  # c alone holds one class
    assert by_recording(names, lambda i: roc_auc(y[i], p[i])) == (1.0, 1.0)
    never = by_recording(names, lambda i: float("nan"))
    assert all(math.isnan(bound) for bound in never)


def test_the_seed_of_the_draws_decides_the_interval() -> None:
    values = np.arange(12.0) ** 2
    names = [str(k) for k in range(12)]

    def mean(index: np.ndarray) -> float:
        return float(values[index].mean())

    first, again = (by_recording(names, mean, seed=3) for _ in range(2))
    assert first == again != by_recording(names, mean, seed=4)
    assert first[0] < values.mean() < first[1]


def test_a_row_has_every_column_of_the_table() -> None:
    row = row_of(rows().labels, P, FLAGGED)
    assert list(row) == ["roc_auc", "pr_auc", "holoassist_f", "macro_f1", "mistake_precision",
                         "mistake_recall"]  # fmt: skip
    assert row["macro_f1"] == row["holoassist_f"] == pytest.approx(2 / 3)
