"""A headless Chromium driven over a pipe: no driver package, no open port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page. Messages are JSON ended by a zero byte, on the browser's descriptors 3 and 4."""

    def __init__(
        self, profile: Path, *, timeout_seconds: float = 40.0, more_flags: Sequence[str] = ()
    ) -> None:
        binary = find_chromium()
        assert binary is not None
        self._timeout = timeout_seconds
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = "--headless=new --no-sandbox --disable-gpu --no-first-run --hide-scrollbars"
        command = [
            binary,
            *flags.split(),
            *more_flags,
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]
        # The shell moves our ends of the pipes to the numbers that the browser expects.
        moved = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", moved, "-", *command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        """Uncaught exceptions, console errors and refusals of the content policy."""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        reply = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = reply["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self._timeout
        while True:
            reply = self._receive(deadline)
            if reply.get("id") == self._number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def before_pages(self, script: str) -> str:
        """Run a script in each page before its own; returns what `forget` takes."""
        reply = self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        return str(reply["identifier"])

    def forget(self, script: str) -> None:
        self.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)

    def press(self, selector: str) -> None:
        """Click the middle of an element, as a person does: it counts as a gesture."""
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)});"
            " b.scrollIntoView({ block: 'nearest' }); const r = b.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.click(*box)

    def run(self, expression: str) -> Any:
        """Value of an expression; promises are awaited."""
        reply = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 20.0) -> None:
        """Until an expression is true; it is looked at in each animation frame."""
        self.run(
            "new Promise((done, failed) => { const end = performance.now() + "
            f"{seconds * 1000}; const look = () => {{ if ({condition}) done(true); else if "
            "(performance.now() > end) failed(new Error('waited in vain')); "
            "else setTimeout(look, 20); }; look(); })"
        )

    def key(self, key: str) -> None:
        text: dict[str, Any] = {"text": key} if len(key) == 1 else {}
        if key == "Enter":  # without these no button takes it for a press
            text = {"text": "\r", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        body = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(body))

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            ready = select.select([self._read], [], [], max(0.0, left))[0]
            assert ready, "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        body, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(body)
        self._note_error(message)
        return message

    def _note_error(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(json.dumps(params["args"]))
