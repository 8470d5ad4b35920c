"""From camera to monitor on the page: record correct runs, learn, watch; more runs at any time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from egomon.cli.page.folder import WorkFolder
from egomon.cli.page.recorder import RunRecorder
from egomon.cli.page.step_edits import LearnedSteps, StepEdit, divided, merged
from egomon.cli.page.teach_process import Teach, teach_in_process
from egomon.cli.page.undo import UndoStack
from egomon.errors import EgomonError, UsageError
from egomon.stream.worker import Worker

if TYPE_CHECKING:
    from egomon.monitor.workers.source_worker import SourceWorker
    from egomon.report.hub import PageAction

log = logging.getLogger(__name__)

# From three on a report can say `ready`, see `TeachReport.verdict`.
ENOUGH_RUNS = 3
SHORTEST_SECONDS = 5.0
END_SECONDS = 20.0
"""Longest wait for a recording to be complete."""

LearningPhase = Literal["idle", "recording", "learning"]


class Guide:
    """Leads a person through teaching; its actions are called by the page's threads.

    Args:
        work: folder of the runs and of what is learned.
        inputs: the cameras.
        show: shows the state on the page.
        watch: turns the monitor to a bundle's folder.
        undo: takes the newest change of the steps back.
        teach: learns from the folder's runs.
    """

    def __init__(
        self,
        work: WorkFolder,
        inputs: Mapping[str, SourceWorker],
        *,
        show: Callable[[dict[str, Any]], None],
        watch: Callable[[Path], None],
        undo: UndoStack,
        teach: Teach = teach_in_process,
    ) -> None:
        self._work, self._inputs = work, inputs
        self._show, self._watch, self._teach = show, watch, teach
        self._undo = undo
        self._lock = threading.Lock()
        self._phase: LearningPhase = "idle"
        self._recorder: RunRecorder | None = None
        self._source = ""
        self._told: dict[str, Any] = {}
        """OnProgress, verdict and sentence of the last learning."""
        self._stop = threading.Event()
        self._worker: Worker | None = None
        self._tell()

    @property
    def actions(self) -> dict[str, PageAction]:
        """What the page may ask for."""
        return {
            "record": self.record,
            "learn": self.learn,
            "delete-run": self.delete_run,
            "steps": self.rename_steps,
            "merge": self.merge_steps,
            "split": self.split_step,
        }

    def record(self, fields: Mapping[str, Any]) -> str:
        """Begin to record the camera `source`, or end the recording."""
        with self._lock:
            if self._phase == "recording":
                recorder = self._recorder
            else:
                return self._begin(str(fields.get("source")))
        assert recorder is not None
        recorder.stop()
        if not recorder.ended.wait(END_SECONDS):
            raise EgomonError("the disk is too slow for the recording; free it, or wait")
        return str(self._told.get("sentence", ""))

    def learn(self, fields: Mapping[str, Any]) -> str:
        """Begin to learn from all runs."""
        self._begin_learning(None)
        self._undo.clear()
        return "Learning has begun; the camera goes on."

    def delete_run(self, fields: Mapping[str, Any]) -> str:
        """Delete the run `name`."""
        with self._lock:
            if self._phase == "learning":
                raise UsageError("learning goes on; wait for its end")
            self._work.delete(str(fields.get("name")))
            self._tell()
        return "Deleted. What was learned from it stays until you learn again."

    def rename_steps(self, fields: Mapping[str, Any]) -> str:
        """Give `steps` names, and say which may be left out."""
        rows = fields.get("steps")
        if not isinstance(rows, list):
            raise UsageError("steps are needed")
        with self._lock:
            self._need_idle()
            self._work.steps.rename(rows)
        self._watch(self._work.bundle)
        self._undo.push(self._restore, alone=True)
        return "Saved. The work begins anew with these steps."

    def merge_steps(self, fields: Mapping[str, Any]) -> str:
        """Make one of `step` and the next one, and learn so."""
        self._begin_learning(lambda learned: merged(learned, fields.get("step")))
        return "The two become one step; learning goes on, and so does the camera."

    def split_step(self, fields: Mapping[str, Any]) -> str:
        """Make two of `step`, in its middle or at `seconds` of `run`, and learn so."""
        run, seconds = fields.get("run"), fields.get("seconds")
        if seconds is not None and type(seconds) not in (int, float):
            raise UsageError("seconds must be a number")
        name = None if run is None else str(run)
        self._begin_learning(lambda learned: divided(learned, fields.get("step"), name, seconds))
        return "The step becomes two; learning goes on, and so does the camera."

    def close(self, seconds: float) -> None:
        """End a recording and learning; waits for so long."""
        self._stop.set()
        recorder, worker = self._recorder, self._worker
        if recorder is not None:
            recorder.stop()
            recorder.ended.wait(seconds)
        if worker is not None:
            worker.join(seconds)
        self._work.steps.forget_previous()

    def _begin_learning(self, change: Callable[[LearnedSteps], StepEdit] | None) -> None:
        """Learn from all runs, with these steps where they are to be others."""
        with self._lock:
            self._need_idle()
            runs = [run.name for run in self._work.runs()]
            if not runs:
                raise UsageError("record a correct run first")
            edit = None
            if change is not None:
                edit = change(self._work.steps.learned(runs))
                self._work.steps.change(edit)
            self._phase, self._told = "learning", {"what": "beginning", "share": 0.0}
            self._worker = Worker("teach", lambda worker: self._learn(edit))
            self._worker.start()
            self._tell()

    def _restore(self) -> str:
        with self._lock:
            self._need_idle()
            self._work.steps.restore_previous()
        self._watch(self._work.bundle)
        with self._lock:
            self._tell()
        return "Undone: the steps are what they were."

    def _need_idle(self) -> None:
        if self._phase != "idle":
            raise UsageError(f"{self._phase} goes on; wait for its end")

    def _begin(self, source: str) -> str:
        item = self._inputs.get(source)
        if self._phase == "learning":
            raise UsageError("learning goes on; wait for its end")
        if item is None or not item.is_live or not item.has_frames:
            raise UsageError("there is no picture of a camera yet that could be recorded")
        path = self._work.new_run()
        room = self._work.most_bytes - self._work.nbytes
        self._recorder = RunRecorder(
            path, lambda seconds, why: self._recorded(path, seconds, why), most_bytes=room
        )
        self._source, self._phase, self._told = source, "recording", {}
        item.tap = self._recorder
        self._tell()
        return "Recording has begun."

    def _recorded(self, path: Path, seconds: float | None, why: str) -> None:
        """In the recorder's thread."""
        if seconds is not None and seconds < SHORTEST_SECONDS:
            path.unlink(missing_ok=True)
            seconds, why = None, f"{seconds:.0f} seconds are too short for a run"
        with self._lock:
            self._inputs[self._source].tap = None
            self._phase, self._recorder = "idle", None
            sentence = f"Recorded {path.stem}." if seconds is not None else f"Nothing kept: {why}."
            self._told = {"sentence": sentence}
            self._tell()

    def _learn(self, edit: StepEdit | None) -> None:
        steps, is_written = self._work.steps, False
        try:
            words = steps.kept()
            report = self._teach(self._work.root, self._progress, self._stop)
            sentence = str(report["sentence"]).replace(" (egomon teach --add)", "")
            told = {"verdict": report["verdict"], "sentence": sentence}
            is_written = bool(report["written"])
            if is_written:
                steps.keep(words if edit is None else words.after(edit))
                self._progress("turning to what was learned", 1.0)
                self._watch(self._work.bundle)
        except EgomonError as error:
            told = {"verdict": "failed", "sentence": f"{error}."}
        except Exception as error:  # the page must not stand at "learning" for ever
            log.error("learning failed: %s: %s", type(error).__name__, error)
            told = {"verdict": "failed", "sentence": "Learning failed; the log says why."}
        if edit is not None and is_written:
            self._undo.push(self._restore, alone=True)
        elif edit is not None:
            told |= self._take_back(told)
        with self._lock:
            self._phase, self._told = "idle", told
            self._tell()

    def _take_back(self, told: Mapping[str, str]) -> dict[str, str]:
        """An edit that cannot be learned changes nothing."""
        try:
            self._work.steps.restore_previous()
        except EgomonError as error:
            return {"sentence": f"{told['sentence']} {error}."}
        return {"sentence": f"{told['sentence']} The steps stay as they were."}

    def _progress(self, what: str, share: float) -> None:
        with self._lock:
            self._told = {"what": what, "share": share}
            self._tell()

    def _tell(self) -> None:
        runs = self._work.runs()
        self._show(
            {
                "phase": self._phase,
                "runs": [{"name": run.name, "bytes": run.nbytes} for run in runs],
                "enough": ENOUGH_RUNS,
                "wanted": self._work.is_wanted,
                "bytes": sum(run.nbytes for run in runs),
                "most_bytes": self._work.most_bytes,
                "folder": str(self._work.root),
                "learned": self._work.steps.are_learned,
                **self._told,
            }
        )
