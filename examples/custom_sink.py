"""A sink of your own: every alert becomes a line in a CSV file and a sentence on the screen.

A sink is any function that takes the name of the source and the event. It is called in the
monitor's emit thread, so it must be quick: hand slow work (mail, HTTP) to a thread of yours.

    python examples/custom_sink.py VIDEO alerts.csv
"""

import csv
import sys
from pathlib import Path

from egomon import Monitor
from egomon.config import load_settings
from egomon.fusion.messages.types import AlertData, Data
from egomon.monitor import SourceRequest


class CsvSink:
    """Writes the opening of each alert as one row."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["source", "at_seconds", "p", "step", "explanation"])

    def __call__(self, source: str, data: Data) -> None:
        """The monitor calls this with each event; only new alerts matter here."""
        if not isinstance(data, AlertData) or data.phase != "new":
            return
        step = data.step.text if data.step else ""
        self._rows.writerow([source, data.media_opened, data.p, step, data.explanation])
        print(f"At {data.media_opened:.0f} s: {data.explanation}")

    def close(self) -> None:
        """After the run."""
        self._file.close()


def main() -> None:
    video, out = sys.argv[1], Path(sys.argv[2])
    settings = load_settings(None, {"bus": {"publish": (), "control": "none"}})
    sink = CsvSink(out)
    try:
        summary = Monitor(
            [SourceRequest.of("bench", video, "file")], settings, listeners=[sink]
        ).run()
    finally:
        sink.close()
    print(f"{summary.segments} segments, {summary.alerts['new']} alerts in {out}")


if __name__ == "__main__":
    main()
