"""Teaching from the page without its browser: runs, their bound, learning, steps, what is kept."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from egomon.branches.taught.corrections import Correction, read_corrections, write_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.cli.page import teach_process
from egomon.cli.page.folder import WorkFolder
from egomon.cli.page.guide import Guide
from egomon.cli.page.recorder import FPS, WIDTH_PX, RunRecorder
from egomon.cli.page.taught_steps import spans_of
from egomon.cli.page.undo import UndoStack
from egomon.errors import EgomonError, UsageError
from egomon.stream.reader import FrameTap
from egomon.stream.segmenter import Span
from egomon.train.teach.help_files import write_boundaries

SECONDS = 10.0
REPORT = {"verdict": "ready", "sentence": "Ready: 3 steps (egomon teach --add).", "written": True}


class Camera(SimpleNamespace):
    """As much of a `SourceWorker` as the guide uses."""

    tap: FrameTap | None = None
    is_live = True
    has_frames = True

    def show(self, seconds: float, *, fps: float = 30.0, first: float = 100.0) -> int:
        """Frames of a camera; how many were wanted."""
        wanted = 0
        for i in range(round(seconds * fps)):
            tap, t = self.tap, first + i / fps
            if tap is not None and tap.wants(t):
                wanted += 1
                tap.take(np.full((360, 1280, 3), i % 250, np.uint8), t)
        return wanted


def bundle_at(folder: Path, *names: str) -> None:
    """The files of a bundle that people change."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text("{}")
    ids = [f"step-{i}" for i in range(1, len(names) + 1)]
    graph = WorkflowGraph.learn([ids], names=dict(zip(ids, names, strict=True)))
    write_graphs([graph], folder / WORKFLOW_FILE)


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    return WorkFolder(tmp_path / "work", most_bytes=1 << 20)


@pytest.fixture
def camera() -> Camera:
    return Camera()


class Page:
    """What the page shows, and a teach that waits for the test."""

    def __init__(self, work: WorkFolder, camera: Camera) -> None:
        self.states: list[dict[str, Any]] = []
        self.watched: list[Path] = []
        self.may_teach, self.idle = threading.Event(), threading.Event()
        self.report: Mapping[str, Any] | Exception = REPORT
        self.learn: Callable[[], None] = lambda: bundle_at(work.bundle, "step 1", "step 2")
        self.undo = UndoStack()
        self.guide = Guide(
            work,
            {"cam0": camera},  # type: ignore[dict-item]
            show=self.show,
            watch=self.watched.append,
            undo=self.undo,
            teach=self.teach,
        )

    def show(self, state: dict[str, Any]) -> None:
        self.states.append(state)
        if state["phase"] == "idle":
            self.idle.set()
        else:
            self.idle.clear()

    def teach(
        self, folder: Path, progress: Callable[[str, float], None], stop: threading.Event
    ) -> Mapping[str, Any]:
        progress("encoding", 0.5)
        assert self.may_teach.wait(SECONDS)
        if isinstance(self.report, Exception):
            raise self.report
        self.learn()
        return self.report


@pytest.fixture
def page(work: WorkFolder, camera: Camera) -> Page:
    return Page(work, camera)


def record(page: Page, camera: Camera, seconds: float) -> str:
    page.guide.record({"source": "cam0"})
    camera.show(seconds)
    return page.guide.record({"source": "cam0"})


def test_a_run_is_recorded_beside_the_watching_and_can_be_deleted(
    page: Page, camera: Camera, work: WorkFolder
) -> None:
    assert record(page, camera, 8.0) == "Recorded run-001."
    assert camera.tap is None
    (run,) = work.runs()
    with av.open(str(run.path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.time or 0) for frame in container.decode(stream)]
        assert stream.width <= WIDTH_PX
    assert times[-1] == pytest.approx(8.0, abs=0.2)
    # Here a second takes no second, so the oldest that wait are left out.
    assert 24 <= len(times) <= 8 * FPS + 1
    assert page.states[-1]["runs"] == [{"name": "run-001", "bytes": run.nbytes}]
    assert record(page, camera, 2.0) == "Nothing kept: 2 seconds are too short for a run."
    assert len(work.runs()) == 1
    with pytest.raises(UsageError, match="no such run"):
        page.guide.delete_run({"name": "../../run-001"})
    page.guide.delete_run({"name": "run-001"})
    assert work.runs() == []


