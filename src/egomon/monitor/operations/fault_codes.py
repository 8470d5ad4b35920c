"""Error codes of the monitor's own faults, as statuses carry them."""

from __future__ import annotations

from egomon.fusion.media.attach import EVIDENCE_FAILED, STORE_FAILED

STAGE_STUCK = "STAGE_STUCK"
"""Error code of a status while a worker is stuck, as the watchdog found."""
CONFIG_REJECTED = "CONFIG_REJECTED"
"""... while a reloaded settings file is invalid, so that the former settings stay in use."""
WORKER_RESTARTED = "WORKER_RESTARTED"
"""... for a minute after a crashed worker was restarted."""
SINK_FAILED = "SINK_FAILED"
"""... while a sink refuses messages or loses some."""
MODEL_REJECTED = "MODEL_REJECTED"
"""... while a bundle that a client asked for cannot be used, so that the former one stays."""
OWN_CODES = (
    STAGE_STUCK,
    WORKER_RESTARTED,
    STORE_FAILED,
    EVIDENCE_FAILED,
    SINK_FAILED,
    CONFIG_REJECTED,
    MODEL_REJECTED,
)
"""Faults of the monitor itself, most urgent first; an error of a source precedes most."""
