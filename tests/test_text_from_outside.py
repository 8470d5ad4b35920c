"""Files and messages that others wrote, damaged at random: read, or refused in one sentence."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egomon.branches.bundle.locate import find_bundle, parse_card, read_card_bytes
from egomon.branches.taught.workflow_file import from_toml, to_toml
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.cli.config_file import commented_toml
from egomon.cli.names import default_name, dereference
from egomon.config import load_settings
from egomon.errors import EgomonError
from egomon.fusion.messages.envelope import SOURCE_NAME
from egomon.fusion.messages.session_file import decode_line, encode_line
from egomon.fusion.sinks.open import find_sink
from egomon.stream.redact import redact
from egomon.stream.sources.open import find_source
from egomon.testing import sample_messages
from egomon.train.teach.help_files import read_step_names

WORDS = r'" [ ] = { \u 1e999 -1 nan [] true null "" [[step]]'
ODD = st.sampled_from(
    [
        *WORDS.encode().split(),
        *(b"\n", b"\x00", b"\xff", b"\xed\xa0\x80", "\u202e\x1b]0;x\x07".encode()),
    ]
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), ODD | st.binary(max_size=8)), max_size=6
)
"""Where, how many bytes go, what comes in their place."""

GRAPH = WorkflowGraph(
    "tea",
    (
        WorkflowStep(id="s0", name="boil", after=(), optional=False, repeatable=True),
        WorkflowStep(id="s1", name="pour", after=("s0",), optional=True, repeatable=False),
    ),
    3,
)
WORKFLOW = to_toml([GRAPH]).encode()
WORKFLOWS = to_toml([GRAPH, GRAPH]).encode()
SETTINGS = re.sub(r'(?m)^# (?=\w+ = (?!""))', "", commented_toml()).encode()
CARD = read_card_bytes(find_bundle("workbench"))
LINES = [encode_line(message) for message in sample_messages()]


def test_undamaged_they_are_read() -> None:
    assert from_toml(WORKFLOW.decode()) == (GRAPH,)
    assert from_file(SETTINGS, load_settings)()
    assert parse_card(CARD, "bundle.json").name == "workbench"
    assert all(decode_line(line) for line in LINES)


def damaged(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, gone, put in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + gone :]
    return data


def read_or_refused(read: Callable[[], object]) -> None:
    """Whatever else is raised fails the test."""
    try:
        read()
    except EgomonError as error:
        told = str(error)
        assert told, "it says why"
        assert len(told) < 2000, "and does not repeat the file"


def from_file(data: bytes, read: Callable[[Path], object]) -> Callable[[], object]:
    def whole() -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_bytes(data)
            return read(path)

    return whole


@pytest.mark.parametrize("whole", [WORKFLOW, WORKFLOWS])
@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_workflow_file(whole: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    data = damaged(whole, edits)
    read_or_refused(lambda: from_toml(data.decode(errors="replace")))


@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_settings_file(edits: list[tuple[float, int, bytes]]) -> None:
    read_or_refused(from_file(damaged(SETTINGS, edits), load_settings))


@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_card(edits: list[tuple[float, int, bytes]]) -> None:
    read_or_refused(lambda: parse_card(damaged(CARD, edits), "bundle.json"))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-16")))
def test_a_file_of_names_or_of_an_address(data: bytes) -> None:
    read_or_refused(from_file(data, read_step_names))
    read_or_refused(from_file(data, lambda path: dereference(f"@{path}", option="--device")))


@pytest.mark.parametrize("line", LINES, ids=lambda line: "line")
@settings(max_examples=60, deadline=None)
@given(edits=EDITS)
def test_a_line_of_a_session(line: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    read_or_refused(lambda: decode_line(damaged(line, edits)))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60) | st.sampled_from(["://", "rtsp://[::1", "a:b:c", "..", "@", ":"]))
def test_a_reference_to_a_source_or_sink(text: str) -> None:
    read_or_refused(lambda: find_source(text))
    read_or_refused(lambda: find_sink(text))
    name = default_name(text, set())
    assert re.fullmatch(SOURCE_NAME, name), "it can stand in a topic"
    assert isinstance(redact(text), str)
