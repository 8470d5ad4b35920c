"""What a monitor's process holds, and what its readers see, while a soak goes on."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path

from egomon.fusion.messages.envelope import decode_data, decode_envelope
from egomon.fusion.messages.types import GapData, StatsData, StatusData
from egomon.fusion.store.reader import EventReader
from egomon.fusion.transport.subscriber import AlertSubscriber, Gap, Message

RESET_SECONDS = 44.0
"""The example ends after 42 s and begins anew; without a reset it would be one long workflow."""


class Watcher:
    """Reads a monitor from outside, each reader in a thread of its own until `close`."""

    def __init__(self, pid: int, folder: Path, *, publish: str, control: str, metrics: str) -> None:
        self._proc, self._folder = Path(f"/proc/{pid}"), folder
        self._publish, self._control, self._metrics = publish, control, metrics
        self._over = threading.Event()
        self._at: tuple[str, int] | None = None
        self.samples: list[dict[str, float]] = []
        self.gaps: list[tuple[str, str, float, float]] = []
        """Source, cause, wall time of the message, seconds; as the store had them."""
        self.online: list[tuple[str, float]] = []
        self.frames: dict[str, tuple[float, int]] = {}
        """Last media time and number of decoded frames."""
        self.worst = {"heartbeat": 0.0, "alert": 0.0, "metrics": 0.0}
        """Seconds between heartbeats, from an alert's time to its reader, for a scrape."""
        self.counts = dict.fromkeys(("alerts", "lost", "scrapes", "scrapes_failed", "resets"), 0)
        self._threads = [
            threading.Thread(target=each) for each in (self._listen, self._scrape, self._reset)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the readers."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def sample(self) -> None:
        """Measure the process, and read what the store has got since the last time."""
        store = self._folder / "events.sqlite"
        fields = (self._proc / "stat").read_text().rsplit(")", 1)[1].split()
        clips = [each.stat().st_size for each in (self._folder / "clips").rglob("*.mp4")]
        self.samples.append(
            {
                "t": time.time(),
                "rss_mb": int((self._proc / "statm").read_text().split()[1]) * 4096 / 1e6,
                "fds": len(os.listdir(self._proc / "fd")),
                "threads": len(os.listdir(self._proc / "task")),
                "wal_kb": Path(f"{store}-wal").stat().st_size / 1e3,
                "store_kb": store.stat().st_size / 1e3,
                "clips": len(clips),
                "clips_kb": sum(clips) / 1e3,
                "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            }
        )
        self._read_store(store)

    def _read_store(self, store: Path) -> None:
        with EventReader(store) as reader:
            if self._at is None:
                self._at = (reader.last_boot() or "", 0)
            boot, seq = self._at
            if not reader.covers(boot, seq):
                self.counts["missed"] = self.counts.get("missed", 0) + 1
            while events := reader.since(boot, seq):
                for event in events:
                    self._take(event.topic.split("/")[2], event.kind, event.envelope)
                seq = events[-1].seq
            self._at = boot, seq
            self.samples[-1]["events"] = len(reader.since(boot, 0, 1_000_000))

    def _take(self, source: str, kind: str, body: bytes) -> None:
        envelope = decode_envelope(body)
        data, at = decode_data(kind, envelope.data), seconds_of(envelope.time)
        if isinstance(data, GapData):
            seconds = (data.to_pts or 0.0) - (data.from_pts or 0.0)
            self.gaps.append((source, data.cause, at, seconds))
        elif isinstance(data, StatusData) and data.source_state == "online":
            self.online.append((source, at))

    def _listen(self) -> None:
        heard: dict[str, float] = {}
        kinds = ("alert", "heartbeat", "stats")
        with AlertSubscriber(self._publish, control=self._control, kinds=kinds) as events:
            while not self._over.is_set():
                event, now = events.receive(0.5), time.monotonic()
                if isinstance(event, Gap):
                    self.counts["lost"] += event.n
                if not isinstance(event, Message) or event.recovered:
                    continue
                if event.kind == "heartbeat":
                    self._worst("heartbeat", now - heard.get(event.source, now))
                    heard[event.source] = now
                elif isinstance(event.data, StatsData):
                    stats = event.data
                    self.frames[event.source] = stats.media_seconds, stats.frames["decoded"]
                elif event.kind == "alert":
                    self.counts["alerts"] += 1
                    self._worst("alert", time.time() - seconds_of(event.envelope.time))

    def _scrape(self) -> None:
        while not self._over.wait(1.0):
            began = time.monotonic()
            try:
                with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as page:
                    page.read()
            except OSError:
                self.counts["scrapes_failed"] += 1
            self.counts["scrapes"] += 1
            self._worst("metrics", time.monotonic() - began)

    def _reset(self) -> None:
        with AlertSubscriber(self._publish, control=self._control) as client:
            while not self._over.wait(RESET_SECONDS):
                client.reset_context("rtmp")
                self.counts["resets"] += 1

    def _worst(self, what: str, seconds: float) -> None:
        self.worst[what] = max(self.worst[what], seconds)


def seconds_of(text: str) -> float:
    """Seconds since 1970 of an envelope's time."""
    return datetime.fromisoformat(text).timestamp()
