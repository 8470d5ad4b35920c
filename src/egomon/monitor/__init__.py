"""Wiring: builds every part and runs the threads. Only this package knows them all.

Importing it loads none of them: models begin to load while the others are imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from egomon.monitor.messages import LatencyModel, RunSummary
    from egomon.monitor.monitor import Monitor
    from egomon.monitor.source_request import SourceRequest

__all__ = ["LatencyModel", "Monitor", "RunSummary", "SourceRequest"]

_HOMES = {
    "LatencyModel": "messages",
    "Monitor": "monitor",
    "RunSummary": "messages",
    "SourceRequest": "source_request",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
