"""A phone that carries Pupil Labs glasses, as its HTTP status tells of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from egomon.stream.source_options import SourceOptions

QUICK = SourceOptions(open_timeout_seconds=10, read_timeout_seconds=1.0, stall_seconds=0.4)


def sensor(port: int, **changes: Any) -> dict[str, Any]:
    """A sensor as a phone describes it."""
    data = {
        "sensor": "world",
        "conn_type": "DIRECT",
        "connected": True,
        "ip": "127.0.0.1",
        "params": "camera=world",
        "port": port,
        "protocol": "rtsp",
        "stream_error": False,
    }
    return {"model": "Sensor", "data": data | changes}


PHONE = {
    "model": "Phone",
    "data": {
        "battery_level": 90,
        "battery_state": "OK",
        "device_id": "a1",
        "device_name": "Bench phone",
        "ip": "127.0.0.1",
        "memory": 1,
        "memory_state": "OK",
        "time_echo_port": 1,
    },
}


@contextmanager
def phone(*components: Any, status: int = 200, body: bytes | None = None) -> Iterator[Any]:
    """A phone; what it says can be changed by its `components`."""
    said = list(components)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = {"message": "Success", "result": [PHONE, *said]}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode() if body is None else body)

        def log_message(self, *args: Any) -> None:
            pass

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    server.components, server.asked = said, asked  # type: ignore[attr-defined]
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def at(server: Any) -> str:
    return f"pupil://127.0.0.1:{server.server_address[1]}"