def test_without_a_picture_or_room_nothing_is_recorded(
    page: Page, camera: Camera, work: WorkFolder
) -> None:
    with pytest.raises(UsageError, match="no picture of a camera"):
        page.guide.record({"source": "cam9"})
    camera.has_frames = False
    with pytest.raises(UsageError, match="no picture of a camera"):
        page.guide.record({"source": "cam0"})
    camera.has_frames = True
    page.guide.record({"source": "cam0"})
    assert page.guide.record({}) == "Nothing kept: no picture came from the camera."
    (work.new_run()).write_bytes(bytes(1 << 20))
    with pytest.raises(UsageError, match=r"fill their 1 MiB; delete one"):
        page.guide.record({"source": "cam0"})


def test_a_recording_ends_by_itself_at_its_bound(tmp_path: Path) -> None:
    ended: list[tuple[float | None, str]] = []
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)

    def fill(longest: float, most_bytes: int) -> None:
        recorder = RunRecorder(
            tmp_path / "run.mp4",
            lambda seconds, why: ended.append((seconds, why)),
            most_bytes=most_bytes,
            longest_seconds=longest,
        )
        for i in range(2000):
            if recorder.wants(i / 10):
                recorder.take(noise, i / 10)
            if recorder.ended.is_set():
                break
        recorder.stop()
        assert recorder.ended.wait(SECONDS)

    fill(3.0, 1 << 30)
    assert ended[0][0] == pytest.approx(3.0, abs=0.2)
    fill(600.0, 50_000)
    assert ended[1][0] is not None
    assert (tmp_path / "run.mp4").stat().st_size < 1 << 20


def test_learning_goes_on_beside_the_camera_and_then_the_bundle_watches(
    page: Page, camera: Camera, work: WorkFolder
) -> None:
    with pytest.raises(UsageError, match="record a correct run first"):
        page.guide.learn({})
    record(page, camera, 6.0)
    page.guide.learn({})
    for refused in (page.guide.learn, page.guide.record, page.guide.delete_run):
        with pytest.raises(UsageError, match="learning goes on"):
            refused({"source": "cam0"})
    page.may_teach.set()
    assert page.idle.wait(SECONDS)
    assert page.watched == [work.bundle]
    assert (page.states[-1]["verdict"], page.states[-1]["sentence"]) == ("ready", "Ready: 3 steps.")
    shares = [state["share"] for state in page.states if "share" in state]
    assert shares == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (UsageError("the runs show different work"), "the runs show different work."),
        (RuntimeError("bug"), "Learning failed; the log says why."),
        ({**REPORT, "written": False, "sentence": "Too little."}, "Too little."),
    ],
)
def test_what_cannot_be_learned_is_said_and_the_old_bundle_goes_on(
    page: Page, camera: Camera, report: Any, told: str
) -> None:
    record(page, camera, 6.0)
    page.report = report
    page.may_teach.set()
    page.guide.learn({})
    assert page.idle.wait(SECONDS)
    assert page.states[-1]["sentence"] == told
    assert page.watched == []
    assert page.states[-1]["phase"] == "idle"


