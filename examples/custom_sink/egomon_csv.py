"""The opening of each alert as a row of a table: `egomon live --sink csv:alerts.csv`."""

import csv
from pathlib import Path

from egomon import Message, SinkContext
from egomon.fusion.messages.types import AlertData


class CsvSink:
    """Writes source, second, probability, step and explanation."""

    def __init__(self, reference: str) -> None:
        self._path = Path(reference.removeprefix("csv:"))
        self._file = None

    def open(self, context: SinkContext) -> None:
        self._file = self._path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["source", "at_seconds", "p", "step", "explanation"])

    def send(self, message: Message) -> None:
        alert = message.data
        if isinstance(alert, AlertData) and alert.phase == "new":
            step = alert.step.text if alert.step else ""
            row = [message.source, alert.media_opened, alert.p, step, alert.explanation]
            self._rows.writerow(row)
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
