"""Figures that the operating system keeps of this process."""

from __future__ import annotations

import os
from pathlib import Path


def rss_bytes() -> int:
    """Resident memory in bytes; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