def test_steps_get_names_that_are_kept_when_it_is_learned_again(
    page: Page, work: WorkFolder
) -> None:
    with pytest.raises(UsageError, match="nothing was learned yet"):
        page.guide.rename_steps({"steps": []})
    bundle_at(work.bundle, "step 1", "step 2")
    rows = [
        {"id": "step-1", "name": "  fill\x1b it ", "optional": True},
        {"id": "step-2", "name": "close the lid", "optional": False},
    ]
    page.guide.rename_steps({"steps": rows})
    (graph,) = read_graphs(work.bundle / WORKFLOW_FILE)
    assert [(s.name, s.optional) for s in graph.steps] == [
        ("fill it", True),
        ("close the lid", False),
    ]
    assert work.steps.names.read_text() == "fill it\nclose the lid\n"
    assert page.watched == [work.bundle]
    for bad in (
        [{"id": "step-1"}],
        [3],
        [{**rows[0], "name": " "}],
        [{**rows[0], "name": "close the lid"}],
    ):
        with pytest.raises(UsageError):
            page.guide.rename_steps({"steps": bad})

    write_corrections(
        work.bundle,
        [
            Correction(said="wrong", kind="missing", step="step-1"),
            Correction(said="wrong", kind="missing", step="step-9"),
        ],
    )
    words = work.steps.kept()
    bundle_at(work.bundle, "fill it", "close the lid")
    write_corrections(work.bundle, [])
    work.steps.keep(words)
    (graph,) = read_graphs(work.bundle / WORKFLOW_FILE)
    assert [s.optional for s in graph.steps] == [True, False]
    assert [row.step for row in read_corrections(work.bundle)] == ["step-1"]


NAMES = ("fill it", "shake it", "close it")


@pytest.fixture
def learned(page: Page, camera: Camera, work: WorkFolder) -> Page:
    """Two runs and a bundle of three steps; learning makes one of the steps that are asked for."""
    for seconds in (6.0, 9.0):
        record(page, camera, seconds)
    spans = [tuple(Span(k * i, k * i + k, n) for i, n in enumerate(NAMES)) for k in (4.0, 6.0)]

    def learn() -> None:
        bundle_at(work.bundle, *work.steps.names.read_text().splitlines())
        found = spans_of(work.steps.boundaries)
        write_boundaries(work.bundle / "steps.csv", found)

    bundle_at(work.bundle, *NAMES)
    write_boundaries(work.bundle / "steps.csv", {"run-001": spans[0], "run-002": spans[1]})
    write_corrections(work.bundle, [Correction(said="wrong", kind="missing", step="step-3")])
    page.learn = learn
    page.may_teach.set()
    return page


def step_names(work: WorkFolder) -> list[str]:
    (graph,) = read_graphs(work.bundle / WORKFLOW_FILE)
    return [step.name for step in graph.steps]


def wait_until_idle(page: Page) -> None:
    assert page.idle.wait(SECONDS)


def test_two_steps_become_one_are_learned_so_and_one_undo_brings_them_back(
    learned: Page, work: WorkFolder
) -> None:
    before = {path: path.read_bytes() for path in work.bundle.iterdir()}
    assert learned.guide.merge_steps({"step": "step-1"}).startswith("The two become one step")
    wait_until_idle(learned)
    assert step_names(work) == ["fill it", "close it"]
    assert [s.t_start for s in spans_of(work.steps.boundaries)["run-002"]] == [0.0, 12.0]
    assert [row.step for row in read_corrections(work.bundle)] == ["step-2"]
    assert learned.watched == [work.bundle]

    assert learned.undo.undo() == "Undone: the steps are what they were."
    assert {path: path.read_bytes() for path in work.bundle.iterdir()} == before
    assert not work.steps.names.exists()
    assert not work.steps.boundaries.exists()
    assert learned.watched == [work.bundle, work.bundle]
    with pytest.raises(UsageError, match="nothing was changed"):
        learned.undo.undo()


