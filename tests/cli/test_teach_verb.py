"""`teach` on the command line: the verdict first, exit codes, and what is refused before work."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from wire_samples import alert

from egomon.branches.bundle.locate import read_card
from egomon.cli.app import app
from egomon.cli.verbs import check_taught as checking
from egomon.cli.verbs.check_taught import CheckReport, check_taught
from egomon.cli.verbs.evaluate_videos import Replayed
from egomon.errors import DataError, UsageError
from egomon.train.teach import TeachReport

REPORT = TeachReport(
    recordings=3,
    segments=30,
    steps=5,
    workflows=1,
    hours=0.1,
    step_agreement=0.9,
    threshold=0.5,
    false_alarms_per_hour=6.0,
    alerts_on_recordings=0,
    notes=("a <note> [bold]",),
    base="lite0",
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the verb asks of `teach`; `report` is what comes back."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        Path(name).write_bytes(b"video")
    seen: dict[str, Any] = {"report": REPORT}

    def teach(videos: list[Path], out: Path, **given: Any) -> TeachReport:
        given.pop("progress")("encoding a.mp4", 0.5)
        seen.update(given, videos=videos, out=out)
        report: TeachReport = seen["report"]
        return report

    monkeypatch.setattr("egomon.train.teach.teach", teach)
    return seen


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["teach", *arguments])


def test_the_verdict_comes_first_and_the_exit_code_is_0(asked: dict[str, Any]) -> None:
    result = run("a.mp4", "b.mp4", "-o", "work")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == REPORT.sentence
    assert result.stderr == "", "there is no terminal for a bar"
    assert "a <note> [bold]" in result.stdout
    assert asked["videos"] == (Path("a.mp4"), Path("b.mp4"))
    assert (asked["base"], asked["add"], asked["force"]) == (None, False, False)
    assert asked["cache"] is not None


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_bundle_that_is_replaced_is_named_with_where_it_is_kept(
    asked: dict[str, Any], tiny_bundle: Path, is_damaged: bool
) -> None:
    card = read_card(tiny_bundle)
    shutil.copytree(tiny_bundle, "work.previous")
    if is_damaged:
        Path("work.previous", "bundle.json").write_text("{")
    asked["report"] = replace(REPORT, former="work.previous")
    what = "a damaged bundle" if is_damaged else f"bundle {card.name} of {card.created}"
    told = run("a.mp4", "-o", "work").stdout.splitlines()
    assert told[:2] == [REPORT.sentence, f"It replaces {what}, kept in work.previous."]
    assert asked["keep_former"] is True


def test_options_reach_teaching(asked: dict[str, Any]) -> None:
    given = ("--base", "lite0", "--add", "--force", "--no-cache", "--steps", "n.txt")
    result = run("a.mp4", "-o", "work", *given, "--boundaries", "b.csv", "--json")
    told = json.loads(result.stdout)
    assert (told["verdict"], told["written"], told["steps"]) == (REPORT.verdict, True, 5)
    assert (asked["base"], asked["add"], asked["force"]) == ("lite0", True, True)
    assert (asked["steps"], asked["boundaries"]) == (Path("n.txt"), Path("b.csv"))
    assert asked["cache"] is None


def test_nothing_learned_is_exit_code_1_and_still_says_what_was_seen(
    asked: dict[str, Any],
) -> None:
    asked["report"] = replace(REPORT, steps=1, written=False)
    result = run("a.mp4", "-o", "work", "--check", "b.mp4")
    assert result.exit_code == 1
    assert result.stdout.startswith("Base lite0 cannot tell the steps apart")
    asked["report"] = replace(REPORT, made=20, found=1, odd="b.mp4", written=False)
    assert run("a.mp4", "-o", "work").stdout.startswith("b.mp4 shows other work or another place")


def test_a_missing_file_and_labels_without_recordings_are_refused(asked: dict[str, Any]) -> None:
    for given, told in (
        (("a.mp4", "-o", "x", "--check", "c.mp4"), "no such recording: c.mp4"),
        (("a.mp4", "-o", "x", "--labels", "l.csv"), "--labels belongs to --check"),
        (("a.mp4", "-o", "x", "--false-alarms-per-hour", "0"), "must be above 0"),
    ):
        result = run(*given)
        assert isinstance(result.exception, UsageError)
        assert told in str(result.exception)
    assert "videos" not in asked


def test_checked_recordings_are_told_with_the_labels(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("recording,start,end,label\nb,0,4,0\nb.mp4,4,9,1\nelse,0,1,1\n")

    def replay(bundle: object, model: str, videos: dict[str, Path], **_: object) -> object:
        told = alert(media_opened=5.0, explanation="step [2] <b>")
        return {name: Replayed(name, 60.0, (told,), ()) for name in videos}

    monkeypatch.setattr(checking, "load_bundle", lambda folder: None)
    monkeypatch.setattr(checking, "replay_videos", replay)
    result = run("a.mp4", "-o", "work", "--check", "b.mp4", "--labels", str(labels))
    assert result.exit_code == 0
    assert "step [2] <b>" in result.stdout
    found = run("a.mp4", "-o", "w", "--check", "b.mp4", "--labels", str(labels), "--json")
    told = json.loads(found.stdout)["check"]
    assert told["told"] == [{"recording": "b", "t_seconds": 5.0, "explanation": "step [2] <b>"}]
    assert (told["event_f1"], told["events"]) == (1.0, 1)
    plain: CheckReport = check_taught(tmp_path, [Path("b.mp4")], None, cache=None, quiet=True)
    assert plain.events is None
    with pytest.raises(DataError, match="labels none of these recordings: a"):
        check_taught(tmp_path, [Path("a.mp4")], labels, cache=None, quiet=True)
    with pytest.raises(DataError, match="have one name"):
        check_taught(tmp_path, [Path("a.mp4"), Path("x/a.mp4")], None, cache=None, quiet=True)
