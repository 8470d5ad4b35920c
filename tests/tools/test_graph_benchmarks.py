from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.graph_benchmarks.__main__ import assembly101, count_last, count_rule, main, trivial_rules
from tools.graph_benchmarks.captaincook import captaincook4d
from tools.graph_benchmarks.counts import Counts

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
needs_assembly = pytest.mark.skipif(
    not (DATA / "assembly101-o").is_dir(), reason="Assembly101-O labels are not here"
)
needs_captaincook = pytest.mark.skipif(
    not (DATA / "captaincook4d").is_dir(), reason="CaptainCook4D labels are not here"
)


def test_published_averages_follow_from_the_counts() -> None:
    counts = Counts(tp=85, fp=9, fn=97, tn=486)

    shown = [counts.precision, counts.recall, counts.f1(), counts.f1(False), counts.average_f1]
    assert [round(100 * x, 1) for x in shown] == [90.4, 46.7, 61.6, 90.2, 75.9]


def test_only_the_last_step_of_a_sequence_counts_as_a_mistake() -> None:
    rule = count_rule([["a", "b", "c"]])

    assert count_last([["a", "c"], ["b", "c"], ["a", "b"]], rule) == Counts(tp=2, fp=1, fn=1, tn=2)


def test_trivial_rules_know_steps_and_transitions() -> None:
    rules = trivial_rules([["a", "b", "c"]])

    assert rules["unseen step only"]("z", [])
    assert not rules["one-step memory"]("b", ["a"])
    assert rules["one-step memory"]("b", [])
    assert [rules["clock, 4th step on"]("a", ["b"] * n) for n in (2, 3)] == [False, True]


@needs_assembly
@pytest.mark.data
def test_the_count_rule_reaches_the_published_oracle_row() -> None:
    rows = assembly101(DATA / "assembly101-o")

    oracle, predicted = rows["count rule, tau 0.9"]
    assert oracle == Counts(tp=85, fp=9, fn=97, tn=486)
    assert predicted == Counts(tp=1, fp=2, fn=181, tn=459)
    assert rows["unseen step only"][0] == Counts(82, 3, 100, 492)
    assert round(100 * rows["clock, 4th step on"][1].average_f1, 1) == 53.6


def write_set(folder: Path, tests: dict[str, list[int]], predicted: dict[str, list[int]]) -> None:
    def entry(steps: list[int]) -> dict[str, object]:
        return {"segments": [{"step_id": s, "start_time": t} for t, s in enumerate(steps)]}

    for file, sequences in (("train", {"a": [1, 2, 3]}), ("test", tests)):
        annotations = {name: entry(steps) for name, steps in sequences.items()}
        (folder / f"{file}.json").write_text(json.dumps({"annotations": annotations}))
    pred = {name: {"pred": steps} for name, steps in predicted.items()}
    (folder / "predicted_steps_miniroad.json").write_text(json.dumps(pred))


def test_what_is_said_below_the_table_is_of_the_set_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tents"
    folder.mkdir()
    tests = {"x": [1, 9], "y": [1, 3], "z": [1, 8]}
    write_set(folder, tests, {"x": [1, 9], "y": [1, 2], "z": []})
    assert main(["assembly101-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("tents, true steps")
    assert "Of the 3 hits of 'count rule, tau 0.9', 2 are steps" in said
    assert "the order adds 1 hits and 0 false flags" in said
    assert said.endswith("right in 1 of 3 sequences.\n")


@needs_captaincook
@pytest.mark.data
def test_the_count_rule_finds_captaincook_order_errors_better_than_the_given_graph() -> None:
    rows = captaincook4d(DATA / "captaincook4d")

    learned = rows["count rule, tau 0.9"]
    assert round(learned.order.precision, 3) == 0.368
    assert round(learned.order.recall, 3) == 0.718
    assert round(learned.order.f1(), 3) == 0.486
    assert learned.false_flags == 36
    assert round(rows["given graph, direct"].order.recall, 3) == 0.298
    assert round(rows["flag all"].order.f1(), 3) == 0.444


@needs_assembly
@pytest.mark.data
def test_the_command_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assembly101-o", str(DATA / "assembly101-o")]) == 0

    table = capsys.readouterr().out
    assert "true steps" in table
    assert "predicted by MiniROAD" in table


def test_a_folder_without_labels_stops_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["captaincook4d", str(tmp_path)]) == 2
    assert "annotations.json" in capsys.readouterr().err