def test_a_step_becomes_two_and_words_and_options_stay_with_their_steps(
    learned: Page, work: WorkFolder
) -> None:
    rows = [{"id": "step-2", "name": "shake it", "optional": True}]
    learned.guide.rename_steps({"steps": rows})
    learned.guide.split_step({"step": "step-2", "run": "run-002", "seconds": 8.4})
    wait_until_idle(learned)
    assert step_names(work) == ["fill it", "shake it", "shake it, part 2", "close it"]
    (graph,) = read_graphs(work.bundle / WORKFLOW_FILE)
    assert [step.optional for step in graph.steps] == [False, True, True, False]
    assert [row.step for row in read_corrections(work.bundle)] == ["step-4"]
    cut = [spans[2].t_start for spans in spans_of(work.steps.boundaries).values()]
    assert cut == pytest.approx([5.6, 8.4], abs=0.01)


@pytest.mark.parametrize(
    "report", [UsageError("too alike"), {**REPORT, "written": False, "sentence": "Too alike."}]
)
def test_an_edit_that_cannot_be_learned_changes_nothing(
    learned: Page, work: WorkFolder, report: Any
) -> None:
    learned.report, learned.learn = report, lambda: None
    learned.guide.split_step({"step": "step-1"})
    wait_until_idle(learned)
    assert learned.states[-1]["sentence"].lower() == "too alike. the steps stay as they were."
    assert (step_names(work), learned.watched) == (list(NAMES), [])
    assert not work.steps.names.exists()
    with pytest.raises(UsageError, match="nothing was changed"):
        learned.undo.undo()


def test_steps_are_changed_only_where_runs_are_left_and_their_times_known(
    learned: Page, work: WorkFolder
) -> None:
    with pytest.raises(UsageError, match="must be a number"):
        learned.guide.split_step({"step": "step-1", "run": "run-001", "seconds": "1"})
    (work.bundle / "steps.csv").rename(work.bundle / "kept.csv")
    with pytest.raises(UsageError, match="stay as they are"):
        learned.guide.merge_steps({"step": "step-1"})
    (work.bundle / "kept.csv").rename(work.bundle / "steps.csv")
    for run in work.runs():
        work.delete(run.name)
    with pytest.raises(UsageError, match="record a correct run first"):
        learned.guide.merge_steps({"step": "step-1"})
    # A new run must not be taken for one whose times are known.
    assert work.new_run().name == "run-003.mp4"


def test_learning_again_keeps_the_boundaries_of_runs_that_are_left_and_cannot_be_undone(
    learned: Page, work: WorkFolder
) -> None:
    learned.guide.merge_steps({"step": "step-1"})
    wait_until_idle(learned)
    assert work.steps.boundaries_of(["run-002"]) == work.steps.boundaries
    assert work.steps.boundaries_of(["run-009"]) is None
    learned.guide.learn({})
    wait_until_idle(learned)
    with pytest.raises(UsageError, match="nothing was changed"):
        learned.undo.undo()


def test_closing_ends_a_recording_and_keeps_it(
    page: Page, camera: Camera, work: WorkFolder
) -> None:
    page.guide.record({"source": "cam0"})
    camera.show(6.0)
    page.guide.close(SECONDS)
    assert [run.name for run in work.runs()] == ["run-001"]


def test_the_teaching_process_tells_progress_and_what_was_wrong(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "work")
    work.new_run().write_bytes(b"no video")
    with pytest.raises(UsageError, match=r"run-001\.mp4"):
        teach_process.teach_in_process(work.root, lambda *_: None, threading.Event())


def test_a_teaching_process_ends_when_it_is_told_to_and_its_noise_is_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import json, time; print('noise'); print(json.dumps({'what': 'encoding', 'share': 0.5}),"
        " flush=True); time.sleep(60)"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(
        teach_process.subprocess,
        "Popen",
        lambda command, **options: popen([command[0], "-c", program], **options),
    )
    stop, told = threading.Event(), []

    def progress(what: str, share: float) -> None:
        told.append((what, share))
        stop.set()

    with pytest.raises(EgomonError, match="ended before it was done"):
        teach_process.teach_in_process(tmp_path, progress, stop)
    assert told == [("encoding", 0.5)]
