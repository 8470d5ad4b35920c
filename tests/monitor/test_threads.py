"""Workers that outlive their run."""

import subprocess
import sys

PROGRAM = """
import atexit
import threading
from egomon.monitor.workers.threads import Threads
from egomon.stream.worker import Worker

ending = threading.Event()

def body(worker):
    ending.wait(20)
    threading.Event().wait(0.3)  # the call
    print("ended by itself", flush=True)

large = Worker("large", body)
large.start()
Threads(live=True, large=large).abandon()
atexit.register(ending.set)
"""


def test_python_waits_for_a_model_that_was_abandoned_in_the_middle_of_a_call() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "ended by itself\n"), ended.stderr
