"""Print every alert. Needs pyzmq alone; `subscribe_typed.py` also fetches what it misses."""

import json
import sys

import zmq

socket = zmq.Context.instance().socket(zmq.SUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556")
socket.subscribe("egomon/1/")
while True:
    topic, body, *pictures = socket.recv_multipart()
    if topic.endswith(b"/alert/"):
        alert = json.loads(body)["data"]
        print(alert["alert_id"], alert["rev"], alert["phase"], alert["explanation"], flush=True)
