"""Compares a bundle's ONNX form with its torch form: frames a core, and verdicts.

    python benchmarks/runtime_forms.py [--bundle DIR] [--minutes 20] [--seed 52001]
                                       [--real FOLDER ...] [--json]

Verdicts are compared on fresh rendered recordings and on every video of the folders given: a
segment's verdict is changed if one form alone raises an alert, judges it wrong, calls it foreign or
names that step. Ratios are of CPU time in one thread, taken in turns in one run, so they hold on a
busy machine too. Needs the extra `torch`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.onnx.encoder import pictures
from egomon.branches.onnx.session import least_cosine
from egomon.branches.threads import set_torch_threads
from egomon.config import load_settings
from egomon.fusion.messages.types import AlertData, Data, SegmentData
from egomon.monitor import Monitor, SourceRequest
from egomon.train.simulator import simulate

FORMS = ("onnx", "torch")
LITE0 = FrameEncoderCard(
    library="lite0", architecture="efficientnet-lite0", weights="package", image_px=224, dim=1280
)
ROUNDS = 7
VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov"}
SETTINGS = {
    "bus": {"publish": ("tcp://127.0.0.1:*",), "control": "none"},
    "store": {"path": "none"},
    "decision": {"refine_deadline_seconds": 60.0},
    "model": {"threads": 1},
}


class Heard:
    """What the monitor said about one video."""

    def __init__(self) -> None:
        self.verdicts: dict[tuple[str, float, float], tuple[object, ...]] = {}
        self.logits: list[float] = []

    def __call__(self, _: str, data: Data) -> None:
        """Keep verdicts by span."""
        if not isinstance(data, SegmentData | AlertData):
            return
        span = (type(data).__name__, data.segment.media_start, data.segment.media_end)
        if isinstance(data, AlertData):
            self.verdicts[span] = (data.state,)
            return
        large, scores = data.scores.large, data.scores
        self.logits += [*scores.small.logits, *(large.logits if large else ())]
        step = data.step.id if data.step else None
        p = scores.small.p if scores.fused is None else scores.fused
        self.verdicts[span] = (p >= scores.threshold, data.out_of_domain, step, data.mode)


def replay(bundle: Bundle, video: Path) -> Heard:
    """Replay one video."""
    heard = Heard()
    request = SourceRequest.of("bench", str(video), "file")
    Monitor([request], load_settings(None, SETTINGS), bundle=bundle, listeners=[heard]).run()
    return heard


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> float:
    """Median of CPU time of the one over that of the other, in turns."""
    slow(), fast()
    ratios = []
    for _ in range(ROUNDS):
        spent = []
        for work in (slow, fast):
            begin = time.process_time()
            work()
            spent.append(time.process_time() - begin)
        ratios.append(spent[0] / spent[1])
    return statistics.median(ratios)


def lite0() -> dict[str, float]:
    """Frames a core of the shipped base over its torch form, and how near their vectors are."""
    ours, theirs = (build_frame_encoder(LITE0, engine=form, device="cpu") for form in FORMS)
    images = pictures(LITE0.image_px)
    return {
        "lite0_frames_per_core": ratio(lambda: theirs.encode(images), lambda: ours.encode(images)),
        "lite0_least_cosine": least_cosine(ours.encode(images), theirs.encode(images)),
    }


def compare(ref: str, videos: Sequence[Path], rendered: int) -> dict[str, float]:
    """Verdicts of both forms on videos, of which the first `rendered` are rendered."""
    forms = [load_bundle(ref, engine=form, device="cpu", threads=1) for form in FORMS]
    figures = {
        "onnx_over_torch": ratio(*(lambda f=form: replay(f, videos[0]) for form in forms[::-1])),
        "verdicts": 0, "verdicts_changed": 0, "verdicts_real": 0, "verdicts_changed_real": 0,
        "largest_logit_difference": 0.0,
    }  # fmt: skip
    for number, video in enumerate(videos):
        ours, theirs = (replay(form, video) for form in forms)
        kind = "" if number < rendered else "_real"
        spans = ours.verdicts.keys() | theirs.verdicts.keys()
        changed = sum(ours.verdicts.get(span) != theirs.verdicts.get(span) for span in spans)
        figures[f"verdicts{kind}"] += len(spans)
        figures[f"verdicts_changed{kind}"] += changed
        if len(ours.logits) == len(theirs.logits) and ours.logits:
            worst = float(np.abs(np.subtract(ours.logits, theirs.logits)).max())
            figures["largest_logit_difference"] = max(figures["largest_logit_difference"], worst)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="workbench")
    parser.add_argument("--minutes", type=float, default=20.0, help="rendered; 0 = none")
    parser.add_argument("--seed", type=int, default=52001)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders of videos")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_torch_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.minutes > 0:
            simulate(Path(folder), options.seed, options.minutes)
        rendered = sorted(Path(folder).glob("*.mp4"))
        real = [
            path
            for each in options.real
            for path in sorted(each.iterdir())
            if path.suffix.lower() in VIDEO_SUFFIXES
        ]
        if not rendered + real:
            sys.exit("no video: give --minutes above 0, or --real FOLDER with videos")
        figures = lite0() | compare(options.bundle, rendered + real, len(rendered))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:.6g}")


if __name__ == "__main__":
    main()
