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
from egomon.cli.page.undo import UndoStack
from egomon.cli.verbs.taught_feedback import apply_missed, apply_verdict, is_taught
from egomon.errors import BundleError, EgomonError, StoreError, UsageError

if TYPE_CHECKING:
    from egomon.config import Settings
    from egomon.fusion.messages.types import AlertData

log = logging.getLogger(__name__)


class PageFeedback:
    """The page's verdicts, and mistakes that were missed.

    Args:
        settings: where the store is.
        undo: takes what was said back.
        tell: shows a sentence on the page.
        correct: gives the running bundle what was said of its alerts.
    """

    def __init__(
        self,
        settings: Settings,
        undo: UndoStack,
        *,
        tell: Callable[[str], None] = lambda sentence: None,
        correct: Callable[[tuple[Correction, ...]], None] = lambda rows: None,
    ) -> None:
        self._settings, self._undo = settings, undo
        self.tell, self.correct = tell, correct
        self.folder: Path | None = None
        """Of the taught bundle that watches; None = another kind watches."""
        self._lock = threading.Lock()
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
        at = None if step is None else str(step)
        told = self._apply(lambda folder: apply_missed(folder, kind, at, undo=False))
        self._undo.push(
            lambda: self._apply(lambda folder: apply_missed(folder, kind, at, undo=True))
        )
        return told

    def _teach_verdict(self, alert: AlertData, verdict: str) -> None:
        """The verdict is kept in any case; the bundle may have nothing to learn from it."""
        try:
            told = self._apply(lambda folder: apply_verdict(folder, alert, verdict))
        except EgomonError as error:
            log.warning("%s", error)
            told = f"Stored. {error}."
        else:
            if verdict != "unsure":
                self._undo.push(
                    lambda: self._apply(lambda folder: apply_verdict(folder, alert, "unsure"))
                )
        self.tell(told)

    def _apply(self, change: Callable[[Path], str]) -> str:
        """Change what was said to the bundle, and let it watch so."""
        with self._lock:
            if self.folder is None:
                raise UsageError("this bundle was not taught, so it learns nothing from a word")
            told = change(self.folder)
            self.correct(read_corrections(self.folder))
        return f"{told}."
