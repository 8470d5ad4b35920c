from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from wire_station import alert, online, scores

from egomon.fusion.messages.envelope import encode, kind_of
from egomon.fusion.messages.json_schema import FOLDER, main, schemas
from egomon.fusion.messages.types import (
    DATA_TYPES,
    AlertData,
    BranchScores,
    Data,
    ErrorInfo,
    Evidence,
    GapData,
    GateWeights,
    HeartbeatData,
    Latency,
    Previous,
    Scores,
    SegmentData,
    SegmentGaze,
    StatsData,
    StatusData,
    Step,
    WallTimes,
)
from egomon.fusion.transport.sequencer import Sequencer

FULL_SCORES = Scores(
    small=BranchScores(p=0.87, logits=(-0.9, 1.0)),
    large=BranchScores(p=0.6, logits=(-0.2, 0.2)),
    gate=GateWeights(small=0.35, large=0.65),
    fused=0.72,
    threshold=0.5,
    t_off=0.4,
)
FULL_ALERT = AlertData(
    alert_id="a-2",
    rev=2,
    phase="update",
    state="confirmed",
    reason="refined",
    explanation="The lens is attached before the cap is off.",
    p=0.72,
    segment=alert().segment,
    media_opened=1.0,
    scores=FULL_SCORES,
    step=Step(id="s12", text="attach lens", conf=0.61),
    model="demo@0123",
    t=WallTimes(capture_start="2026-01-01T00:00:00.000Z", capture_end="x", opened="y"),
    latency_ms=Latency(small=42.0, large=380.0, end_to_end=546.0),
    evidence=(Evidence(kind="snapshot", media_type="image/jpeg", attachment=0),),
    prev=Previous(state="provisional", p=0.87),
)
EXAMPLES: list[Data] = [
    alert(),
    alert(rev=3, phase="end"),
    FULL_ALERT,
    SegmentData(segment=alert().segment, p=0.1, stage="small", scores=scores(), flagged=False),
    SegmentData(
        segment=alert().segment,
        p=0.1,
        stage="small",
        scores=scores(),
        flagged=False,
        gaze=SegmentGaze(frames=8, worn=0.75, x=0.4, y=-0.1),
    ),
    online(),
    StatusData(
        source_state="reconnecting",
        attempt=2,
        next_retry_s=0.7,
        error=ErrorInfo(code="STREAM_TIMEOUT", message="no frame for 2 s"),
    ),
    StatsData(
        media_seconds=12.0,
        fps=29.9,
        frames={"decoded": 360},
        segments=12,
        alerts_open=0,
        alerts_total=1,
        queues={"refine": 0},
        refine={"ok": 1},
        latency_ms={"p50": 40.0},
    ),
    HeartbeatData(last_seq=7, last_tseq={"egomon/1/cam0/alert/": 3}),
    GapData(cause="staleness", count=3, from_pts=1.0, to_pts=1.1),
]


def schema(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_bytes())


def test_the_files_are_what_the_types_say() -> None:
    on_disk = {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}
    assert on_disk == schemas(), "run: python -m egomon.fusion.messages.json_schema"


def test_the_generator_writes_them(tmp_path: Path) -> None:
    main(tmp_path / "schema")
    assert len(list((tmp_path / "schema").glob("*.json"))) == len(DATA_TYPES) + 1


@pytest.mark.parametrize("data", EXAMPLES, ids=lambda data: type(data).__name__)
def test_every_message_follows_the_published_schema(data: Data) -> None:
    jsonschema.validate(json.loads(encode(data)), schema(kind_of(data)))
    event = Sequencer("boot-1", "bench", lambda: 0).number("cam0", data)
    jsonschema.validate(json.loads(event.envelope), schema("envelope"))


@pytest.mark.parametrize("name", [*DATA_TYPES, "envelope"])
def test_schemas_are_valid_and_leave_room_for_new_fields(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert 'additionalProperties": false' not in json.dumps(schema(name))


def test_examples_cover_every_kind() -> None:
    assert {kind_of(data) for data in EXAMPLES} == set(DATA_TYPES)


def test_a_wrong_message_does_not_follow_the_schema() -> None:
    broken = json.loads(encode(alert())) | {"phase": "maybe"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema("alert"))
