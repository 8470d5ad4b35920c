"""Reads recordings whose paths come on stdin, one line of JSON each: what a parent can outlive."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from egomon.errors import SourceError
from egomon.stream.sources.open import open_source

CONVERT_EVERY = 3


def read_all(path: str) -> dict[str, object]:
    """How the recording ended, and how many frames it gave."""
    frames = 0
    try:
        with open_source(path, name="fuzz") as source:
            last = (-1, -1.0)
            for grab in iter(source.read, None):
                place = (grab.epoch, grab.t_seconds)
                if place <= last:
                    return {"outcome": f"time went from {last} to {place}"}
                last = place
                if frames % CONVERT_EVERY == 0:
                    grab.to_rgb()
                frames += 1
        return {"outcome": "end", "frames": frames}
    except SourceError as error:
        return {"outcome": "refused", "frames": frames, "code": error.code, "text": str(error)}


def peak_mb() -> int:
    """Most memory of this program; ru_maxrss would begin at that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    for line in sys.stdin:
        try:
            found = read_all(line.rstrip("\n"))
        except BaseException as error:  # what escapes is what the parent looks for
            found = {"outcome": "escaped", "text": f"{type(error).__name__}: {error}"}
        found["mb"] = peak_mb()
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
