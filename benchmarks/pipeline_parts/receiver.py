"""Child process: a subscriber that notes when each alert arrives; prints them as JSON.

python -m pipeline_parts.receiver ENDPOINT      (ends with its standard input)
"""

from __future__ import annotations

import json
import sys
import time

import zmq


def main() -> None:
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    events.setsockopt(zmq.RECONNECT_IVL, 10)
    events.subscribe(b"egomon/1/")
    events.connect(sys.argv[1])
    print("ready", flush=True)
    poller = zmq.Poller()
    poller.register(events, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    found = []
    while True:
        ready = dict(poller.poll())
        if events in ready:
            topic, body, *_ = events.recv_multipart()
            now = time.monotonic_ns()
            if topic.endswith(b"/alert/"):
                found.append((now, json.loads(body)["data"]))
        elif ready:
            break
    print(json.dumps([(now, a["phase"], a["segment"]["media_end"]) for now, a in found]))
    context.destroy(linger=0)


if __name__ == "__main__":
    main()
