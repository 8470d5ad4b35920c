"""Made-up messages of every kind that a sink gets."""

from __future__ import annotations

from egomon.fusion.messages.envelope import decode_envelope
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import (
    AlertData,
    BranchScores,
    Data,
    ErrorInfo,
    Evidence,
    GapData,
    Scores,
    SegmentData,
    SegmentRef,
    StatsData,
    StatusData,
)
from egomon.fusion.transport.sequencer import Sequencer

JPEG = b"\xff\xd8\xff\xe0 not a picture, but bytes that no text holds \xff\xd9"
# A fixed moment: samples must be the same bytes on each run.
NOON_NS = 1_700_000_000 * 1_000_000_000


def sample_messages(source: str = "cam0") -> list[Message]:
    """An alert with a picture and odd text, then one message of each other kind, in order."""
    segment = SegmentRef(id=7, epoch=0, media_start=1.0, media_end=3.0, frames=8)
    scores = Scores(small=BranchScores(p=0.9, logits=(-1.0, 1.2)), threshold=0.5, t_off=0.4)
    alert = AlertData(
        alert_id=f"a-{source}-test-00001",
        rev=1,
        phase="new",
        state="confirmed",
        reason="small_score",
        explanation='<b>"Déjà vu"</b>, 手\n{}; \U0001f9f0',
        source=source,
        p=0.9,
        segment=segment,
        media_opened=3.0,
        scores=scores,
        model="test@00000000",
        evidence=(Evidence(kind="snapshot", media_type="image/jpeg", attachment=0),),
    )
    others: list[Data] = [
        SegmentData(segment=segment, p=0.9, stage="small", scores=scores, flagged=True),
        StatusData(
            source_state="stalled", error=ErrorInfo(code="STREAM_TIMEOUT", message="no frames")
        ),
        StatsData(
            media_seconds=3.0,
            fps=30.0,
            frames={"decoded": 90},
            segments=1,
            alerts_open=1,
            alerts_total=1,
            queues={},
            refine={},
            latency_ms={},
        ),
        GapData(cause="staleness", count=2, from_pts=1.0, to_pts=1.1),
    ]
    sequencer = Sequencer("test", "localhost", lambda: NOON_NS)
    return [
        _numbered(sequencer, source, alert, JPEG),
        *(_numbered(sequencer, source, data) for data in others),
    ]


def _numbered(sequencer: Sequencer, source: str, data: Data, *attachments: bytes) -> Message:
    event = sequencer.number(source, data)
    return Message(event.topic, decode_envelope(event.envelope), data, attachments)
