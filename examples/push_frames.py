"""Push frames to `egomon live --device zmq+tcp://127.0.0.1:5555`, as a headset's app would.

python examples/push_frames.py tcp://127.0.0.1:5555 [--video FILE] [--frames N]
"""

import argparse
import json
import time

import cv2
import numpy as np
import zmq


def pattern(number: int) -> np.ndarray:
    image = np.full((240, 320, 3), 40, np.uint8)
    cv2.circle(image, (number * 5 % 320, 120), 40, (60, 180, 240), -1)
    return image


parser = argparse.ArgumentParser()
parser.add_argument("endpoint")
parser.add_argument("--video", help="send this file; default: a moving circle")
parser.add_argument("--frames", type=int, default=300)
parser.add_argument("--fps", type=float, default=30.0)
options = parser.parse_args()

video = cv2.VideoCapture(options.video) if options.video else None
with zmq.Context() as context, context.socket(zmq.PUSH) as push:
    push.setsockopt(zmq.SNDHWM, 2)  # when the monitor is away, wait instead of hoarding
    push.setsockopt(zmq.LINGER, 500)
    push.connect(options.endpoint)
    start = time.monotonic()
    for seq in range(options.frames):
        ok, image = (True, pattern(seq)) if video is None else video.read()
        if not ok:
            break
        header = {"t": time.monotonic(), "seq": seq, "w": image.shape[1], "h": image.shape[0]}
        push.send_multipart([json.dumps(header).encode(), cv2.imencode(".jpg", image)[1].tobytes()])
        time.sleep(max(0.0, start + (seq + 1) / options.fps - time.monotonic()))
print(f"sent {seq + 1} frames")
