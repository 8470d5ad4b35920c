"""A stand-in for `vllm serve` on loopback: its schema, its refusals, a model of egomon's behind it.

```
python -m tools.vllm_stub --model workbench --port 8000 --service-seconds 0.2
```
"""

from __future__ import annotations

import argparse
import base64
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[NDArray[np.uint8]], Sequence[float]], Sequence[float]]
"""RGB frames (H, W, 3) and their seconds to a vector."""

UNTRUSTED = (
    "Per-request {0} are disabled by default because they can change multimodal preprocessing "
    "resource usage. Start the server with --trust-request-mm-kwargs only when clients are trusted."
    " (parameter={0})"
)
FRAMES_WITHOUT_WORD = 32
"""Frames that are read of a video whose `num_frames` is not given."""


class VllmStub(ThreadingHTTPServer):
    """Serves `/v1/models` and `/v1/embeddings` until `kill`.

    Args:
        embed: the model.
        port: 0 takes a free one.
        model: name under which it is served.
        api_key: the only key that is let in; None lets in everybody.
        trusts: as with `--trust-request-mm-kwargs`.
        service_seconds: how long one request takes ...
        slots: ... of which so many run at a time.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        embed: Embed,
        *,
        port: int = 0,
        model: str = "large",
        api_key: str | None = None,
        trusts: bool = True,
        service_seconds: float = 0.0,
        slots: int = 8,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.embed, self.model, self.api_key, self.trusts = embed, model, api_key, trusts
        self.service_seconds, self.slots = service_seconds, threading.Semaphore(slots)
        self.refusals: list[tuple[int, str, dict[str, str]]] = []
        """Status, body and headers of the next answers, before it does its work again."""
        self.released = threading.Event()
        """Answers wait for it."""
        self.released.set()
        self.embedded = 0
        self.bodies: list[dict[str, Any]] = []
        """The last requests, newest last."""
        self.keys: list[str | None] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Its `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        """End it, open connections too, as a killed process does."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def get_request(self) -> tuple[socket.socket, Any]:
        """Remember the connection."""
        connection, address = super().get_request()
        self.connections += 1
        self._open.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no fault of a server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, code: int, message: str, param: str | None = None) -> None:
        kind = "NotFoundError" if code == 404 else "BadRequestError"
        error = {"message": message, "type": kind, "param": param, "code": code}
        super().__init__(json.dumps({"error": error}))
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: VllmStub

    def do_GET(self) -> None:
        """`/v1/models`, `/health`."""
        if self.path == "/health":
            return self._send(200, "")
        if self.path != "/v1/models":
            return self._send(404, '{"detail":"Not Found"}')
        if self._is_let_in():
            model = {"id": self.server.model, "object": "model", "created": 1, "owned_by": "vllm"}
            model |= {"root": self.server.model, "parent": None, "max_model_len": 4096}
            self._send(200, json.dumps({"object": "list", "data": [model]}))

    def do_POST(self) -> None:
        """`/v1/embeddings`."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/embeddings":
            return self._send(404, '{"detail":"Not Found"}')
        if not self._is_let_in():
            return
        self.server.bodies = [*self.server.bodies[-99:], body]
        self.server.released.wait()
        if self.server.refusals:
            return self._send(*self.server.refusals.pop(0))
        try:
            frames, times = _clip(self.server, body)
        except _Refused as refused:
            return self._send(refused.code, str(refused))
        with self.server.slots:
            if self.server.service_seconds:
                time.sleep(self.server.service_seconds)
            vector = [float(value) for value in self.server.embed(frames, times)]
        self.server.embedded += 1
        answer = {
            "id": "embd-1",
            "object": "list",
            "created": 1,
            "model": self.server.model,
            "data": [{"index": 0, "object": "embedding", "embedding": vector}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1, "completion_tokens": 0},
        }
        self._send(200, json.dumps(answer))

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def _is_let_in(self) -> bool:
        key = self.headers["Authorization"]
        self.server.keys.append(key)
        if self.server.api_key is None or key == f"Bearer {self.server.api_key}":
            return True
        self._send(401, '{"error":"Unauthorized"}')
        return False

    def _send(self, code: int, body: str, headers: dict[str, str] | None = None) -> None:
        data = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _clip(
    server: VllmStub, body: dict[str, Any]
) -> tuple[list[NDArray[np.uint8]], Sequence[float]]:
    """Frames and seconds of a request, as vLLM's loader and processor take them."""
    if body["model"] != server.model:
        raise _Refused(404, f"The model `{body['model']}` does not exist.")
    for name in ("media_io_kwargs", "mm_processor_kwargs"):
        if name in body and not server.trusts:
            raise _Refused(400, UNTRUSTED.format(name), name)
    system, user = body["messages"]
    assert system["content"][0]["type"] == "text"
    url = user["content"][0]["video_url"]["url"]
    kind, _, data = url.partition(";base64,")
    assert kind == "data:video/jpeg"
    video = body.get("media_io_kwargs", {}).get("video", {})
    most = video.get("num_frames", FRAMES_WITHOUT_WORD)
    frames = [_picture(part) for part in data.split(",")]
    frames = frames if most < 0 else frames[:most]
    height, width = frames[0].shape[:2]
    size = body["mm_processor_kwargs"]["size"]
    assert size == dict.fromkeys(("shortest_edge", "longest_edge"), len(frames) * height * width)
    return frames, [index / video["fps"] for index in video["frames_indices"]]


def _picture(text: str) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise _Refused(400, "Failed to load image: cannot identify image file")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def main() -> None:
    """Serve a bundle's large model until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="workbench", help="bundle")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--service-seconds", type=float, default=0.0)
    given = parser.parse_args()
    from egomon.branches.load_bundle import load_bundle
    from egomon.branches.uemcm.large_branch import Qwen3VLBranch

    branch = load_bundle(given.model, with_encoder=False).load_large()
    assert isinstance(branch, Qwen3VLBranch)
    embedder, one = branch.embedder, threading.Lock()

    def embed(frames: Sequence[NDArray[np.uint8]], times: Sequence[float]) -> Sequence[float]:
        with one:
            return [float(value) for value in embedder.embed([frames], [times])[0]]

    stub = VllmStub(embed, port=given.port, service_seconds=given.service_seconds)
    print(f"serving {given.model} at {stub.url}", flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main()
