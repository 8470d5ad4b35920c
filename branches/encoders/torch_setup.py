"""Threads, device and number format of torch, decided in one place."""

from __future__ import annotations

import os

import torch

from egomon.errors import ConfigError


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure_torch(threads: int | None = None, *, live: bool = True) -> int:
    """Set how many threads torch's operators use; give the number.

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
    torch.set_num_threads(threads)
    return threads


def pick_device(device: str) -> torch.device:
    """`auto` = CUDA where there is one, else CPU.

    Raises:
        ConfigError: if torch does not know the device or it is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda" and (
        not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise ConfigError(f"device {device!r} was asked for but is not there; use --device cpu")
    return chosen


def pick_dtype(dtype: str, default: torch.dtype = torch.float32) -> torch.dtype:
    """Number format by name; `auto` = the default.

    Raises:
        ConfigError: on another name.
    """
    known = {"auto": default, "float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in known:
        raise ConfigError(f"dtype {dtype!r} is unknown; use one of {', '.join(known)}")
    return known[dtype]
