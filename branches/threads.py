"""How many threads models use; without torch."""

from __future__ import annotations

import os
import sys

from egomon.errors import ConfigError


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(threads: int | None = None, *, live: bool = True) -> int:
    """How many threads an operator of a model gets.

    Live, one core stays free for capture and the bus: operators that claim every core made a
    30 fps capture thread lose frames and were slower themselves. A replay has no such thread
    to protect. How idle OpenMP workers wait is set in `egomon/__init__`, before torch loads.

    Args:
        threads: fixed number; None = cores - 1 live (at least 1), all cores in a replay.
        live: whether frames arrive in real time.

    Raises:
        ConfigError: if `threads` is below 1.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"threads is {threads}; give 1 or more")
    if threads is None:
        threads = max(1, usable_cores() - 1) if live else usable_cores()
    return threads


def set_torch_threads(threads: int) -> None:
    """Give torch's operators that many threads, where torch is loaded at all."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
