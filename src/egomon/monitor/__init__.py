"""Wiring: builds every part and runs the threads. Only this package knows them all."""

from egomon.monitor.messages import LatencyModel, RunSummary
from egomon.monitor.monitor import Monitor
from egomon.monitor.source_request import SourceRequest

__all__ = ["LatencyModel", "Monitor", "RunSummary", "SourceRequest"]
