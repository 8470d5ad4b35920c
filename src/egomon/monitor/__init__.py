"""Wiring: builds every part and runs the threads. Only this package knows them all."""

from egomon.monitor.aslive import LatencyModel
from egomon.monitor.inputs import SourceRequest, default_name
from egomon.monitor.messages import Summary
from egomon.monitor.run import Monitor

__all__ = ["LatencyModel", "Monitor", "SourceRequest", "Summary", "default_name"]
