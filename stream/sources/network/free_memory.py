"""Memory of a connection that ended goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Give free memory of the C library back; does nothing where that library is not glibc.

    Each connection decodes in a new thread, and glibc keeps what a thread has freed for later ones.
    A decoder's buffers then lie scattered over an arena per thread, and memory grows at each cut.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
