"""Hub between the monitor's threads and the live page: bounded, never waits, drops slow clients."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from egomon.errors import EgomonError
from egomon.fusion.messages.types import AlertData, Data
from egomon.fusion.sinks.notices.notice import TONES
from egomon.report.html import safe_json
from egomon.report.page import PageModel

VERDICTS = ("true", "false", "unsure")
# An hour of a segment a second, which is what the page draws.
MOST_SEGMENTS = 3600
MOST_ALERTS = 500
MOST_WAITING = 256
"""Most changes that wait for a client; beyond it the client reloads the page."""
MOST_CLIENTS = 16
FRAME_SECONDS = 0.2
"""Seconds between two pictures."""
RELOAD = '{"kind":"reload"}'

Feedback = Callable[[str, str], bool]
"""Called with alert id and verdict; False where there is no such alert."""
Camera = Callable[[str, int], tuple[int, bytes] | None]
"""Called with a source and the number of the picture that is shown (-1: none): number and JPEG of
a newer one, None where there is none."""
Still = Callable[[str, AlertData], bytes | None]
"""Called with a source and an alert that has just opened: a small JPEG of what it means."""

PageAction = Callable[[Mapping[str, Any]], str]
"""Called with what the page sent, in a thread that may wait; returns a sentence for the person."""


class TooManyClientsError(EgomonError):
    """The live page is open too many times."""


class Client:
    """One open page; `take` is called in its event loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def offer(self, change: str) -> None:
        """Queue a change, from any thread; never waits."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.clear()
                change = RELOAD
            self._waiting.append(change)
        self._wake()

    def close(self) -> None:
        """End the client, from any thread; `take` returns None from now on."""
        self._closed = True
        self._wake()

    async def take(self, timeout_seconds: float) -> list[str] | None:
        """Return queued changes; empty after the time-out, None at the end."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_seconds)
        except TimeoutError:
            return []
        with self._lock:
            self._ready.clear()
            changes = list(self._waiting)
            self._waiting.clear()
        return None if self._closed else changes

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)


