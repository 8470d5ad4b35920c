"""Messages between the monitor's threads, besides frames and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from egomon.branches.segment_scorer import Progress, ScoredSegment
from egomon.monitor.workers.gap_sum import GapSum
from egomon.stream.source import StateChange


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """A source has been scored to its end."""

    source: str


@dataclass(frozen=True, slots=True)
class SourceNotice:
    """A source changed state or lost frames."""

    source: str
    event: StateChange | GapSum


@dataclass(frozen=True, slots=True, eq=False)
class InOrder:
    """Work for the emit thread, after all that was scored before it."""

    work: Callable[[], None]


Scored = ScoredSegment | Progress | SourceEnded | InOrder


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counters and result of a run; printed at the end."""

    sources: tuple[str, ...]
    model: str
    media_seconds: float
    wall_seconds: float
    frames: dict[str, int]
    """decoded, sampled, encoded, and `dropped_<cause>`."""
    segments: int
    alerts: dict[str, int]
    """Number of alerts by phase: new, update, end, retract."""
    refine: dict[str, int]
    domain: Mapping[str, str]
    """Last domain state of each source."""
    degraded: bool
    stopped_by: str
    """`end`, `shutdown`, `duration` or `crash`."""


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Latencies of the models in simulated time, milliseconds."""

    frame_ms: float = 20.0
    """To encode one frame."""
    large_ms: float = 400.0
    """To refine one segment."""
    jitter: float = 0.2
    """Half width of a uniform factor around 1."""
    seed: int = 0
