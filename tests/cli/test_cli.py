"""Verbs that need no model: in this process, through the same entry as the command."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from wire_samples import alert, closed

from egomon.cli.app import app
from egomon.cli.options import parse_duration
from egomon.cli.printing import line_of
from egomon.errors import EgomonError, SourceOpenError, UsageError
from egomon.fusion.messages.types import WallTimes
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")


def run(*args: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if ok and result.exception is not None:
        raise result.exception
    return result


def refused(*args: object) -> EgomonError:
    result = run(*args, ok=False)
    assert isinstance(result.exception, EgomonError), result.output
    return result.exception


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one alert that was opened and closed."""
    path = tmp_path / "events.sqlite"
    with EventStore(path) as events, EventServer((), None, host="here", boot="b1") as bus:
        events.begin(boot="b1", sources=["cam0"], started_wall_ns=time.time_ns())
        for data in (alert(), closed()):
            events.append([bus.prepare("cam0", data).event])
    return path


def test_the_clip_of_an_alert_is_copied_and_never_over_a_file(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.mp4"
    said = str(refused("alerts", "clip", "a-1", out, "--store", store))
    assert "evidence.folder" in said
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"pictures")
    with EventStore(store) as events:
        events.add_media("a-1", str(clip), 8, 0)
    assert run("alerts", "clip", "a-1", out, "--store", store).stdout == f"{out}\n"
    assert out.read_bytes() == b"pictures"
    assert "exists" in str(refused("alerts", "clip", "a-1", out, "--store", store))
    assert "no alert" in str(refused("alerts", "clip", "b", tmp_path / "b.mp4", "--store", store))


def test_alerts_of_a_live_camera_are_listed_with_the_time_of_day(tmp_path: Path) -> None:
    times = WallTimes(
        capture_start="2026-11-22T09:15:02.100Z",
        capture_end="2026-11-22T09:15:04.200Z",
        opened="2026-11-22T09:15:04.250Z",
    )
    path = tmp_path / "events.sqlite"
    with EventStore(path) as events, EventServer((), None, host="here", boot="b1") as bus:
        events.begin(boot="b1", sources=["cam0"], started_wall_ns=time.time_ns())
        events.append([bus.prepare("cam0", alert(t=times)).event])
    assert "2026-11-22 09:15:04 UTC" in run("alerts", "list", "--store", path).stdout


def test_stored_alerts_are_listed_shown_acknowledged_and_judged(store: Path) -> None:
    listed = json.loads(run("alerts", "list", "--store", store, "--json").stdout)
    assert [(a["alert_id"], a["phase"]) for a in listed] == [("a-1", "end")]
    printed = run("alerts", "list", "--store", store).stdout
    assert "a step" in printed
    assert "a-1" in printed.split(), "the id that show, ack and feedback ask for"
    shown = json.loads(run("alerts", "show", "a-1", "--store", store, "--json").stdout)
    assert [a["rev"] for a in shown] == [1, 2]
    assert "rev 2" in run("alerts", "show", "a-1", "--store", store).stdout
    seen = run("alerts", "ack", "a-1", "--by", "me", "--store", store)
    assert seen.stdout == "a-1: seen\n"
    told = ("--verdict", "false", "--note", "fine", "--store", store)
    assert run("alerts", "feedback", "a-1", *told).stdout == "a-1: false\n"
    csv = run("alerts", "export", "--store", store, "--format", "csv").stdout.splitlines()
    assert csv[1].startswith("a-1,cam0,end,")
    assert csv[1].endswith(",false")
    lines = run("alerts", "export", "--store", store).stdout.splitlines()
    assert json.loads(lines[0])["alert_id"] == "a-1"


def test_what_is_not_in_the_store_is_said(store: Path, tmp_path: Path) -> None:
    assert "no alert" in str(refused("alerts", "show", "zzz", "--store", store))
    assert "no alert" in str(refused("alerts", "ack", "zzz", "--store", store))
    assert "--verdict" in str(
        refused("alerts", "feedback", "a-1", "--verdict", "maybe", "--store", store)
    )
    assert "no event store" in str(refused("alerts", "list"))
    assert "--format" in str(refused("alerts", "export", "--store", store, "--format", "xml"))


