"""What a person is told of a taught bundle, and when it counts as ready."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from egomon.train.teach.report import TeachReport, notes_on

COUNTED = TeachReport(
    recordings=3,
    segments=15,
    steps=5,
    workflows=1,
    hours=0.1,
    step_agreement=0.9,
    threshold=0.8,
    false_alarms_per_hour=6.0,
    alerts_on_recordings=0,
    base="lite0",
    made=10,
    found=6,
    judged_hours=0.5,
    most_an_hour=6.0,
)
"""Each recording judged by the others."""
UNCOUNTED = replace(COUNTED, made=0, found=0, judged_hours=0.0, most_an_hour=None)
"""As the one-class model reports."""


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "ready"),
        ({"recordings": 2}, "usable"),
        ({"found": 5}, "usable"),  # under .6 of those made
        ({"found": 1}, "failed"),  # no more than .1
        ({"found": 2}, "usable"),
        ({"alerts_on_recordings": 3}, "ready"),  # the budget of half an hour
        ({"alerts_on_recordings": 4}, "usable"),
        ({"made": 0, "found": 0}, "usable"),  # nothing shows that it finds mistakes
        ({"steps": 1}, "failed"),
        ({"steps": 2}, "ready"),
        ({"step_agreement": 0.2}, "ready"),  # what it finds speaks for it
        ({"step_agreement": 0.19}, "failed"),
        ({"step_agreement": 0.0}, "failed"),
        ({"step_agreement": None}, "ready"),
    ],
)
def test_what_models_of_the_other_recordings_found_decides(
    change: dict[str, object], verdict: str
) -> None:
    assert replace(COUNTED, **change).verdict == verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("agreement", "recordings", "verdict"),
    [
        (0.6, 3, "ready"),
        (0.59, 3, "usable"),
        (0.6, 2, "usable"),
        (None, 3, "usable"),
        (0.0, 3, "failed"),
    ],
)
def test_without_made_mistakes_the_steps_must_be_recognised_again(
    agreement: float | None, recordings: int, verdict: str
) -> None:
    found = replace(UNCOUNTED, step_agreement=agreement, recordings=recordings)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("alarms", "words"),
    [(0, "no false alarm"), (1, "one false alarm"), (2, "2 false alarms")],
)
def test_the_sentence_bounds_the_false_alarms_by_what_was_judged(alarms: int, words: str) -> None:
    assert replace(COUNTED, alerts_on_recordings=alarms).sentence == (
        "Ready: found 5 steps in 3 recordings and recognises them again; judged by the others, 6 "
        f"of 10 made mistakes were found, with {words} in 30 minutes, so at most 6 an hour (95 %)."
    )


def test_more_false_alarms_than_the_budget_and_too_few_pictures_are_said() -> None:
    above = replace(COUNTED, alerts_on_recordings=4, most_an_hour=18.0)
    judged = "4 false alarms in 30 minutes, so at most 18 an hour (95 %), above the budget of 6"
    assert f"{judged}; more recordings would help" in above.sentence
    slow = replace(above, frame_seconds=1.0).sentence
    assert slow.endswith(
        f"{judged}; the recordings show a picture every 1 s, and 4 a second are wanted: record the "
        "work again."
    )


def test_where_nothing_was_judged_the_sentence_claims_nothing() -> None:
    assert UNCOUNTED.sentence == ("Ready: found 5 steps in 3 recordings and recognises them again.")
    assert replace(UNCOUNTED, recordings=1).sentence == (
        "Usable: found 5 steps in 1 recordings; more recordings would help (egomon teach --add)."
    )


def test_a_failure_names_the_recording_at_fault_or_the_base() -> None:
    failed = replace(COUNTED, steps=1)
    assert failed.sentence.startswith("Base lite0 cannot tell the steps apart (found 1 steps in 3")
    assert "--steps FILE" in failed.sentence
    odd = replace(failed, odd="kitchen.mp4")
    assert odd.sentence.startswith("kitchen.mp4 shows other work or another place")
    assert replace(COUNTED, odd="kitchen.mp4").verdict == "ready", "it is no verdict by itself"


def test_json_holds_the_verdict_and_its_sentence_beside_the_counts() -> None:
    told = json.loads(json.dumps(COUNTED.to_json()))
    assert (told["verdict"], told["sentence"]) == ("ready", COUNTED.sentence)
    assert (told["made"], told["found"], told["base"]) == (10, 6, "lite0")


def test_the_table_shows_text_from_outside_as_it_is() -> None:
    console = Console(file=StringIO(), width=120)
    console.print(replace(COUNTED, base="[red]x[/red]", notes=("[bold]note",)).table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for shown in ("3 (6.0 min)", "[red]x[/red]", "[bold]note", "0.90", "6 an hour"):
        assert shown in text
    console.print(replace(COUNTED, step_agreement=None).table())
    assert " - " in console.file.getvalue()  # type: ignore[attr-defined]


def test_notes_warn_of_one_step_and_of_one_recording() -> None:
    (one_step,) = notes_on(3, 6, 1, allowed=2.0)
    assert one_step.startswith("only one step was found")
    (single,) = notes_on(1, 1, 4, allowed=0.1)
    assert single.startswith("one recording shows no variation")


def test_notes_warn_of_a_budget_that_allows_less_than_one_alarm() -> None:
    (note,) = notes_on(8, 8, 4, allowed=0.25)
    assert note.startswith("the budget allows 0.25 false alarms in all recordings together")
    assert notes_on(8, 8, 4, allowed=1.0) == ()


@pytest.mark.parametrize(("fewest", "odds"), [(2, 2), (3, 4), (5, 16)])
def test_notes_tell_how_often_few_recordings_show_one_order_by_chance(
    fewest: int, odds: int
) -> None:
    (note,) = notes_on(8, fewest, 4, allowed=1.0)
    assert f"with a chance of 1 in {odds}: " in note
    assert notes_on(8, 6, 4, allowed=1.0) == ()
    assert notes_on(8, 1, 4, allowed=1.0) == (), "one recording has no pair seen twice"
