"""A source that misbehaves on purpose, repeatably: for tests, doctor and demonstrations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from egomon.errors import SourceLostError
from egomon.stream.frame import Grab, SourceInfo, UInt8Image
from egomon.stream.media_clock import MediaClock
from egomon.stream.source import Discontinuity, SilentListener, Source, SourceListener, StateChange
from egomon.units import SECONDS_PER_NS

FaultKind = Literal[
    "stall", "drop", "duplicate", "reorder", "jump", "resize", "noise", "damage", "end", "die"
]

RATES: Mapping[FaultKind, float] = {
    "stall": 0.002,
    "drop": 0.02,
    "duplicate": 0.01,
    "reorder": 0.01,
    "jump": 0.002,
    "resize": 0.005,
    "noise": 0.005,
    "damage": 0.01,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at one frame.

    `stall`: nothing for `seconds`. `drop`: `count` frames vanish. `duplicate`: the frame comes
    twice. `reorder`: it changes places with the next. `jump`: time goes on `seconds` later.
    `resize`: half width and height. `noise`: a picture of noise. `damage`: cannot be decoded.
    `end`: the source ends. `die`: it raises `SourceLostError`.
    """

    at: int
    """Number of the inner source's frame, from 0."""
    kind: FaultKind
    count: int = 1
    seconds: float = 5.0


class ChaosSource:
    """Wraps a source and applies faults; the result still keeps every promise of `Source`.

    Args:
        source: read from and closed by this one.
        faults: one a frame; of several at one frame the last counts.
        seed: for pictures of noise.
        listener: called with the gaps that the faults make.
        wait: how a stall waits for an event or so many seconds.
    """

    def __init__(
        self,
        source: Source,
        faults: Iterable[Fault],
        *,
        seed: int = 0,
        listener: SourceListener | None = None,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._source = source
        self._listener = listener or SilentListener()
        self._rng = np.random.default_rng(seed)
        self._wait = wait
        self._faults = {fault.at: fault for fault in faults}
        self._media = MediaClock(self._listener, live=False, fps=source.info.fps)
        self._stop = threading.Event()
        self._count, self._shift, self._inner_epoch = 0, 0.0, 0
        self._queue: list[Grab] = []

    @classmethod
    def random(
        cls,
        source: Source,
        *,
        seed: int,
        rates: Mapping[FaultKind, float] = RATES,
        frames: int = 100_000,
        stall_seconds: float = 0.2,
        listener: SourceListener | None = None,
    ) -> ChaosSource:
        """Draw faults at these rates a frame; the same seed gives the same faults."""
        rng = np.random.default_rng(seed)
        kinds = list(rates)
        drawn = rng.choice(
            len(kinds) + 1, size=frames, p=[*rates.values(), 1 - sum(rates.values())]
        )
        faults = [
            Fault(
                int(at),
                kinds[drawn[at]],
                count=int(rng.integers(1, 6)),
                seconds=stall_seconds if kinds[drawn[at]] == "stall" else 5.0,
            )
            for at in np.flatnonzero(drawn < len(kinds))
        ]
        return cls(source, faults, seed=seed, listener=listener)

    @property
    def info(self) -> SourceInfo:
        """See `Source`."""
        inner = self._source.info
        return replace(inner, uri=f"chaos:{inner.uri}")

    def read(self) -> Grab | None:
        """See `Source`."""
        while not self._stop.is_set():
            if not self._queue and not self._fill():
                break
            grab = self._queue.pop(0) if self._queue else None
            if grab is None:
                continue
            stamp = self._media.stamp(grab.t_seconds, grab.mono_ns * SECONDS_PER_NS)
            if stamp is not None:
                return replace(
                    grab, t_seconds=stamp.t_seconds, epoch=stamp.epoch, index=stamp.index
                )
        self._media.finish()
        return None

    def close(self) -> None:
        """See `Source`."""
        self._stop.set()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _fill(self) -> bool:
        """Put the next frames into the queue; False at the end."""
        fault = self._faults.get(self._count)
        if fault is not None and self._before(fault):
            return False
        grab = self._take()
        if grab is None:
            return False
        self._queue = [grab] if fault is None else self._apply(fault, grab)
        return True

    def _before(self, fault: Fault) -> bool:
        """Faults that come before the frame; True for the end."""
        if fault.kind == "die":
            self._media.finish()  # every frame is accounted for, also by a source that dies
            raise SourceLostError("chaos: the source died", code="STREAM_DAMAGED")
        if fault.kind == "end":
            self._listener.on_state(StateChange("ended"))
            self._stop.set()
            return True
        if fault.kind == "stall":
            self._listener.on_state(StateChange("stalled", "STREAM_TIMEOUT", "chaos: stalled"))
            self._wait(self._stop, fault.seconds)
            self._listener.on_state(StateChange("online"))
        if fault.kind == "jump":
            self._shift += fault.seconds
        return False

    def _apply(self, fault: Fault, grab: Grab) -> list[Grab]:
        match fault.kind:
            case "drop":
                lost = 1 + sum(self._take() is not None for _ in range(fault.count - 1))
                return self._lose("buffer_full", lost)
            case "damage":
                return self._lose("decode_error", 1)
            case "duplicate":
                rgb = grab.to_rgb()
                return [replace(grab, to_rgb=lambda: rgb), replace(grab, to_rgb=rgb.copy)]
            case "reorder":
                early = grab.to_rgb()  # before the next read, as promised to the source
                following = self._take()
                held = replace(grab, to_rgb=lambda: early)
                return [held] if following is None else [following, held]
            case "resize":
                return [replace(grab, to_rgb=lambda: np.ascontiguousarray(grab.to_rgb()[::2, ::2]))]
            case "noise":
                return [replace(grab, to_rgb=lambda: self._noise(grab.to_rgb()))]
            case _:
                return [grab]

    def _take(self) -> Grab | None:
        grab = self._source.read()
        if grab is None:
            return None
        self._count += 1
        if grab.epoch != self._inner_epoch:
            # A break of the source's own stays one, even where its time goes on without a step.
            self._inner_epoch = grab.epoch
            self._media.reconnected(told=True)
        return replace(grab, t_seconds=grab.t_seconds + self._shift)

    def _lose(self, cause: Literal["buffer_full", "decode_error"], count: int) -> list[Grab]:
        self._media.skip(count)
        self._listener.on_gap(Discontinuity(cause, count))
        return []

    def _noise(self, rgb: UInt8Image) -> UInt8Image:
        return self._rng.integers(0, 256, size=rgb.shape, dtype=np.uint8)
