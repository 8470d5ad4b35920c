"""The same file live and replayed: the same logits."""

from __future__ import annotations

from egomon.branches.load_bundle import Bundle
from egomon.fusion.messages.types import Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from pipeline_parts import models
from pipeline_parts.bench import Bench
from pipeline_parts.figures import Measured
from pipeline_parts.video import PacedCamera

Logits = dict[tuple[float, float], tuple[float, float]]


def same(bench: Bench) -> dict[str, Measured]:
    """Frames one by one as they come, against whole batches; other threads, another decoder."""
    bundle = bench.vit
    seconds = 6.0 if bench.quick else 12.0
    camera = PacedCamera(bench.film, seconds=seconds)
    live = _logits(bench, bundle, SourceRequest("f", "", True, camera), camera=camera)
    replayed = _logits(bench, bundle, SourceRequest.of("f", str(bench.film)), seconds)
    shared = sorted(live.keys() & replayed.keys())
    apart = [abs(a - b) for span in shared for a, b in zip(live[span], replayed[span], strict=True)]
    least = int(seconds / models.SEGMENT_SECONDS) // 2  # a busy machine may lose live frames
    if len(shared) < least:
        raise RuntimeError(f"only {len(shared)} of {least} segments were scored both ways")
    return {"live_replay_logit_diff": Measured(max(apart), {"segments": len(shared)})}


def _logits(
    bench: Bench,
    bundle: Bundle,
    request: SourceRequest,
    end: float | None = None,
    camera: PacedCamera | None = None,
) -> Logits:
    found: Logits = {}

    def listen(source: str, data: Data) -> None:
        if isinstance(data, SegmentData):
            span = (round(data.segment.media_start, 3), round(data.segment.media_end, 3))
            found[span] = data.scores.small.logits

    chosen = models.settings(bench.folder, source={"staleness_seconds": 60.0})
    watching = Monitor(
        [request], chosen, bundle=bundle, listeners=[listen], range_seconds=(0.0, end)
    )
    if camera is not None:
        camera.begin = watching.inputs[0].ready
    watching.run()
    return found
