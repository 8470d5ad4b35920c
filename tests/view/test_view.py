"""What a person reads in a terminal."""

from __future__ import annotations

import io
import logging

import pytest
from fakes import FakeClock
from rich.console import Console
from wire_data import alert, segment, stats

from egomon.fusion.messages.types import ErrorInfo, GapData, StatusData
from egomon.view.dashboard import Dashboard, render
from egomon.view.live import LiveView
from egomon.view.plain import PlainView
from egomon.view.state import MOST_ALERTS, MOST_SCORES, MOST_SOURCES, ViewState
from egomon.view.strip import score_strip


def drawn(state: ViewState, width: int = 80, height: int = 24) -> str:
    console = Console(record=True, width=width, height=height, file=io.StringIO())
    console.print(render(state, width, height))
    return console.export_text()


def busy(name: str = "cam0") -> ViewState:
    state = ViewState([name])
    state.apply(name, StatusData(source_state="online", domain="in_domain", refiner="closed"))
    state.apply(name, stats(frames={"decoded": 900, "sampled": 240, "encoded": 239}))
    for index in range(90):
        state.apply(name, segment(index, 0.9 if index > 85 else 0.2, fused=index % 2 == 0))
    return state


def test_a_panel_says_state_speed_media_time_and_counts_in_words() -> None:
    text = drawn(busy())
    for words in ("online", "in domain", "30.0 fps", "01:15.2", "decoded 900", "buffer 2", "ready"):
        assert words in text


def test_out_of_domain_is_explained_in_a_sentence() -> None:
    state = busy()
    state.apply("cam0", StatusData(source_state="online", domain="out_of_domain"))
    text = drawn(state)
    assert "OUT OF DOMAIN" in text
    assert "unlike what the model was trained on" in text


def test_every_drop_is_shown_with_its_cause() -> None:
    state = busy()
    state.apply("cam0", stats(frames={"decoded": 9, "dropped_overflow": 12}))
    state.apply("cam0", GapData(cause="stall", count=3))
    assert "overflow 12, stall 3" in drawn(state)


def test_an_alert_line_has_time_phase_probability_and_explanation() -> None:
    state = busy()
    state.apply("cam0", alert(explanation="Bolt loose."))
    line = next(line for line in drawn(state).splitlines() if "Bolt loose." in line)
    assert line.split()[:4] == ["00:12.0", "!", "new", "0.91"]
    assert "tighten the bolt" in line


def test_a_later_revision_replaces_an_alert_and_an_earlier_one_does_not() -> None:
    state = busy()
    state.apply("cam0", alert(rev=2, phase="end", explanation="later words"))
    state.apply("cam0", alert(rev=1, explanation="earlier words"))
    text = drawn(state)
    assert "later words" in text
    assert "earlier words" not in text


def test_a_revised_segment_replaces_its_point() -> None:
    state = ViewState(["cam0"])
    state.apply("cam0", segment(1, 0.9))
    state.apply("cam0", segment(2, 0.1))
    state.apply("cam0", segment(1, 0.3, fused=True))
    points = state.sources["cam0"].scores
    assert [(p.key[1], p.p, p.stage) for p in points] == [(1, 0.3, "fused"), (2, 0.1, "small")]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 12), (200, 8)])
@pytest.mark.parametrize("sources", [1, 2, 5, 16])
def test_the_screen_never_grows_beyond_its_terminal(width: int, height: int, sources: int) -> None:
    state = ViewState()
    for number in range(sources):
        name = f"cam{number}"
        state.sources[name] = busy(name).sources[name]
        for index in range(30):
            state.apply(name, alert(f"{name}-{index}", explanation="word " * 50))
    state.set_progress(0.5, 60)
    state.notes.append("note " * 60)
    lines = drawn(state, width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_the_strip_draws_bars_a_threshold_line_and_marks() -> None:
    state = ViewState(["cam0"])
    for index, p in enumerate([0.0, 1.0]):
        state.apply("cam0", segment(index, p, fused=index == 0))
    state.apply("cam0", segment(2, 0.9, out_of_domain=True))
    rows = [line.plain for line in score_strip(state.sources["cam0"].scores, 10, 4)]
    assert rows[3] == " ██"
    assert rows[1] == "┄██"  # a threshold of 0.7 lies in the third quarter
    assert rows[4] == "◆▲?"


def test_a_terminal_without_unicode_gets_seven_bit_characters() -> None:
    state = busy()
    state.apply("cam0", alert())
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=raw, width=80, height=24)
    console.print(Dashboard(state))
    raw.flush()
    text = raw.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "online" in text
    assert "?" not in text.split("domain")[0]


def test_what_the_wire_says_cannot_move_the_cursor_or_show_a_password() -> None:
    state = busy()
    state.apply("cam0", alert(explanation="bad\x1b[2J\x07 text"))
    error = ErrorInfo(code="STREAM_TIMEOUT", message="rtsp://me:secret@cam/1 is silent")
    state.apply("cam0", StatusData(source_state="stalled", error=error))
    text = drawn(state)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "secret" not in text
    assert "stalled" in text


