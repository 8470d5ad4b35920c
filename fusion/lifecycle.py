"""One alert's life: new, update, end or retract; exactly one close for each open."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from egomon.branches.bundle.card import DecisionCard
from egomon.fusion.alert_text import explain, scores_of, segment_ref
from egomon.fusion.decision import Verdict
from egomon.fusion.messages.envelope import isoformat
from egomon.fusion.messages.types import (
    AlertData,
    AlertState,
    Evidence,
    Latency,
    Mode,
    Phase,
    Previous,
    Reason,
    Step,
    WallTimes,
)

SEVERE_SHARE = 0.5
"""From halfway between threshold and certainty on, severity is `alert`, below it `notice`."""
NS_TO_MS = 1e-6


@dataclass(frozen=True, slots=True)
class AlertOrigin:
    """Origin of a source's alerts: source, model and run."""

    source: str
    model: str
    demonstration: bool = False
    live: bool = False
    """Live alerts carry wall times and latencies; replayed ones do not, so that they repeat."""


class AlertLifecycle:
    """All alerts of one source; owned by the emit thread.

    Args:
        origin: source and model.
        card: thresholds and times.
        next_id: gives a new alert id.
        overlapping: True for windows that overlap: several hits are one event. Segments that do
            not overlap are one event each.
        idle_close_seconds: an open alert ends when this much media time passed without a hit.
    """

    def __init__(
        self,
        origin: AlertOrigin,
        card: DecisionCard,
        *,
        next_id: Callable[[], str],
        overlapping: bool,
        idle_close_seconds: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._origin = origin
        self.card = card
        """Thresholds and times in use."""
        self._next_id = next_id
        self._overlapping = overlapping
        self._idle_close_seconds = max(card.keep_seconds, idle_close_seconds)
        self._clock_ns = clock_ns
        self._hits: deque[bool] = deque(maxlen=card.window)
        self._open: AlertData | None = None
        self._segments: set[int] = set()
        self._last_hit_end = 0.0
        self._quiet_until = 0.0

    @property
    def open_alert(self) -> AlertData | None:
        """Last revision of the alert that is open now."""
        return self._open

    def apply(
        self, verdict: Verdict, *, mode: Mode, degraded: bool = False, provisional: bool = False
    ) -> list[AlertData]:
        """Apply the verdict on the next segment in order."""
        segment = verdict.scored.segment
        out: list[AlertData] = []
        if self._open is not None and self._is_new_event(segment.t_start):
            out += self.close("below_t_off")
        if self._open is None:
            self._hits.append(verdict.is_hit)
            if self._should_open(verdict):
                out.append(self._begin(verdict, mode, degraded, provisional))
            return out
        if verdict.p_mistake < verdict.t_off or verdict.scored.out_of_domain:
            if segment.t_end - self._last_hit_end >= self.card.keep_seconds:
                stranger = verdict.scored.out_of_domain
                out += self.close("out_of_domain" if stranger else "below_t_off")
            return out
        self._last_hit_end = max(self._last_hit_end, segment.t_end)
        self._segments.add(segment.index)
        if verdict.is_hit and self._severity(verdict) == "alert" != self._open.severity:
            out.append(self._revise(verdict, "severity_raised", self._open.state, mode, degraded))
        return out

    def refined(self, verdict: Verdict, *, mode: Mode, degraded: bool = False) -> list[AlertData]:
        """Provisional emission: apply the large branch's score of an earlier segment.

        A late score for an alert that is already closed changes nothing.
        """
        alert = self._open
        if alert is None or verdict.scored.segment.index not in self._segments:
            return []
        if alert.state != "provisional":
            return []
        if verdict.is_hit:
            return [self._revise(verdict, "refined", "confirmed", mode, degraded)]
        return self.close("refined_below_threshold")

    def unrefined(self, verdict: Verdict, *, mode: Mode) -> list[AlertData]:
        """Provisional emission: keep the small verdict, since no large score will come."""
        alert = self._open
        if alert is None or alert.state != "provisional" or verdict.why_small is None:
            return []
        if verdict.scored.segment.index not in self._segments:
            return []
        return [self._revise(verdict, verdict.why_small, "confirmed", mode, True)]

    def advance(self, t_seconds: float) -> list[AlertData]:
        """Advance media time; close an alert that no segment has renewed."""
        if self._open is None or t_seconds < self._last_hit_end + self._idle_close_seconds:
            return []
        return self.close("below_t_off")

    def evidence(self, items: tuple[Evidence, ...]) -> list[AlertData]:
        """Add evidence to the open alert."""
        return self._add("evidence_ready", evidence=items)

    def described(self, words: str) -> list[AlertData]:
        """Add a vision model's words to the open alert; its verdict stays as it is."""
        told = "" if self._open is None else self._open.explanation
        return self._add("described", explanation=f"{told} Seen: {words}")

    def _add(self, reason: Reason, **fields: object) -> list[AlertData]:
        previous = self._open
        if previous is None:
            return []
        self._open = msgspec.structs.replace(
            previous,
            rev=previous.rev + 1,
            phase="update",
            reason=reason,
            prev=Previous(state=previous.state, p=previous.p),
            **fields,
        )
        return [self._open]

    def close(self, reason: Reason) -> list[AlertData]:
        """End (or retract) the open alert, if there is one."""
        alert = self._open
        if alert is None:
            return []
        vetoed = reason == "refined_below_threshold"
        phase: Phase = "retract" if vetoed else "end"
        state: AlertState = "retracted" if vetoed else "closed"
        closed = msgspec.structs.replace(
            alert,
            rev=alert.rev + 1,
            phase=phase,
            state=state,
            reason=reason,
            media_end=round(self._last_hit_end, 3),
            prev=Previous(state=alert.state, p=alert.p),
        )
        self._open = None
        self._segments.clear()
        self._hits.clear()
        self._quiet_until = self._last_hit_end + self.card.cooldown_seconds
        return [closed]

    def _is_new_event(self, t_start: float) -> bool:
        return not self._overlapping and t_start >= self._last_hit_end - 1e-6

    def _should_open(self, verdict: Verdict) -> bool:
        if not verdict.is_hit:
            return False
        if self._overlapping and verdict.scored.segment.t_end < self._quiet_until:
            return False
        if verdict.p_mistake >= self.card.threshold_high:
            return True
        return sum(self._hits) >= self.card.consecutive

    def _severity(self, verdict: Verdict) -> str:
        severe = verdict.threshold + SEVERE_SHARE * (1.0 - verdict.threshold)
        return "alert" if verdict.p_mistake >= severe else "notice"

    def _begin(self, verdict: Verdict, mode: Mode, degraded: bool, provisional: bool) -> AlertData:
        scored = verdict.scored
        reason: Reason = "refined" if verdict.stage == "fused" else "small_score"
        self._last_hit_end = scored.segment.t_end
        self._segments = {scored.segment.index}
        times = None
        if self._origin.live:
            times = WallTimes(
                capture_start=isoformat(scored.capture_start_wall_ns),
                capture_end=isoformat(scored.capture_end_wall_ns),
                opened=isoformat(
                    scored.capture_end_wall_ns + self._clock_ns() - scored.capture_end_mono_ns
                ),
            )
        step = scored.score.step
        self._open = AlertData(
            alert_id=self._next_id(),
            rev=1,
            phase="new",
            state="provisional" if provisional else "confirmed",
            reason=verdict.why_small or reason,
            explanation=explain(verdict),
            source=self._origin.source,
            severity="alert" if self._severity(verdict) == "alert" else "notice",
            p=round(verdict.p_mistake, 6),
            segment=segment_ref(verdict),
            media_opened=round(scored.segment.t_end, 3),
            scores=scores_of(verdict),
            step=None
            if step is None
            else Step(id=step.id, text=step.text, conf=round(step.confidence, 6)),
            missing_steps=scored.score.missing_steps,
            mode=mode,
            degraded=degraded,
            model=self._origin.model,
            demonstration=self._origin.demonstration,
            t=times,
            latency_ms=self._latency(verdict),
        )
        return self._open

    def _revise(
        self, verdict: Verdict, reason: Reason, state: AlertState, mode: Mode, degraded: bool
    ) -> AlertData:
        alert = self._open
        assert alert is not None
        self._open = msgspec.structs.replace(
            alert,
            rev=alert.rev + 1,
            phase="update",
            state=state,
            reason=reason,
            explanation=explain(verdict),
            severity="alert" if self._severity(verdict) == "alert" else alert.severity,
            p=round(verdict.p_mistake, 6),
            segment=segment_ref(verdict),
            scores=scores_of(verdict),
            missing_steps=verdict.scored.score.missing_steps,
            mode=mode,
            degraded=degraded,
            latency_ms=self._latency(verdict),
            prev=Previous(state=alert.state, p=alert.p),
        )
        return self._open

    def _latency(self, verdict: Verdict) -> Latency | None:
        if not self._origin.live:
            return None
        elapsed_ns = self._clock_ns() - verdict.scored.capture_end_mono_ns
        large = verdict.large
        return Latency(
            small=round(verdict.scored.score.latency_ms, 3),
            large=None if large is None else round(large.latency_ms, 3),
            end_to_end=round(elapsed_ns * NS_TO_MS, 3),
        )
