"""Names and boundaries that a user gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from egomon.errors import DataError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.help_files import read_step_names, with_boundaries, write_boundaries


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_names_are_lines_in_order(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text("wet the h\xe4nds\n\n  soap <b>& water \nrinse\n", encoding=encoding)
    assert read_step_names(path) == ("wet the h\xe4nds", "soap <b>& water", "rinse")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"one\n", "holds 1 step names"),
        (b"a\nb\na\n", "names the step 'a' twice"),
        (b"\xff\xfe\x00\xd8", "is no text"),
        (None, "cannot read step names"),
    ],
)
def test_bad_names_are_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_step_names(path)


def recordings() -> list[RecordingVectors]:
    return [RecordingVectors(f"{n}.mp4", np.arange(9.0), np.ones((9, 2), np.float32)) for n in "ab"]


def table(folder: Path, *rows: str) -> Path:
    path = folder / "steps.csv"
    path.write_text("\n".join(["recording,start,end,label,text", *rows]))
    return path


def test_boundaries_of_one_recording_are_enough(tmp_path: Path) -> None:
    path = table(tmp_path, "b,4,8,,dry", "b.mp4,0,4,0,wash", "other,0,1,1,x")
    (first, second), others = with_boundaries(recordings(), path)
    assert first.spans is None
    assert second.spans == (Span(0.0, 4.0, "wash"), Span(4.0, 8.0, "dry"))
    assert others == ["other"]


def test_a_whole_text_as_the_name_of_a_step_is_cut(tmp_path: Path) -> None:
    (first, _), others = with_boundaries(recordings(), table(tmp_path, f"a,0,4,,{'x' * 300}"))
    assert [len(span.text or "") for span in first.spans or ()] == [200]
    assert others == []


def test_boundaries_of_nothing_or_of_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row of any of these recordings: a\.mp4, b\.mp4"):
        with_boundaries(recordings(), table(tmp_path, "c,0,4,0,wash"))
    with pytest.raises(DataError, match=r"marks a mistake at 2 s of a\.mp4"):
        with_boundaries(recordings(), table(tmp_path, "a,2,4,1,wash"))
    with pytest.raises(DataError, match="no such table"):
        with_boundaries(recordings(), tmp_path / "none.csv")


def test_written_boundaries_are_read_back(tmp_path: Path) -> None:
    spans = (Span(0.0, 4.25, 'wash "well", twice'), Span(4.25, 8.0, "=dry"))
    write_boundaries(tmp_path / "steps.csv", {"a.mp4": spans})
    (first, second), _ = with_boundaries(recordings(), tmp_path / "steps.csv")
    assert (first.spans, second.spans) == (spans, None)
    with pytest.raises(DataError, match="cannot write"):
        write_boundaries(tmp_path, {"a.mp4": spans})