class LiveHub:
    """State of the live page, and its clients.

    Args:
        title: heading of the page.
        feedback: takes a person's verdict about an alert; runs in the page's thread.
        bundle: facts about the model.
        actions: what the page may ask for, by name; see `PageAction`.
        pictures: gives the JPEG of a step by its id.
        still: gives the picture of a new alert, in the publishing thread; None shows none.
        camera: gives pictures; asked only while somebody looks, at most five times a second and
            source, however many look. None shows none.
        clock: seconds, for that limit.
    """

    def __init__(
        self,
        title: str,
        *,
        feedback: Feedback,
        bundle: dict[str, str] | None = None,
        actions: Mapping[str, PageAction] | None = None,
        pictures: Callable[[str], bytes | None] = lambda step: None,
        camera: Camera | None = None,
        still: Still | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._feedback = feedback
        self._shown: dict[str, Any] = {"bundle": bundle or {}, "tones": TONES}
        self.actions = dict(actions or {})
        self.step_picture = pictures
        self.run_video: Callable[[str], Path | None] = lambda name: None
        """The file of a recorded run by its name."""
        self.camera = camera
        self.still = still
        self._clock = clock
        self._lock = threading.Lock()
        self._model = PageModel(most_segments=MOST_SEGMENTS, most_alerts=MOST_ALERTS)
        self._clients: set[Client] = set()
        self._camera_lock = threading.Lock()
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._asked: dict[str, float] = {}
        self._verdicts: dict[str, str] = {}
        self._seen: dict[str, None] = {}
        self._stills: OrderedDict[str, bytes] = OrderedDict()
        self.closed = False

    def publish(self, source: str, data: Data) -> None:
        """An `EventListener`: any thread, never waits."""
        still = None
        if self.still is not None and isinstance(data, AlertData) and data.phase == "new":
            still = self.still(source, data)
        with self._lock:
            change = self._model.apply(source, data)
            clients = tuple(self._clients)
            if still is not None and isinstance(data, AlertData):
                self._keep_still(data.alert_id, still)
                change = {**(change or {}), "picture": _still_path(data.alert_id)}
        if change is not None:
            _offer(clients, change)

    def show(self, name: str, value: Any) -> None:
        """Set one more field of the page's data, such as `workflow`; any thread, never waits."""
        with self._lock:
            self._shown[name] = value
            clients = tuple(self._clients)
        _offer(clients, {"kind": "field", "name": name, "value": value})

    def begin_cycle(self, source: str) -> None:
        """The steps of a source begin anew on the page."""
        with self._lock:
            change = self._model.begin_cycle(source)
            clients = tuple(self._clients)
        _offer(clients, change)

    def seen(self, alert_ids: Iterable[str]) -> None:
        """No page shows these alerts as news any more, as long as the run lasts."""
        ids = list(alert_ids)
        with self._lock:
            self._seen |= dict.fromkeys(ids)
            for oldest in list(self._seen)[:-MOST_ALERTS]:
                del self._seen[oldest]
            clients = tuple(self._clients)
        _offer(clients, {"kind": "seen", "alerts": ids})

    def picture(self, source: str) -> tuple[int, bytes] | None:
        """Return number and JPEG of the newest picture, made in the caller's thread."""
        with self._camera_lock:
            shown, now = self._pictures.get(source), self._clock()
            is_due = now - self._asked.get(source, -math.inf) >= FRAME_SECONDS
            if self.camera is not None and is_due and self.has_source(source):
                self._asked[source] = now
                newer = self.camera(source, -1 if shown is None else shown[0])
                if newer is not None:
                    self._pictures[source] = shown = newer
            return shown

    def still_of(self, alert_id: str) -> bytes | None:
        """Return the JPEG of an alert that the page still shows."""
        with self._lock:
            return self._stills.get(alert_id)

    def _keep_still(self, alert_id: str, jpeg: bytes) -> None:
        self._stills[alert_id] = jpeg
        while len(self._stills) > MOST_ALERTS:
            self._stills.popitem(last=False)

    def has_source(self, source: str) -> bool:
        """Return whether any event of a source has come."""
        return source in self._model.sources

    def feedback(self, alert_id: str, verdict: str) -> bool:
        """Pass a verdict on; False where there is no such alert.

        Raises:
            EgomonError: what the callback raises.
        """
        if verdict not in VERDICTS or not self._feedback(alert_id, verdict):
            return False
        with self._lock:
            self._verdicts[alert_id] = verdict
            while len(self._verdicts) > MOST_ALERTS:
                del self._verdicts[next(iter(self._verdicts))]
            clients = tuple(self._clients)
        _offer(clients, {"kind": "verdict", "alert_id": alert_id, "verdict": verdict})
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return everything shown now, as data of the page."""
        with self._lock:
            return self._model.as_data(
                title=self._title,
                live=True,
                actions=sorted(self.actions),
                camera=self.camera is not None,
                pictures={alert_id: _still_path(alert_id) for alert_id in self._stills},
                verdicts=dict(self._verdicts),
                seen=list(self._seen),
                **self._shown,
            )

    def join(self, loop: asyncio.AbstractEventLoop) -> Client:
        """Add a client.

        Raises:
            TooManyClientsError: sixteen are open already.
        """
        client = Client(loop)
        with self._lock:
            if len(self._clients) >= MOST_CLIENTS:
                raise TooManyClientsError(
                    f"the live page is open {MOST_CLIENTS} times already; close one"
                )
            self._clients.add(client)
            if self.closed:
                client.close()
        return client

    def leave(self, client: Client) -> None:
        """Remove a client."""
        with self._lock:
            self._clients.discard(client)

    def close(self) -> None:
        """End every stream and accept no more clients."""
        with self._lock:
            self.closed = True
            clients = tuple(self._clients)
        for client in clients:
            client.close()


def _offer(clients: tuple[Client, ...], change: dict[str, Any]) -> None:
    if clients:
        text = safe_json(change)
        for client in clients:
            client.offer(text)


def _still_path(alert_id: str) -> str:
    return f"still/{quote(alert_id, safe='')}"
