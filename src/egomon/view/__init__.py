"""Views in a terminal: a dashboard, or one line for each event. They read messages only."""

from __future__ import annotations

from egomon.view.live import LiveView
from egomon.view.plain import PlainView
from egomon.view.state import ViewState

__all__ = ["LiveView", "PlainView", "ViewState"]
