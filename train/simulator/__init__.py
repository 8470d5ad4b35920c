"""Rendered bench work with known mistakes: training data of the demonstration model.

An artificial egocentric bench: an order card names the workflow, then one hand takes parts from
bins and presses them into a port. The port swallows each part, so only the context tells which
steps are done. Nothing here is a recording of a person.
"""

from egomon.train.simulator.plan import (
    EXECUTION,
    MISTAKES,
    SEEN,
    UNSEEN,
    WORKFLOW_MISTAKES,
    PlannedWorkflow,
)
from egomon.train.simulator.record import RenderedRecording, record
from egomon.train.simulator.write import simulate

__all__ = [
    "EXECUTION",
    "MISTAKES",
    "SEEN",
    "UNSEEN",
    "WORKFLOW_MISTAKES",
    "PlannedWorkflow",
    "RenderedRecording",
    "record",
    "simulate",
]
