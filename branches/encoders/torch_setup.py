"""Device and number format of torch, decided in one place."""

from __future__ import annotations

import torch

from egomon.errors import ConfigError


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
        raise ConfigError(
            f"device {device!r} was asked for but is not there; use --torch-device cpu"
        )
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