def test_a_report_of_the_last_run_is_one_page(store: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    run("report", page, "--store", store)
    assert "a-1" in page.read_text()
    assert "no events" in str(refused("report", page, "--store", store, "--source", "other"))


def test_bundles_are_listed_with_what_they_are() -> None:
    found = json.loads(run("models", "--json").stdout)
    workbench = next(entry for entry in found if entry["name"] == "workbench")
    assert workbench["demonstration"] is True
    assert "workbench" in run("models").stdout
    card = json.loads(run("models", "show", "workbench", "--json").stdout)
    assert card["name"] == "workbench"
    assert "teach" in str(refused("models", "show", "workbench", "--graph"))


def test_devices_answers_without_a_camera() -> None:
    assert isinstance(json.loads(run("devices", "--json", "--search", "none").stdout), list)
    assert run("devices", "--search", "none").stdout.strip()
    assert "not a duration" in str(refused("devices", "--search", "never"))


def test_settings_are_written_shown_and_not_replaced(tmp_path: Path) -> None:
    run("config", "init")
    text = (tmp_path / "egomon.toml").read_text()
    assert "[decision]" in text
    assert "--force" in str(refused("config", "init"))
    run("config", "init", "--force")
    assert "cannot write" in str(refused("config", "init", "--force", "/dev/null/x"))
    shown = run("config", "show", "--resolved").stdout
    assert 'model.name = "workbench"    # default' in shown
    assert json.loads(run("config", "show", "--json").stdout)["model"]["name"] == "workbench"


def test_keys_are_made_once(tmp_path: Path) -> None:
    made = run("keygen", tmp_path / "keys").stdout.split()
    assert all(Path(path).is_file() for path in made)
    assert any(path.endswith("server.key_secret") for path in made)
    refused("keygen", tmp_path / "keys")


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("200ms", 0.2), ("5m", 300.0), ("1h", 3600.0), ("7", 7.0)]
)
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", "inf", "nan", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        parse_duration(text)


def test_an_alert_is_one_line_with_its_sign() -> None:
    line = line_of("cam0", "alert", alert())
    assert line.startswith("cam0 ! new")
    assert "\n" not in line
    assert "a-1" in line
    assert line_of("cam0", "alert", closed()).startswith("cam0 . end")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/video97 as a file")
def test_a_camera_that_is_not_there_is_said_before_the_page_has_an_address() -> None:
    result = run("live", "--device", "97", "--view", ok=False)
    assert isinstance(result.exception, SourceOpenError)
    assert str(result.exception).startswith("no camera at /dev/video97; ")
    assert result.output == ""


def test_a_recording_is_no_camera_to_learn_from_unless_it_stands_in_for_one(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "examples" / "bench.mp4"
    said = refused("live", "-d", video, "--learn", tmp_path / "work")
    assert isinstance(said, UsageError)
    assert "--kind live" in str(said)
    assert not (tmp_path / "work").exists()


def test_a_refused_replay_leaves_the_file_of_out_as_it_was(tmp_path: Path) -> None:
    video, former = tmp_path / "a.mp4", tmp_path / "alerts.jsonl"
    video.write_bytes(b"video")
    former.write_bytes(b"{}")
    assert "not found" in str(refused("replay", tmp_path / "none.mp4", "--out", former))
    assert "is read by this run" in str(refused("replay", video, "--out", video))
    assert "is read by" in str(refused("replay", video, "--expect", former, "--out", former))
    assert (video.read_bytes(), former.read_bytes()) == (b"video", b"{}")


def test_options_that_contradict_each_other_are_refused() -> None:
    assert "either" in str(refused("evaluate"))
    assert "either" in str(refused("evaluate", "--data", ".", "--videos", "."))
    assert "--minutes" in str(refused("simulate", "-o", "x", "--minutes", "0"))
    assert "--workflows" in str(refused("simulate", "-o", "x", "--workflows", "both"))
    assert "no such recording" in str(refused("teach", "nowhere.mp4", "-o", "x"))
    assert "--name" in str(refused("live", "--device", "0", "--device", "1", "--name", "only-one"))
    assert "--pub" in str(refused("replay", "x.mp4", "--wait-for-subscriber", "6s"))


def test_json_of_an_alert_is_its_wire_form() -> None:
    assert msgspec.json.decode(msgspec.json.encode(alert()))["phase"] == "new"
