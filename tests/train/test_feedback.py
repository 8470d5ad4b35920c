"""Verdicts on alerts become labels, and `train` learns from them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from feature_sets import workshop
from made_videos import grey_video
from wire_samples import alert

from egomon.cli.app import app
from egomon.errors import DataError, StoreError
from egomon.fusion.messages.types import AlertData, SegmentRef
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer
from egomon.train.features.rows import SegmentRow
from egomon.train.feedback import FeedbackUse, apply_feedback

Given = tuple[str, str, float, float, str]
"""Alert id, source, start, end, verdict."""


def store_of(path: Path, given: Iterable[Given]) -> Path:
    with EventStore(path) as events, EventServer((), None, host="here", boot="b1") as bus:
        events.begin(boot="b1", sources=["rec00"], started_wall_ns=time.time_ns())
        for alert_id, source, start, end, verdict in given:
            span = SegmentRef(id=1, epoch=0, media_start=start, media_end=end, frames=4)
            later = SegmentRef(id=2, epoch=0, media_start=end, media_end=end + 9, frames=4)
            first = alert(alert_id=alert_id, source=source, segment=span)
            last = alert(alert_id=alert_id, source=source, segment=later, rev=2, phase="end",
                         state="closed", reason="below_t_off", media_end=end)  # fmt: skip
            for data in (first, last):
                events.append([bus.prepare(source, data).event])
            events.feedback(alert_id, verdict, "", time.time_ns())  # type: ignore[arg-type]
    return path


def labels(rows: Iterable[SegmentRow]) -> dict[tuple[str, float], int | None]:
    return {(row.recording, row.start): row.label for row in rows}


def test_verdicts_set_change_confirm_and_add_labels(tmp_path: Path) -> None:
    given: list[Given] = [
        ("a", "rec00", 0.5, 6.0, "true"),  # correct until now
        ("b", "rec01", 6.0, 12.0, "false"),  # was a mistake
        ("c", "rec01", 12.0, 18.0, "false"),  # correct already
        ("d", "rec00", 11.0, 13.0, "true"),  # no segment of this kind yet
        ("e", "rec00", 6.0, 12.0, "unsure"),
        ("f", "cam0", 0.0, 6.0, "true"),  # no recording of this set
    ]
    data = workshop(4)
    before = labels(data.segments)
    after, use = apply_feedback(data, store_of(tmp_path / "s.db", given))
    assert use == FeedbackUse(relabelled=2, confirmed=1, added=1, unused=1)
    changed = {
        key: label for key, label in labels(after.segments).items() if before.get(key) != label
    }
    assert changed == {("rec00", 0.0): 1, ("rec01", 6.0): 0, ("rec00", 11.0): 1}
    new = after.segments[-1]
    assert (new.end, new.split, new.workflow) == (13.0, data.segments[0].split, "bench")


def test_the_latest_verdict_counts(tmp_path: Path) -> None:
    path = store_of(tmp_path / "s.db", [("a", "rec00", 0.0, 6.0, "true")])
    with EventStore(path) as events:
        events.feedback("a", "false", "looked again", time.time_ns())
    _, use = apply_feedback(workshop(2), path)
    assert use == FeedbackUse(relabelled=0, confirmed=1, added=0, unused=0)


def test_two_recordings_of_one_name_and_a_missing_store_are_refused(tmp_path: Path) -> None:
    data = workshop(2)
    rows = (*data.segments, msgspec.structs.replace(data.segments[0], recording="REC00"))
    twice = type(data)(data.card, rows, data.track, data.where)
    path = store_of(tmp_path / "s.db", [("a", "rec00", 0.0, 6.0, "true")])
    with pytest.raises(DataError, match="'REC00' and 'rec00' are both called 'rec00'"):
        apply_feedback(twice, path)
    with pytest.raises(StoreError):
        apply_feedback(data, tmp_path / "none.db")


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_replay_then_feedback_then_train(tmp_path: Path, tiny_bundle: Path) -> None:
    """From a film through verdicts to a bundle; no mistake is labelled beforehand."""
    videos, store = tmp_path / "videos", tmp_path / "events.db"
    videos.mkdir()
    rows = []
    for name in ("One Film", "two"):
        grey_video(videos / f"{name}.mp4", 80)
        rows.append(json.dumps({"recording": name, "start": 7.5, "end": 8, "label": 0}))
    (videos / "segments.jsonl").write_text("\n".join(rows))
    (tmp_path / "r.toml").write_text(
        'name = "mine"\ndescription = "test"\nepochs = 1\nwidth = 8\n'
        "[stream]\nfine_frames = 8\ncontext_frames = 8\n"
    )
    for name in ("One Film", "two"):
        run("replay", videos / f"{name}.mp4", "-m", tiny_bundle, "--store", store, "--no-large",
            "--threshold", "0.001", "--policy", "fixed", "--length", "2", "--stride", "2",
            "--json")  # fmt: skip
    alerts = [msgspec.json.decode(line, type=AlertData)
              for line in run("alerts", "export", "--store", store).splitlines()]  # fmt: skip
    by_source: dict[str, list[str]] = {}
    for one in alerts:
        by_source.setdefault(one.source, []).append(one.alert_id)
    assert set(by_source) == {"one-film", "two"}
    for ids in by_source.values():
        for alert_id in ids:
            run("alerts", "feedback", alert_id, "--verdict", "true", "--store", store)
    run("extract", videos, "-o", tmp_path / "set", "-m", tiny_bundle, "--json")
    told = json.loads(
        run(
            "train",
            "-r",
            tmp_path / "r.toml",
            "--data",
            tmp_path / "set",
            "-o",
            tmp_path / "b",
            "--feedback",
            store,
            "--json",
        )
    )
    assert told["feedback"]["added"] == len(alerts) >= 2
    assert (tmp_path / "b" / "bundle.json").is_file()
