"""The drawings of the page: which picture shows a step, and how recordings lie on one scale."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.stream.segmenter import Span
from egomon.train.features.recording import Picture, RecordingVectors
from egomon.train.teach.page import (
    LABEL_WIDTH,
    MOST_PICTURES,
    TRACK_GAP,
    TRACK_HEIGHT,
    TRACK_WIDTH,
    AlignedRecording,
    page,
    step_pictures,
)

TWO = WorkflowGraph("wash", (WorkflowStep("a", "wet"), WorkflowStep("b", "soap")), 2)


def recording(
    name: str, *visits: tuple[float, float, str | None], pictures: tuple[float, ...] = ()
) -> AlignedRecording:
    shots = tuple(Picture(t, f"{name}@{t:g}".encode()) for t in pictures)
    vectors = RecordingVectors(name, np.arange(4.0), np.ones((4, 2), np.float32), pictures=shots)
    return AlignedRecording(vectors, tuple(Span(*visit) for visit in visits))


def drawn(*tracks: AlignedRecording, graphs: tuple[WorkflowGraph, ...] = (TWO,)) -> str:
    return page("t", "s", (), graphs, tracks)


def bars(text: str) -> list[tuple[str, float, float, float]]:
    """Title, x, y and width of each bar of the recordings."""
    pattern = r'<g><title>([^<]*)</title><rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" rx="3"'
    return [(t, float(x), float(y), float(w)) for t, x, y, w in re.findall(pattern, text)]


def test_recordings_lie_one_above_the_other_on_one_scale_of_seconds() -> None:
    text = drawn(
        recording("short", (0.0, 5.0, "a"), (5.0, 10.0, "b")), recording("long", (0.0, 20.0, "a"))
    )
    scale = (TRACK_WIDTH - LABEL_WIDTH) / 20.0
    row = TRACK_HEIGHT + TRACK_GAP
    assert bars(text) == [
        ("wet, 0 to 5 s", LABEL_WIDTH, 0.0, pytest.approx(5 * scale - 1, abs=0.1)),
        ("soap, 5 to 10 s", LABEL_WIDTH + 5 * scale, 0.0, pytest.approx(5 * scale - 1, abs=0.1)),
        ("wet, 0 to 20 s", LABEL_WIDTH, row, TRACK_WIDTH - LABEL_WIDTH - 1),
    ]
    assert f'height="{2 * row}" viewBox="0 0 {TRACK_WIDTH} {2 * row}"' in text


def test_a_bar_carries_its_step_s_number_where_there_is_room() -> None:
    text = drawn(recording("r", (0.0, 1.0, "a"), (1.0, 100.0, "b")))
    assert re.findall(r'fill="#fff" font-size="12">(\d+)<', text) == ["2"]


def test_a_bar_of_no_step_has_no_number_and_says_so() -> None:
    text = drawn(recording("r", (0.0, 50.0, None), (50.0, 100.0, "gone")))
    assert [title for title, *_ in bars(text)] == ["no step, 0 to 50 s", "no step, 50 to 100 s"]
    assert 'font-size="12">' not in text


def test_a_bar_is_wide_enough_to_be_seen() -> None:
    text = drawn(recording("r", (0.0, 0.01, "a"), (0.01, 1000.0, "b")))
    assert bars(text)[0][3] == 0.5


def test_each_step_has_a_colour_of_its_own() -> None:
    steps = tuple(WorkflowStep(f"s{k}", f"step {k}") for k in range(9))
    visits = [(float(k), k + 1.0, f"s{k}") for k in range(9)]
    text = drawn(recording("r", *visits), graphs=(WorkflowGraph("w", steps, 1),))
    colours = re.findall(r"hsl\((\d+) 55% 40%\)", text)
    assert len(colours) == len(set(colours)) == 9


def test_a_long_name_is_cut_beside_its_bar_and_whole_in_its_title() -> None:
    name = "a-very-long-name-of-a-recording.mp4"
    text = drawn(recording(name, (0.0, 1.0, "a")))
    assert f"<title>{name}</title>" in text
    assert f">{name[:26]}</text>" in text


def test_a_step_shows_at_most_so_many_pictures_one_of_each_recording() -> None:
    tracks = [
        recording(f"r{k}", (0.0, 4.0, "a"), (6.0, 9.0, "a"), pictures=(1.0, 7.0))
        for k in range(MOST_PICTURES + 2)
    ]
    shown = re.findall(r"<figcaption>([^<]*)</figcaption>", drawn(*tracks))
    assert shown == [f"r{k}, 1 s" for k in range(MOST_PICTURES)]


def test_the_picture_of_a_step_is_the_one_nearest_to_its_middle() -> None:
    track = recording("r", (2.0, 10.0, "a"), pictures=(0.0, 2.0, 5.0, 7.5, 10.0))
    assert step_pictures([track]) == {"a": b"r@5"}


def test_a_visit_without_a_picture_takes_none_of_its_neighbours() -> None:
    without = recording("r", (2.0, 3.0, "a"), (3.0, 9.0, None), pictures=(1.9, 3.0))
    assert step_pictures([without]) == {}
    later = recording("s", (2.0, 3.0, "a"), pictures=(2.5,))
    assert step_pictures([without, later]) == {"a": b"s@2.5"}


def test_steps_are_numbered_through_all_workflows_and_each_is_named() -> None:
    other = WorkflowGraph("dry", (WorkflowStep("c", "towel"),), 1)
    text = drawn(recording("r", (0.0, 9.0, "c")), graphs=(TWO, other))
    assert re.findall(r"<h3>([^<]*)</h3>", text) == ["1. wet", "2. soap", "3. towel"]
    assert "<h2>Steps: wash</h2>" in text
    assert "<h2>Order: dry</h2>" in text
    assert "<h2>Steps</h2>" in drawn(), "a single one needs no name"


def test_facts_tell_the_typical_length_its_range_and_what_may_be_left_out() -> None:
    steps = (WorkflowStep("a", "wet", optional=True, repeatable=True),)
    tracks = [
        recording("r", (0.0, 2.0, "a"), (5.0, 11.0, "a")),
        recording("s", (0.0, 3.0, "a")),
        recording("t"),
    ]
    text = drawn(*tracks, graphs=(WorkflowGraph("w", steps, 3),))
    assert "3 s (2 to 6); in 2 of 3 recordings; may be left out; may come again<" in text


def test_the_page_is_written_in_utf_8(tmp_path: Path) -> None:
    from egomon.train.teach.page import write_page

    write_page(tmp_path / "p.html", title="Löten", sentence="é", notes=(), graphs=[TWO], tracks=())
    assert "<h1>Löten</h1>" in (tmp_path / "p.html").read_bytes().decode("utf-8")
