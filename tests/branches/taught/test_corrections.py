"""What people say of alerts moves odds, is a file to read, and can be undone."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest

from egomon.branches.taught.corrections import (
    FEEDBACK_FILE,
    Correction,
    as_kind,
    kind_of,
    log_odds_of,
    read_corrections,
    with_row,
    without_alert,
    without_last_missed,
    write_corrections,
)

WRONG = Correction(said="wrong", kind="missing", step="step-2", alert='a"1')
MISSED = Correction(said="missed", kind="repeated", step="step-3")


def test_rows_come_back_and_no_row_is_no_file(tmp_path: Path) -> None:
    assert read_corrections(tmp_path) == ()
    write_corrections(tmp_path, [WRONG, MISSED])
    assert read_corrections(tmp_path) == (WRONG, MISSED)
    assert len(tomllib.loads((tmp_path / FEEDBACK_FILE).read_text())["row"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == [FEEDBACK_FILE]
    write_corrections(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_the_newest_word_on_an_alert_counts_and_can_be_taken_back() -> None:
    rows = with_row([MISSED], WRONG)
    right = Correction(said="right", kind="missing", step="step-2", alert='a"1')
    assert with_row(rows, right) == (MISSED, right)
    assert without_alert(rows, 'a"1') == (MISSED,)
    assert without_alert(rows, "") == rows
    assert without_last_missed((MISSED, WRONG, MISSED), "repeated", "step-3") == (MISSED, WRONG)
    assert without_last_missed(rows, "missing", "step-3") == rows


def test_the_odds_are_those_of_mistakes_that_were_over_those_that_were_told() -> None:
    right = Correction(said="right", kind="missing", step="step-2")
    assert log_odds_of([WRONG], "missing", "step-2") == pytest.approx(math.log(0.5 / 1.5))
    assert log_odds_of([MISSED], "repeated", "step-3") == pytest.approx(math.log(1.5 / 0.5))
    assert log_odds_of([WRONG], "missing", "step-2") < log_odds_of([WRONG], "missing", "step-9") < 0
    assert log_odds_of([right], "missing", "step-2") == 0.0
    assert log_odds_of([WRONG], "missing", "step-2") < log_odds_of(
        [WRONG, right], "missing", "step-2"
    )
    assert log_odds_of([MISSED], "foreign", "step-3") == 0.0
    anywhere = Correction(said="wrong", kind="foreign")
    assert log_odds_of([anywhere], "foreign", "step-7") == pytest.approx(math.log(0.5 / 1.5))


@pytest.mark.parametrize(
    "text",
    ["row = 3", "[[row]]\nsaid = 'maybe'\nkind = 'missing'", "[[row", "[[row]]\nwhat = 1", "x = 1"],
)
def test_a_file_that_breaks_the_format_is_named(tmp_path: Path, text: str) -> None:
    from egomon.errors import BundleError

    (tmp_path / FEEDBACK_FILE).write_text(text)
    with pytest.raises(BundleError, match=r"feedback\.toml.*correct or delete it"):
        read_corrections(tmp_path)


def test_kinds_are_told_by_the_sentences() -> None:
    assert kind_of("step 1 is done again, it has been seen before") == "repeated"
    assert kind_of("this does not look like any step of the workflow") == "foreign"
    assert kind_of("the work begins again with step 1, step 9 has not been seen") == "stopped"
    assert kind_of("something else") is None
    assert (as_kind("missing"), as_kind("odd")) == ("missing", None)
