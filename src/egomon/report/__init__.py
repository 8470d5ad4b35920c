"""Pages in a browser: a self-contained report of a run, and the same page live."""

from __future__ import annotations

from egomon.report.events import read_events
from egomon.report.thumbnails import alert_stills
from egomon.report.write import write_report

__all__ = ["alert_stills", "read_events", "write_report"]
