"""What people say of alerts changes the taught bundle at once, and can be undone."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from wire_samples import alert

from egomon.branches.bundle.card import BundleCard
from egomon.branches.taught.corrections import FEEDBACK_FILE, Correction, read_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.cli.app import app
from egomon.cli.page.feedback import PageFeedback
from egomon.cli.page.undo import UndoStack
from egomon.config import load_settings
from egomon.errors import UsageError
from egomon.fusion.messages.types import Step
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer

MISSING = "Expected step 1, which has not been seen; step 2 began at 00:07."


@pytest.fixture
def taught(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    card = msgspec.json.decode((tiny_bundle / "bundle.json").read_bytes(), type=BundleCard)
    named = msgspec.structs.replace(card, name="work")
    (folder / "bundle.json").write_bytes(msgspec.json.encode(named))
    steps = (WorkflowStep("step-1", "wet"), WorkflowStep("step-2", "soap", after=("step-1",)))
    write_graphs([WorkflowGraph("work", steps, 2)], folder / WORKFLOW_FILE)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "events.sqlite"
    given = {"a": ("work@0123abcd", MISSING), "b": ("work@0123abcd", "p of a mistake is .9")}
    given["c"] = ("other@0123abcd", MISSING)
    with EventStore(path) as events, EventServer((), None, host="here", boot="b1") as bus:
        events.begin(boot="b1", sources=["cam0"], started_wall_ns=time.time_ns())
        for alert_id, (model, told) in given.items():
            data = alert(
                alert_id=alert_id,
                source="cam0",
                model=model,
                explanation=told,
                step=Step(id="step-2", text="soap", conf=0.9),
            )
            events.append([bus.prepare("cam0", data).event])
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def say(store: Path, taught: Path, alert_id: str, verdict: str) -> str:
    given = ("--verdict", verdict, "--store", store, "--model", taught)
    return run("alerts", "feedback", alert_id, *given)


def test_a_verdict_is_stored_and_changes_the_bundle_and_unsure_undoes_it(
    store: Path, taught: Path
) -> None:
    assert "less easily" in say(store, taught, "a", "false")
    row = Correction(said="wrong", kind="missing", step="step-2", alert="a")
    assert read_corrections(taught) == (row,)
    assert "as before" in say(store, taught, "a", "true")
    assert read_corrections(taught) == (msgspec.structs.replace(row, said="right"),)
    assert "undone" in say(store, taught, "a", "unsure")
    assert not (taught / FEEDBACK_FILE).exists()
    with EventStore(store) as events:
        assert [r.verdict for r in events.feedback_rows()] == ["false", "true", "unsure"]


def test_a_missed_mistake_is_said_by_kind_and_step_and_can_be_taken_back(taught: Path) -> None:
    assert "told more easily" in run(
        "alerts", "missed", "repeated", "--step", "soap", "--model", taught
    )
    run("alerts", "missed", "foreign", "--model", taught)
    assert read_corrections(taught) == (
        Correction(said="missed", kind="repeated", step="step-2"),
        Correction(said="missed", kind="foreign"),
    )
    run("alerts", "missed", "repeated", "--step", "step-2", "--undo", "--model", taught)
    assert read_corrections(taught) == (Correction(said="missed", kind="foreign"),)
    with pytest.raises(UsageError, match="nothing is undone"):
        run("alerts", "missed", "repeated", "--undo", "--model", taught)
    with pytest.raises(UsageError, match="'odd' is not one of"):
        run("alerts", "missed", "odd", "--model", taught)
    with pytest.raises(UsageError, match="no step 'dry'; it has wet, soap"):
        run("alerts", "missed", "missing", "--step", "dry", "--model", taught)


def test_what_cannot_be_learned_from_is_refused(store: Path, taught: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="raised by other@0123abcd, not by work"):
        say(store, taught, "c", "false")
    with pytest.raises(UsageError, match="not about the order of the work"):
        say(store, taught, "b", "false")
    with pytest.raises(UsageError, match="is no taught bundle"):
        say(store, tmp_path, "a", "false")
    assert not (taught / FEEDBACK_FILE).exists()


def test_the_buttons_of_the_live_page_teach_the_bundle_at_once_and_can_be_undone(
    store: Path, taught: Path, tmp_path: Path
) -> None:
    settings = load_settings(None, {"model": {"name": str(taught)}, "store": {"path": str(store)}})
    told: list[str] = []
    running: list[list[str]] = []
    undo = UndoStack()
    page = PageFeedback(
        settings,
        undo,
        tell=told.append,
        correct=lambda rows: running.append([r.said for r in rows]),
    )
    assert page.verdict("a", "false")
    assert running == [["wrong"]]
    assert "told less easily" in told[-1]
    assert page.verdict("b", "false"), "the verdict is kept, whatever the bundle makes of it"
    assert "not about the order" in told[-1]
    assert not page.verdict("zzz", "false")

    assert "told more easily" in page.missed({"kind": "repeated", "step": None})
    assert running[-1] == ["wrong", "missed"]
    assert "undone" in undo.undo()
    assert running[-1] == ["wrong"]
    assert "undone" in undo.undo()
    assert running[-1] == []
    assert read_corrections(taught) == ()
    with pytest.raises(UsageError, match="nothing was changed"):
        undo.undo()
    with pytest.raises(UsageError, match="is not one of"):
        page.missed({"kind": "odd"})
    page.watches(tmp_path)
    with pytest.raises(UsageError, match="was not taught"):
        page.missed({"kind": "repeated"})
