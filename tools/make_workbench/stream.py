"""Stage 7: the activity model, and the segments that the stream finds in a recording.

The activity model says for each frame whether hands are at work; the product's own segmenter
turns that into spans, so that what is measured here is what happens live.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from egomon.branches.activity_model import ActivityClassifier
from egomon.branches.bundle.card import StreamCard
from egomon.branches.segmentation import make_segmenter
from egomon.branches.torch_modules import to_arrays
from egomon.stream.segmenter import Span
from tools.make_workbench.augment import CONTEXT_FRAMES, FINE_FRAMES
from tools.make_workbench.encode_recordings import FPS, BankedRecording
from tools.make_workbench.networks.activity import ActivityModule

ACTIVITY_WIDTH = 48
STREAM = StreamCard(
    fps=FPS,
    fine_frames=FINE_FRAMES,
    context_frames=CONTEXT_FRAMES,
    context_max_seconds=600.0,
    context_until="segment_start",
    policy="activity",
    shortest_seconds=1.6,
    longest_seconds=7.0,
    activity_on=0.5,
    activity_off=0.5,
    activity_hold_seconds=0.25,
)
_STEPS, _BATCH = 600, 1024


def train_activity(bank: list[BankedRecording], seed: int) -> ActivityModule:
    """Fit the activity model on bank frames; order cards and pauses are no activity."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 8])
    vectors = torch.from_numpy(np.concatenate([recording.vectors for recording in bank])).float()
    active = torch.from_numpy(np.concatenate([recording.active() for recording in bank])).float()
    module = ActivityModule(vectors.shape[1], ACTIVITY_WIDTH)
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=0.01)
    for step in range(_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / _STEPS)
        rows = torch.from_numpy(rng.integers(len(vectors), size=_BATCH))
        loss = F.binary_cross_entropy_with_logits(module(vectors[rows]), active[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    module.load_state_dict({k: v.half().float() for k, v in module.state_dict().items()})
    return module.eval()


def find_spans(module: ActivityModule, recording: BankedRecording) -> list[Span]:
    """The segments of a recording, as the stream finds them."""
    boundaries = make_segmenter(STREAM)
    model = ActivityClassifier(to_arrays(module.state_dict()))
    level = model.probability(recording.vectors.astype(np.float32))
    spans = []
    for t_seconds, activity in zip(recording.times.tolist(), level.tolist(), strict=True):
        spans += boundaries.push(t_seconds, activity)
    return spans + boundaries.flush()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Segments of one recording and the true step that each shows."""

    spans: NDArray[np.float64]
    """(K, 2)."""
    steps: NDArray[np.int64]
    """(K,) number of the true step, -1 = none."""
    kinds: NDArray[np.int64]
    """(K,) its kind; 0 where there is none."""
    parts: NDArray[np.int64]
    """(K,) its part; 0 where there is none."""


def find(module: ActivityModule, recording: BankedRecording) -> Found:
    """Segment a recording and say which true step each segment overlaps most."""
    spans = np.array([(s.t_start, s.t_end) for s in find_spans(module, recording)]).reshape(-1, 2)
    low = np.maximum(spans[:, None, 0], recording.spans[None, :, 0])
    high = np.minimum(spans[:, None, 1], recording.spans[None, :, 1])
    overlap = np.maximum(high - low, 0)
    best = overlap.argmax(axis=1)
    steps = np.where(overlap.max(axis=1) > 0.5, best, -1)
    kinds = np.where(steps >= 0, recording.kinds[best], 0)
    return Found(spans, steps, kinds, np.where(steps >= 0, recording.parts[best], 0))


def boundary_report(recordings: list[BankedRecording], found: list[Found]) -> dict[str, float]:
    """Compare segments with steps: recall, extra segments a minute, boundary errors."""
    met = total = extra = 0
    seconds, errors = 0.0, []
    for recording, segments in zip(recordings, found, strict=True):
        total += len(recording.kinds)
        met += len(set(segments.steps.tolist()) - {-1})
        extra += len(segments.steps) - len(set(segments.steps.tolist()) - {-1})
        seconds += recording.seconds
        real = segments.steps >= 0
        errors.append(segments.spans[real] - recording.spans[segments.steps[real]])
    off = np.concatenate(errors)
    return {
        "steps_found": met / total,
        "extra_per_minute": extra / seconds * 60,
        "start_error_mean": float(off[:, 0].mean()),
        "start_error_p95": float(np.quantile(np.abs(off[:, 0]), 0.95)),
        "end_error_mean": float(off[:, 1].mean()),
        "end_error_p95": float(np.quantile(np.abs(off[:, 1]), 0.95)),
    }
