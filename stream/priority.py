"""Priority of a thread: capture and alerts before what computes, the large branch after it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Literal

NICE = -10
"""A tenth of the weight of a CPU per step: nine times that of a program of usual priority."""
MOST_NICE = 19
REAL_TIME = 1
"""The lowest real-time priority, in turns with equal ones."""

AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")

Priority = Literal["real-time", "nice", "usual"]


def raise_priority() -> Priority:
    """Ask the system to run the calling thread before others; return what it granted.

    Real time (SCHED_RR) is asked for only where an administrator allowed it (`ulimit -r`,
    systemd's `LimitRTPRIO=`): a decoder that never rests could keep others from a core. Threads
    that this one starts, such as a decoder's, have the same priority.
    """
    if sys.platform != "linux":
        return "usual"
    import resource

    if resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= REAL_TIME:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME))
            return "real-time"
        except OSError:
            pass  # a container may allow less than the limit says
    thread = threading.get_native_id()  # on Linux, each thread has a nice value of its own
    try:
        os.setpriority(os.PRIO_PROCESS, thread, min(NICE, os.getpriority(os.PRIO_PROCESS, thread)))
    except OSError:
        return "usual"
    return "nice"


def lower_priority() -> None:
    """Let others run before the calling thread, and before those that it starts.

    Any user may do so; it cannot be taken back.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    nice = min(MOST_NICE, os.getpriority(os.PRIO_PROCESS, thread) - NICE)
    os.setpriority(os.PRIO_PROCESS, thread, nice)


def nice_stays_in_session() -> bool:
    """True where Linux first shares cores among terminal sessions, and in each by nice values.

    A nice value then says nothing against the programs of other sessions; real time does.
    """
    try:
        return AUTOGROUP.read_text().strip() == "1"
    except OSError:
        return False
