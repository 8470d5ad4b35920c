"""What a person sees in a terminal: a dashboard, or one line an event. Fed with wire data only."""

from __future__ import annotations

from egomon.view.live import LiveView
from egomon.view.plain import PlainView
from egomon.view.state import ViewState

__all__ = ["LiveView", "PlainView", "ViewState"]
