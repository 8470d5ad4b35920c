"""What a run of an extraction leaves behind: its report and its record."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from made_videos import begun_folder
from rich.console import Console

from egomon.train.extraction.run_record import ExtractReport, RecordingResult, write_record

RESULTS = (
    RecordingResult("a", "encoded", frames=30, segments=4, lost_frames=2, seconds=3.0),
    RecordingResult("b", "kept"),
    RecordingResult("c", "skipped", reason="it ends early"),
    RecordingResult("d", "encoded", frames=10, segments=1),
)
REPORT = ExtractReport(Path("set"), 9, RESULTS, 8.0, Path("set/runs/x.json"))
STARTED = datetime(2026, 3, 1, 1, 30, 5, 123456, timezone(timedelta(hours=2)))


def test_a_report_counts_states_and_speeds_over_the_whole_run() -> None:
    assert (REPORT.encoded, REPORT.kept, REPORT.skipped) == (2, 1, {"c": "it ends early"})
    assert (REPORT.frames_per_second, REPORT.segments_per_second) == (5.0, 0.625)
    told = json.loads(json.dumps(REPORT.to_json()))
    assert told == {
        "out": "set",
        "encoded": 2,
        "kept": 1,
        "skipped": {"c": "it ends early"},
        "segments": 9,
        "seconds": 8.0,
        "frames_per_second": 5.0,
        "segments_per_second": 0.625,
        "record": "set/runs/x.json",
    }


def test_a_run_that_took_no_time_has_a_speed_too() -> None:
    assert replace(REPORT, recordings=(), seconds=0.0).frames_per_second == 0.0


def test_the_table_tells_what_was_skipped_and_what_was_lost() -> None:
    console = Console(file=StringIO(), width=120)
    console.print(REPORT.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "skipped c: it ends early" in text
    assert "a: 2 damaged frames left out" in text
    assert "d:" not in text


def record(tmp_path: Path, **options: object) -> tuple[Path, dict]:  # type: ignore[type-arg]
    path = write_record(
        tmp_path,
        begun_folder(tmp_path / "set").card,
        {"shard": None, **options},
        RESULTS,
        started=STARTED,
        ended=STARTED + timedelta(seconds=8),
        seconds=8.00049,
        error="it was stopped",
    )
    return path, json.loads(path.read_bytes())


def test_a_record_tells_counts_times_and_what_was_not_kept_from_before(tmp_path: Path) -> None:
    path, told = record(tmp_path)
    assert path == tmp_path / "runs" / "20260228T233005.123456Z.json", "in UTC"
    assert told["counts"] == {
        "encoded": 2, "kept": 1, "skipped": 1, "frames": 40, "segments": 5, "lost_frames": 2
    }  # fmt: skip
    assert [r["name"] for r in told["recordings"]] == ["a", "c", "d"]
    assert (told["seconds"], told["error"], told["large"]) == (8.0, "it was stopped", None)
    assert datetime.fromisoformat(told["started"]) == STARTED.astimezone(UTC)
    assert told["encoder"]["architecture"] == "mean"
    assert re.fullmatch(r"\d+\.\d+.*", told["versions"]["numpy"])


def test_shards_that_begin_at_the_same_moment_have_records_of_their_own(tmp_path: Path) -> None:
    names = {record(tmp_path, shard=shard)[0].name for shard in ("1/2", "2/2")}
    assert names == {"20260228T233005.123456Z-1of2.json", "20260228T233005.123456Z-2of2.json"}


def test_a_password_in_the_command_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://me:secret@host/bucket"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/egomon", "extract", address])
    _, told = record(tmp_path)
    assert told["command"][:2] == ["egomon", "extract"]
    assert "secret" not in json.dumps(told)
