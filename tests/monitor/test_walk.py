"""The walk of one frame and one alert in docs/how.md: the calls exist, and come in this order."""

import importlib
import itertools
import re
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fakes import BrightnessBranch, BrightnessEncoder, FrameList, ScriptedLarge
from test_monitor import bright_at, monitor

from egomon.fusion.gate import UemcmGate
from egomon.monitor.workers import inference_worker
from egomon.stream.segmenter import FixedWindows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how.md"
ROOMS = "stream|branches|fusion|monitor|view|report|train"
STAND_INS: dict[str, Any] = {
    "stream.source.Source.read": FrameList.read,
    "stream.segmenter.Segmenter.push": FixedWindows.push,
    "branches.interfaces.FrameEncoder.prepare": BrightnessEncoder.prepare,
    "branches.interfaces.FrameEncoder.encode": BrightnessEncoder.encode,
    "branches.interfaces.SmallBranch.score": BrightnessBranch.score,
    "branches.interfaces.LargeBranch.score": ScriptedLarge.score,
    "branches.interfaces.Gate.fuse": UemcmGate.fuse,
}
"""Protocols of the walk and what stands for them in this run."""


def resolve(name: str) -> Any:
    """The function or class that a dotted name of the page means."""
    parts = ("egomon." + name).split(".")
    first = next(i for i, part in enumerate(parts) if part[0].isupper() or i == len(parts) - 1)
    found: Any = importlib.import_module(".".join(parts[:first]))
    for part in parts[first:]:
        found = getattr(found, part)
    return found


def walk() -> list[tuple[str, list[str]]]:
    """Thread and calls of each stretch of the table, in order."""
    rows = re.findall(r"^\| (\w+) \| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    groups = itertools.groupby(rows, key=lambda row: row[0])
    return [(thread, [call for _, call in calls]) for thread, calls in groups]


def test_every_call_that_the_page_names_is_there() -> None:
    names = re.findall(rf"`((?:{ROOMS})\.[\w.]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(names) > 30
    for name in names:
        assert callable(resolve(name)), name


def test_a_frame_and_its_alert_pass_the_calls_in_the_order_of_the_page(monkeypatch) -> None:
    monkeypatch.setattr(inference_worker, "MICRO_BATCH", 1)  # one frame on its way at a time
    codes: dict[CodeType, str] = {
        STAND_INS.get(call, resolve(call)).__code__: call for _, calls in walk() for call in calls
    }
    passed: dict[str, list[str]] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            thread = threading.current_thread().name.split("-")[1]
            passed.setdefault(thread, []).append(codes[frame.f_code])

    watch, _ = monitor(FrameList(bright_at((3, 6), seconds=8)))
    before = threading.getprofile()
    threading.setprofile(note)
    try:
        watch.run()
    finally:
        threading.setprofile(before)
    assert [thread for thread, _ in walk()] == ["producer", "small", "emit", "large", "emit"]
    for thread, calls in walk():
        seen = [call for call in passed[thread] if call in calls]
        runs = [seen[i : i + len(calls)] for i in range(len(seen))]
        assert calls in runs, f"{thread}: {runs[:8]}"
