"""Whether a run that has ended did what it was started for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wire_samples import alert

from egomon.cli.outcome import check_expected, check_outputs, check_watched
from egomon.errors import ReplayMismatchError, SourceLostError, UsageError
from egomon.fusion.messages.envelope import encode


def run(*, has_frames: bool, encoded: int, stopped_by: str = "end") -> tuple[Any, list[Any]]:
    """Summary and sources of a run."""
    frames = {"decoded": 9, "encoded": encoded}
    summary = SimpleNamespace(sources=("cam0",), frames=frames, stopped_by=stopped_by)
    return summary, [SimpleNamespace(has_frames=has_frames)]


def test_a_source_that_gave_nothing_or_ended_too_soon_is_no_watched_one() -> None:
    with pytest.raises(SourceLostError, match="no frame came from cam0") as silent:
        check_watched(*run(has_frames=False, encoded=0))
    assert silent.value.code == "STREAM_TIMEOUT"
    with pytest.raises(SourceLostError, match="cam0 ended before the models were loaded") as short:
        check_watched(*run(has_frames=True, encoded=0))
    assert short.value.code == "STREAM_ENDED"
    check_watched(*run(has_frames=True, encoded=1))
    check_watched(*run(has_frames=True, encoded=0, stopped_by="duration"))


def test_alerts_are_compared_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "expected.jsonl"
    with pytest.raises(UsageError, match="cannot read"):
        check_expected([alert()], path)
    path.write_bytes(encode(alert()) + b"\n")
    check_expected([alert()], path)
    with pytest.raises(ReplayMismatchError, match="0 lines, expected 1"):
        check_expected([], path)


def test_no_output_may_replace_what_the_run_reads(tmp_path: Path) -> None:
    video, expected, link = (tmp_path / name for name in ("a.mp4", "a.jsonl", "link"))
    video.write_bytes(b"video")
    expected.write_bytes(b"{}")
    link.symlink_to(video)
    for outputs in ((video, None), (None, link), (None, tmp_path / "." / "a.jsonl")):
        with pytest.raises(UsageError, match="is read by this run; name another file"):
            check_outputs(outputs, ["rtsp://camera/1", f"file://{video}"], expected)
    check_outputs((video, expected), ["synthetic:", str(tmp_path / "none.mp4")], None)
    check_outputs((tmp_path / "new", Path("/dev/null")), [str(video)], expected)