def test_markup_from_the_wire_is_shown_as_it_is() -> None:
    state = busy()
    state.apply("cam0", alert(explanation="[bold red]not markup[/]"))
    assert "[bold red]not markup[/]" in drawn(state)


def test_memory_is_bounded() -> None:
    state = ViewState()
    for index in range(5 * MOST_SCORES):
        state.apply(f"cam{index % 40}", segment(index, 0.5))
        state.apply("cam0", alert(f"a{index}"))
    for index in range(2 * MOST_SCORES):
        state.apply("cam0", segment(index, 0.5))
    assert len(state.sources) == MOST_SOURCES
    assert len(state.alerts) == MOST_ALERTS
    assert len(state.sources["cam0"].scores) == MOST_SCORES


def test_progress_shows_share_and_time_left() -> None:
    state = busy()
    state.set_progress(0.42, 75)
    assert "42%, 1 min 15 s left" in drawn(state)


def test_the_address_of_the_live_page_stays_on_the_screen() -> None:
    state = busy()
    state.page_url = "http://127.0.0.1:8000/"
    assert "http://127.0.0.1:8000/" in drawn(state).splitlines()[0]


def test_at_most_four_pictures_are_drawn_a_second() -> None:
    clock = FakeClock()
    console = Console(file=io.StringIO(), width=80, height=24)
    with LiveView(console, busy(), clock=clock) as view:
        drawn_count = 0
        for _ in range(100):
            clock.now += 0.01
            drawn_count += view.tick()
    assert drawn_count == 4


def test_log_lines_are_held_back_on_screen_and_printed_after() -> None:
    torn, shown = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(torn)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with LiveView(Console(file=shown, width=80, height=24), busy()):
            logging.getLogger("egomon.test").warning("disk is full")
            assert torn.getvalue() == ""
        assert handler in root.handlers
    finally:
        root.removeHandler(handler)
    assert "warning: disk is full" in shown.getvalue()


def test_no_color_gives_no_colour_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True)
    console.print(Dashboard(busy()))
    assert "\x1b[3" not in out.getvalue()
    assert "online" in out.getvalue()


def test_a_source_that_never_came_leaves_the_plain_screen_to_the_error() -> None:
    out = io.StringIO()
    view = PlainView(out)
    view.apply("cam0", StatusData(source_state="connecting"))
    view.apply("cam0", StatusData(source_state="ended"))
    assert out.getvalue() == ""
    view.apply("cam0", StatusData(source_state="online"))
    view.apply("cam0", StatusData(source_state="ended"))
    assert "ended" in out.getvalue()


def test_no_view_names_a_branch() -> None:
    told = alert(explanation="Bolt loose.")
    absent = StatusData(source_state="online", refiner="absent", mode="small-only")
    state, out = busy(), io.StringIO()
    for event in (absent, told):
        state.apply("cam0", event)
        PlainView(out).apply("cam0", event)
    for shown in (drawn(state, width=140, height=40), out.getvalue()):
        assert "Bolt loose." in shown
        assert "no second score" in shown
        for word in ("branch", "small", "large"):
            assert word not in shown


def test_plain_lines_appear_only_for_what_changed() -> None:
    out = io.StringIO()
    view = PlainView(out)
    online = StatusData(source_state="online", domain="in_domain", refiner="closed")
    view.apply("cam0", online)
    view.apply("cam0", online)
    view.apply("cam0", segment(1, 0.4))
    view.apply("cam0", stats())
    view.apply("cam0", StatusData(source_state="stalled", domain="in_domain", refiner="closed"))
    view.apply("cam0", alert())
    lines = out.getvalue().splitlines()
    assert [line.split("  ", 1)[1].split()[:2] for line in lines] == [
        ["●", "online"],
        ["+", "in"],
        ["second", "score"],
        ["!", "stalled:"],
        ["!", "new"],
    ]


SENTENCE = (
    "Expected 'spread the soap between the fingers' (step 4); 'rinse both hands under water' "
    "(step 6) began at 01:12."
)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_the_newest_alert_is_read_whole(width: int, height: int) -> None:
    state = busy()
    for number in range(9):
        state.apply("cam0", alert(f"a{number}", explanation="An older one. " * 9))
    state.apply("cam0", alert("new", explanation=SENTENCE))
    words = " ".join(drawn(state, width, height).split())
    assert " ".join(SENTENCE.split()) in words


def test_a_large_terminal_is_used() -> None:
    state = busy()
    state.apply("cam0", alert())
    state.has_keys = True
    lines = drawn(state, 160, 50).splitlines()
    filled = [line for line in lines if line.strip(" │")]
    assert len(filled) >= 35
    assert max(map(len, lines)) > 150


def test_keys_and_the_loading_of_models_are_said() -> None:
    state = ViewState(["cam0"])
    state.is_loading = state.has_keys = True
    text = drawn(state)
    assert "loading the models" in text
    assert "q ends the run" in text.splitlines()[-1]
    state.is_loading = False
    assert "loading" not in drawn(state)
