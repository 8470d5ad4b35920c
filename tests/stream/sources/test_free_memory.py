"""What a connection has used goes back to the system when it is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from egomon.stream.sources.network import free_memory

CHILD = """
import threading
from pathlib import Path
from egomon.stream.sources.network.free_memory import give_back_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6

def decode():  # blocks below the size that glibc maps by itself, as a decoder's are
    used = [b"x" * 60_000 for _ in range(1000)]
    kept.append(b"x" * 60_000)  # at the end, so that the arena cannot just be made shorter

PAGE, kept = int(%d), []
thread = threading.Thread(target=decode)
thread.start()
thread.join()
before = resident_mb()
give_back_memory()
print(before - resident_mb())
"""


@pytest.mark.skipif(free_memory._trim() is None, reason="the C library is not glibc")
def test_memory_that_a_thread_has_freed_goes_back_to_the_system() -> None:
    code = CHILD % os.sysconf("SC_PAGE_SIZE")
    # The default; a setting of the environment would decide about the result.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert float(done.stdout) > 40


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "_trim", lambda: None)
    free_memory.give_back_memory()
