"""Wiring: builds every part and runs the threads. Only this package knows them all."""

from egomon.monitor.inputs import SourceRequest
from egomon.monitor.messages import LatencyModel, Summary
from egomon.monitor.run import Monitor

__all__ = ["LatencyModel", "Monitor", "SourceRequest", "Summary"]
