"""The page of what was learned: complete, safe, and without a script."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from egomon.branches.taught.step_pictures import read_step_picture, write_step_pictures
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.errors import UsageError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import Picture, RecordingVectors
from egomon.train.teach.page import (
    STYLE,
    AlignedRecording,
    before_each,
    page,
    step_pictures,
    write_page,
)

BAD = "<script>alert('x')</script>\"&"


def graph(name: str = "wash", step: str = "soap") -> WorkflowGraph:
    steps = (
        WorkflowStep("step-1", "wet"),
        WorkflowStep("step-2", step, after=("step-1",), optional=True),
    )
    return WorkflowGraph(name, steps, 2)


def track(name: str) -> AlignedRecording:
    pictures = tuple(Picture(t, f"\xff{name}{t}".encode("latin-1")) for t in (0.0, 4.0, 6.0))
    recording = RecordingVectors(
        name, np.arange(40) / 4, np.ones((40, 2), np.float32), pictures=pictures
    )
    return AlignedRecording(recording, (Span(0.0, 4.0, "step-1"), Span(4.0, 10.0, "step-2")))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    return parser.seen


def test_steps_show_durations_order_and_a_picture_from_each_recording() -> None:
    text = page("wash", "Ready.", ["a note"], [graph()], [track("a.mp4"), track("b.mp4")])
    assert "Ready." in text
    assert "a note" in text
    assert "4 s (4 to 4); in 2 of 2 recordings" in text
    assert "6 s (6 to 6); in 2 of 2 recordings; may be left out; after wet" in text
    pictures = [a for tag, a in tags(text) if tag == "img"]
    assert [p["alt"] for p in pictures] == ["a.mp4, 0 s", "b.mp4, 0 s", "a.mp4, 6 s", "b.mp4, 6 s"]
    wanted = base64.b64encode(b"\xffa.mp40.0").decode()
    assert pictures[0]["src"] == f"data:image/jpeg;base64,{wanted}"
    assert sum(tag == "svg" for tag, _ in tags(text)) == 2  # order, recordings
    assert len(re.findall(r"<title>wet, 0 to 4 s</title>", text)) == 2


def test_text_from_outside_is_never_markup_and_nothing_runs_or_loads() -> None:
    given = track(BAD)
    text = page(BAD, BAD, [BAD], [graph(BAD, BAD), graph(BAD, BAD)], [given])
    found = tags(text)
    assert not [tag for tag, _ in found if tag in ("script", "link", "iframe", "object")]
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in found if "style" in attrs]
    sources = [attrs["src"] or "" for _, attrs in found if "src" in attrs]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    (policy,) = [a["content"] for t, a in found if t == "meta" and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert f"<style>{STYLE}</style>" in text


def test_only_what_comes_directly_before_is_named() -> None:
    chain = WorkflowGraph.learn([["a", "b", "c"]] * 2)
    assert before_each(chain) == {"a": [], "b": ["a"], "c": ["b"]}


def test_a_page_without_visits_or_pictures_is_still_a_page(tmp_path: Path) -> None:
    bare = RecordingVectors("a", np.arange(3.0), np.ones((3, 2), np.float32))
    write_page(
        tmp_path / "p.html",
        title="x",
        sentence="y",
        notes=(),
        graphs=[graph()],
        tracks=[AlignedRecording(bare, ())],
    )
    assert "<h1>x</h1>" in (tmp_path / "p.html").read_text()
    with pytest.raises(UsageError, match="cannot write"):
        write_page(
            tmp_path / "no" / "p.html", title="", sentence="", notes=(), graphs=[], tracks=[]
        )


def test_each_step_has_one_picture_of_the_first_recording_that_shows_it(tmp_path: Path) -> None:
    found = step_pictures([track("a.mp4"), track("b.mp4")])
    assert found == {
        "step-1": "\xffa.mp40.0".encode("latin-1"),
        "step-2": "\xffa.mp46.0".encode("latin-1"),
    }
    write_step_pictures(tmp_path, {**found, "../step-3": b"x", "a/b": b"x"})
    assert read_step_picture(tmp_path, "step-2") == found["step-2"]
    assert [path.name for path in tmp_path.rglob("*.jpg")] in (
        ["step-1.jpg", "step-2.jpg"],
        ["step-2.jpg", "step-1.jpg"],
    )
    (tmp_path / "step-3.jpg").write_bytes(b"secret")
    assert read_step_picture(tmp_path, "../step-3") is None
    assert read_step_picture(tmp_path, "step-9") is None
