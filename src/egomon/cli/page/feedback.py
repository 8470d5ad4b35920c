"""What people say of alerts on the page: kept in the store, taught to the bundle at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from egomon.branches.bundle.locate import find_bundle
from egomon.branches.taught.corrections import Correction, read_corrections
from egomon.cli.verbs.taught_feedback import apply_missed, apply_verdict, is_taught
from egomon.errors import BundleError, EgomonError, StoreError, UsageError

if TYPE_CHECKING:
    from egomon.config import Settings
    from egomon.fusion.messages.types import AlertData

log = logging.getLogger(__name__)

MOST_UNDONE = 50


class PageFeedback:
    """The page's verdicts, mistakes that were missed, and their undoing.

    Args:
        settings: where the store is.
        tell: shows a sentence on the page.
        correct: gives the running bundle what was said of its alerts.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tell: Callable[[str], None] = lambda sentence: None,
        correct: Callable[[tuple[Correction, ...]], None] = lambda rows: None,
    ) -> None:
        self._settings = settings
        self.tell, self.correct = tell, correct
        self.folder: Path | None = None
        """Of the taught bundle that watches; None = another kind watches."""
        self._lock = threading.Lock()
        self._undo: list[Callable[[Path], str]] = []
        self.watches(settings.model.name)

    def watches(self, model: str | Path) -> None:
        """This bundle watches from now on."""
        try:
            folder = find_bundle(model)
        except BundleError:
            folder = Path(model)
        self.folder = folder if is_taught(folder) else None

    def verdict(self, alert_id: str, verdict: str) -> bool:
        """Keep a verdict; False where there is no such alert.

        Raises:
            StoreError: the store cannot be used, or there is none.
        """
        from egomon.fusion.store.events import EventStore, FeedbackVerdict
        from egomon.monitor.storage import store_path

        path = store_path(self._settings, live=True)
        if path is None:
            raise StoreError("this run keeps its events in memory only; give --store FILE")
        with EventStore(path) as events:
            known = events.feedback(alert_id, cast(FeedbackVerdict, verdict), "", time.time_ns())
            row = events.alert(alert_id) if known else None
        if row is not None and self.folder is not None:
            self._teach_verdict(row.data, verdict)
        return known

    def missed(self, fields: Mapping[str, Any]) -> str:
        """An `PageAction`: a mistake of this `kind` at this `step` was not told."""
        kind, step = str(fields.get("kind")), fields.get("step") or None
        with self._lock:
            folder = self._taught()
            told = apply_missed(folder, kind, None if step is None else str(step), undo=False)
            again = None if step is None else str(step)
            self._undo.append(lambda at: apply_missed(at, kind, again, undo=True))
            self._use(folder)
        return f"{told}."

    def undo(self, fields: Mapping[str, Any]) -> str:
        """An `PageAction`: what was said last is taken back."""
        with self._lock:
            folder = self._taught()
            if not self._undo:
                raise UsageError("nothing was said since the start, so nothing is undone")
            told = self._undo.pop()(folder)
            self._use(folder)
        return f"{told}."

    def _teach_verdict(self, alert: AlertData, verdict: str) -> None:
        """The verdict is kept in any case; the bundle may have nothing to learn from it."""
        try:
            with self._lock:
                folder = self._taught()
                told = apply_verdict(folder, alert, verdict)
                if verdict != "unsure":
                    self._undo.append(lambda at: apply_verdict(at, alert, "unsure"))
                self._use(folder)
            self.tell(f"{told}.")
        except EgomonError as error:
            log.warning("%s", error)
            self.tell(f"Stored. {error}.")

    def _taught(self) -> Path:
        if self.folder is None:
            raise UsageError("this bundle was not taught, so it learns nothing from a word")
        return self.folder

    def _use(self, folder: Path) -> None:
        del self._undo[:-MOST_UNDONE]
        self.correct(read_corrections(folder))
