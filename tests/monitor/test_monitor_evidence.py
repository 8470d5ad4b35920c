"""Evidence through the whole monitor: attached, announced, and silent when it is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FrameList, ScriptedLarge
from test_monitor import alerts, bright_at, bundle

from egomon.config import load_settings
from egomon.errors import ConfigError
from egomon.fusion.messages.envelope import encode
from egomon.fusion.messages.types import AlertData, Data
from egomon.fusion.store.events import EventStore
from egomon.fusion.transport.server import EventServer
from egomon.monitor import LatencyModel, Monitor, SourceRequest
from egomon.stream.frame import UInt8Image
from egomon.train.simulator.write import write_video


def run(
    source: FrameList | Path, evidence: dict[str, Any], *, live: bool = False, **options: Any
) -> list[AlertData]:
    events: list[Data] = []
    store = evidence.pop("store", "none")
    settings = load_settings(
        None,
        {
            "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
            "store": {"path": str(store)},
            "source": {"staleness_seconds": 1e9},
            "evidence": evidence,
        },
    )
    request = SourceRequest("fake", "fake", live, source if isinstance(source, FrameList) else None)
    if isinstance(source, Path):
        request = SourceRequest.of("film", str(source))
    watch = Monitor(
        [request],
        settings,
        bundle=bundle(ScriptedLarge([3.0] * 99)),
        listeners=[lambda name, data: events.append(data)],
        **options,
    )
    if live and isinstance(source, FrameList):
        source.on_read = lambda index: watch.inputs[0].ready.wait(10) and None
    watch.run()
    return alerts(events)


def bytes_of(found: list[AlertData]) -> list[bytes]:
    return [encode(alert) for alert in found]


def test_a_new_alert_carries_its_snapshot_and_later_revisions_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, int]] = []
    original = EventServer.send

    def send(self: EventServer, prepared: Any, attachments: Any = ()) -> Any:
        if isinstance(prepared.data, AlertData):
            sent.append((prepared.data.phase, len(attachments)))
        return original(self, prepared, attachments)

    monkeypatch.setattr(EventServer, "send", send)
    found = run(FrameList(bright_at((3, 6), seconds=10)), {"snapshot": True})
    assert sent == [("new", 1), ("end", 0)]
    assert [e.kind for e in found[0].evidence] == ["snapshot"]
    assert found[1].evidence == ()


def test_a_replay_with_snapshots_repeats_and_clips_do_not_change_its_alerts(
    tmp_path: Path,
) -> None:
    def again(**evidence: Any) -> list[bytes]:
        return bytes_of(run(FrameList(bright_at((3, 6), seconds=10)), evidence))

    assert again(snapshot=True) == again(snapshot=True)
    assert again(folder=tmp_path / "clips") == again()
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 1


def test_a_live_alert_is_updated_when_its_clip_is_ready(tmp_path: Path) -> None:
    store = tmp_path / "events.sqlite"
    found = run(
        FrameList(bright_at((3, 6), seconds=10), kind="live"),
        {"folder": tmp_path / "clips", "after_seconds": 0.0, "store": store},
        live=True,
    )
    with EventStore(store) as kept:
        (row,) = kept.media(found[0].alert_id)
    assert Path(row.path).is_file()
    phases = [a.phase for a in found]
    assert (phases[0], phases[-1]) == ("new", "end")
    assert [a.rev for a in found] == list(range(1, len(found) + 1))
    for alert in found[1:-1]:
        assert alert.reason == "evidence_ready"
        assert alert.evidence[0].uri == Path(row.path).as_uri()


def test_the_clip_of_a_file_shows_its_own_pictures_without_loss(tmp_path: Path) -> None:
    film, folder = tmp_path / "film.mp4", tmp_path / "clips"
    shown = [
        np.full((96, 128, 3), value, np.uint8) for _, _, value in bright_at((3, 6), seconds=10)
    ]
    write_video(film, shown, 10.0)
    (alert, *_) = run(film, {"folder": folder, "store": tmp_path / "events.sqlite"})
    (clip,) = folder.glob("*.mp4")
    with av.open(str(film)) as whole, av.open(str(clip)) as cut:
        pictures = [f.to_ndarray(format="rgb24") for f in whole.decode(video=0)]
        found = [f.to_ndarray(format="rgb24") for f in cut.decode(video=0)]
    # Its only key frame is the first one.
    assert len(found) >= 10 * alert.segment.media_end
    for picture, same in zip(pictures, found, strict=False):
        assert np.array_equal(picture, same)


def test_a_simulated_live_run_attaches_the_same_snapshots() -> None:
    def again() -> list[AlertData]:
        source = FrameList(bright_at((3, 6), seconds=10))
        return run(source, {"snapshot": True}, latency_model=LatencyModel(seed=1))

    first = again()
    assert [e.kind for e in first[0].evidence] == ["snapshot"]
    assert bytes_of(first) == bytes_of(again())


def test_a_monitor_blurs_pictures_and_clips_and_refuses_to_start_without_its_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = {"snapshot": True, "folder": tmp_path / "clips", "blur_faces": tmp_path / "no.onnx"}
    with pytest.raises(ConfigError, match=r"no\.onnx not found"):
        run(FrameList(bright_at((3, 6), seconds=10)), dict(evidence))

    seen: list[tuple[int, ...]] = []

    class Finder:
        def __init__(self, model: Path) -> None:
            assert model == evidence["blur_faces"]

        def find(self, picture: UInt8Image) -> list[Any]:
            seen.append(picture.shape)
            return []

    monkeypatch.setattr("egomon.fusion.media.yunet.YuNet", Finder)
    found = run(FrameList(bright_at((3, 6), seconds=10)), dict(evidence))
    assert found[0].evidence[0].blurred
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 1
    assert len(seen) > 10
