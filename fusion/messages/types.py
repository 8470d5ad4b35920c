"""Types of all messages (schema 1). Imports neither torch nor zmq.

Unknown fields are ignored by readers, so the schema only grows within a major version. How a
message is put into bytes: `fusion.envelope`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec

Phase = Literal["new", "update", "end", "retract"]
AlertState = Literal["provisional", "confirmed", "closed", "retracted"]
MessageKind = Literal["alert", "segment", "status", "stats", "heartbeat", "gap"]
_KnownReason = Literal[
    "small_score",
    "refined",
    "refine_expired",
    "breaker_open",
    "severity_raised",
    "evidence_ready",
    "described",
    "below_t_off",
    "source_lost",
    "source_ended",
    "monitor_restarted",
    "shutdown",
    "context_reset",
    "out_of_domain",
    "refined_below_threshold",
]
if TYPE_CHECKING:
    Reason = _KnownReason
else:
    # Later 1.x versions may give reasons that this one does not know: readers take any text.
    Reason = Annotated[
        str, msgspec.Meta(description=f"Open list; today: {', '.join(get_args(_KnownReason))}")
    ]
Mode = Literal["full", "small-only"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The step that the small branch believes it sees."""

    id: str
    text: str
    conf: float


class SegmentRef(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the stream."""

    id: int
    epoch: int
    media_start: float
    """Seconds of media time, inclusive."""
    media_end: float
    """Exclusive."""
    frames: int
    dropped: int = 0
    complete: bool = True


class BranchScores(msgspec.Struct, frozen=True, kw_only=True):
    """One branch: calibrated probability of a mistake and the raw logits (correct, mistake)."""

    p: float
    logits: tuple[float, float]


class GateWeights(msgspec.Struct, frozen=True, kw_only=True):
    """a_s and a_l; they sum to 1."""

    small: float
    large: float


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured about a segment."""

    small: BranchScores
    large: BranchScores | None = None
    gate: GateWeights | None = None
    fused: float | None = None
    """Calibrated probability of the gated logits; None where the small branch stood alone."""
    threshold: float
    """What the deciding probability was compared with."""
    t_off: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from one stage to the next; absent in replay, where they mean nothing."""

    small: float
    large: float | None = None
    end_to_end: float
    """Last frame captured to message handed to the socket."""


class WallTimes(msgspec.Struct, frozen=True, kw_only=True):
    """ISO 8601, UTC; absent in replay."""

    capture_start: str
    capture_end: str
    opened: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A picture or clip of what happened."""

    kind: Literal["snapshot", "clip"]
    media_type: str
    attachment: int | None = None
    """Index of the extra message frame that carries it."""
    uri: str | None = None
    ready: bool = True
    width: int | None = None
    height: int | None = None
    blurred: bool = False


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The alert before this revision."""

    state: AlertState
    p: float


class AlertData(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of one alert; idempotent on (alert_id, rev)."""

    alert_id: str
    rev: int
    """From 1, one more each time."""
    phase: Phase
    state: AlertState
    reason: Reason
    explanation: str
    """One sentence for a person: what looks wrong, and why."""
    source: str = ""
    """Name of the source, also in the topic."""
    label: Literal["mistake"] = "mistake"
    severity: Literal["notice", "alert"] = "alert"
    p: float
    """Calibrated probability of a mistake that decided."""
    segment: SegmentRef
    media_opened: float
    """Media seconds when the alert opened."""
    media_end: float | None = None
    """Media seconds when it closed; always set in `end` and `retract`."""
    scores: Scores
    step: Step | None = None
    missing_steps: tuple[str, ...] = ()
    """Ids of the steps of which the explanation says that they were not seen; see `step.id`."""
    mode: Mode = "full"
    degraded: bool = False
    model: str
    """`name@hash` of the bundle."""
    demonstration: bool = False
    """True where the bundle is a demonstration, not meant for real work."""
    t: WallTimes | None = None
    latency_ms: Latency | None = None
    evidence: tuple[Evidence, ...] = ()
    prev: Previous | None = None


class SegmentGaze(msgspec.Struct, frozen=True, kw_only=True):
    """Where the wearer looked: from the frames of a segment that came with a gaze."""

    frames: int
    """So many frames."""
    worn: float
    """Share of them at which the glasses were worn."""
    x: float | None = None
    """Mean share of the picture's width from its left edge, over worn frames; null without any."""
    y: float | None = None
    """The same of its height, from the upper edge."""


class SegmentData(msgspec.Struct, frozen=True, kw_only=True):
    """A scored segment, alert or not."""

    segment: SegmentRef
    p: float
    stage: Literal["small", "fused", "expired"]
    scores: Scores
    flagged: bool
    step: Step | None = None
    guard_distance: float | None = None
    out_of_domain: bool = False
    mode: Mode = "full"
    gaze: SegmentGaze | None = None
    """Only from glasses that say where their wearer looks."""


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stable code and one sentence, credentials removed."""

    code: str
    message: str


class StatusData(msgspec.Struct, frozen=True, kw_only=True):
    """State of one source and of the monitor; sent on each change."""

    source_state: Literal["connecting", "online", "stalled", "reconnecting", "offline", "ended"]
    domain: Literal["unknown", "in_domain", "out_of_domain"] = "unknown"
    refiner: Literal["absent", "closed", "open", "half-open"] = "absent"
    mode: Mode = "full"
    degraded: bool = False
    attempt: int = 0
    next_retry_s: float | None = None
    error: ErrorInfo | None = None


class StatsData(msgspec.Struct, frozen=True, kw_only=True):
    """Once a second."""

    media_seconds: float
    fps: float
    frames: dict[str, int]
    """decoded, sampled, encoded, and drops by cause."""
    segments: int
    alerts_open: int
    alerts_total: int
    queues: dict[str, int]
    refine: dict[str, int]
    """ok, late, expired, failed, coalesced, rejected."""
    latency_ms: dict[str, float]
    rss_bytes: int = 0


class HeartbeatData(msgspec.Struct, frozen=True, kw_only=True):
    """Once a second: the last number of each topic, so loss before silence shows."""

    last_seq: int
    last_tseq: dict[str, int]


class GapData(msgspec.Struct, frozen=True, kw_only=True):
    """Frames or time lost, and why."""

    cause: str
    count: int
    from_pts: float | None = None
    to_pts: float | None = None


Data = AlertData | SegmentData | StatusData | StatsData | HeartbeatData | GapData

DATA_TYPES: dict[str, type[msgspec.Struct]] = {
    "alert": AlertData,
    "segment": SegmentData,
    "status": StatusData,
    "stats": StatsData,
    "heartbeat": HeartbeatData,
    "gap": GapData,
}
