"""From camera to monitor on the page: record correct runs, learn, watch; more runs at any time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from egomon.cli.page.folder import WorkFolder
from egomon.cli.page.recorder import RunRecorder
from egomon.cli.page.teach_process import Teach, teach_in_process
from egomon.errors import EgomonError, UsageError
from egomon.stream.worker import Worker

if TYPE_CHECKING:
    from egomon.monitor.workers.source_worker import SourceWorker
    from egomon.report.hub import PageAction

log = logging.getLogger(__name__)

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
        teach: learns from the folder's runs.
    """

    def __init__(
        self,
        work: WorkFolder,
        inputs: Mapping[str, SourceWorker],
        *,
        show: Callable[[dict[str, Any]], None],
        watch: Callable[[Path], None],
        teach: Teach = teach_in_process,
    ) -> None:
        self._work, self._inputs = work, inputs
        self._show, self._watch, self._teach = show, watch, teach
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
            "steps": self.change_steps,
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
        with self._lock:
            if self._phase != "idle":
                raise UsageError(f"{self._phase} goes on; wait for its end")
            if not self._work.runs():
                raise UsageError("record a correct run first")
            self._phase, self._told = "learning", {"what": "beginning", "share": 0.0}
            self._worker = Worker("teach", self._learn)
            self._worker.start()
            self._tell()
        return "Learning has begun; the camera goes on."

    def delete_run(self, fields: Mapping[str, Any]) -> str:
        """Delete the run `name`."""
        with self._lock:
            if self._phase == "learning":
                raise UsageError("learning goes on; wait for its end")
            self._work.delete(str(fields.get("name")))
            self._tell()
        return "Deleted. What was learned from it stays until you learn again."

    def change_steps(self, fields: Mapping[str, Any]) -> str:
        """Give `steps` names, and say which may be left out."""
        rows = fields.get("steps")
        if not isinstance(rows, list):
            raise UsageError("steps are needed")
        self._work.change_steps(rows)
        self._watch(self._work.bundle)
        return "Saved. The work begins anew with these steps."

    def close(self, seconds: float) -> None:
        """End a recording and learning; waits for so long."""
        self._stop.set()
        recorder, worker = self._recorder, self._worker
        if recorder is not None:
            recorder.stop()
            recorder.ended.wait(seconds)
        if worker is not None:
            worker.join(seconds)

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
        return "Recording: do the work from beginning to end, correctly, then stop."

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

    def _learn(self, worker: Worker) -> None:
        try:
            report = self._teach(self._work.root, self._progress, self._stop)
            sentence = str(report["sentence"]).replace(" (egomon teach --add)", "")
            told = {"verdict": report["verdict"], "sentence": sentence}
            if report["written"]:
                self._progress("turning to what was learned", 1.0)
                self._watch(self._work.bundle)
        except EgomonError as error:
            told = {"verdict": "failed", "sentence": f"{error}."}
        except Exception as error:  # the page must not stand at "learning" for ever
            log.error("learning failed: %s: %s", type(error).__name__, error)
            told = {"verdict": "failed", "sentence": "Learning failed; the log says why."}
        with self._lock:
            self._phase, self._told = "idle", told
            self._tell()

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
                "learned": self._work.has_bundle,
                **self._told,
            }
        )
