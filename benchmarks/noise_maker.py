"""The bad company of `noise.py`, in a process of its own.

python benchmarks/noise_maker.py PUBLISH CONTROL KEYS SECONDS     (one spell a line on stdin)
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import zmq

from egomon.fusion.transport.keys import CurveConfig

JOINERS = 50
REQUESTS = 10_000
PARTS = (b'{"verb":"', b"hello", b"since", b"snapshot", b'"', b"}", b"[", b":", b",", b"\xff",
         b'"seq":', b"9" * 40, b"../../etc/passwd", b"\x00", b'{"id":', b"")  # fmt: skip


class Noise:
    """All the bad company, in threads, until stopped; runs in the child process."""

    def __init__(self, publish: str, control: str, keys: Path, seconds: float) -> None:
        self._publish, self._control = publish, control
        self._right, self._wrong = CurveConfig.client(keys), _stranger(keys)
        self._seconds = seconds
        self._stop = threading.Event()
        self.counts = {"stalled": 0, "joined": 0, "requests": 0, "answers": 0, "strangers": 0}

    def make(self) -> None:
        """All at once, for one spell."""
        self._stop.clear()
        work = (self._sleep_on_it, self._join_and_leave, self._ask_nonsense, self._knock)
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _spell(self, times: int) -> Any:
        """So many steps, spread over the spell."""
        begin = time.monotonic()
        for step in range(times):
            due = begin + self._seconds * step / times
            self._stop.wait(max(0.0, due - time.monotonic()))
            yield step

    def _socket(self, context: zmq.Context[Any], kind: int, keys: CurveConfig) -> Any:
        made = context.socket(kind)
        made.linger = 0
        keys.apply(made)
        return made

    def _sleep_on_it(self) -> None:
        with zmq.Context() as context, self._socket(context, zmq.SUB, self._right) as reader:
            reader.rcvhwm = 1
            reader.rcvbuf = 4096
            reader.subscribe(b"")
            reader.connect(self._publish)
            self.counts["stalled"] += 1
            self._stop.wait(self._seconds)

    def _join_and_leave(self) -> None:
        with zmq.Context() as context:
            for _ in self._spell(JOINERS):
                with self._socket(context, zmq.SUB, self._right) as reader:
                    reader.subscribe(b"egomon/1/")
                    reader.connect(self._publish)
                    self.counts["joined"] += bool(reader.poll(2000))

    def _ask_nonsense(self) -> None:
        dice = random.Random(0)
        with zmq.Context() as context, self._socket(context, zmq.DEALER, self._right) as dealer:
            dealer.connect(self._control)
            for _ in self._spell(REQUESTS // 10):
                for _ in range(10):
                    body = b"".join(dice.choices(PARTS, k=dice.randint(0, 9)))
                    dealer.send_multipart([body] * dice.choice((1, 1, 1, 2, 5)))
                    self.counts["requests"] += 1
                self._read(dealer, 0)
            while self._read(dealer, 2000):
                pass

    def _read(self, dealer: Any, wait_ms: int) -> bool:
        got = False
        while dealer.poll(0 if got else wait_ms):
            dealer.recv_multipart()
            self.counts["answers"] += 1
            got = True
        return got

    def _knock(self) -> None:
        host, port = self._control.removeprefix("tcp://").split(":")
        with zmq.Context() as context:
            for step in self._spell(20):
                with (
                    self._socket(context, zmq.SUB, self._wrong) as reader,
                    socket.create_connection((host, int(port)), timeout=2) as plain,
                ):
                    reader.subscribe(b"")
                    reader.connect(self._publish)
                    plain.sendall(random.Random(step).randbytes(200))
                    assert not reader.poll(200), "a stranger got a message"
                    self.counts["strangers"] += 1


def _stranger(keys: Path) -> CurveConfig:
    """Keys that nobody allowed."""
    public, secret = zmq.curve_keypair()
    return CurveConfig(public, secret, server_key=CurveConfig.client(keys).server_key)


def main() -> None:
    """Makes noise for one spell for each line on stdin; says what it did."""
    os.nice(5)
    publish, control, keys, seconds = sys.argv[1:]
    noise = Noise(publish, control, Path(keys), float(seconds))
    for _ in sys.stdin:
        noise.make()
        sys.stdout.write(json.dumps(noise.counts) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
