"""Writes simulated recordings as video files with their segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import msgspec
import numpy as np

from egomon.errors import UsageError
from egomon.train.simulator.look import Image
from egomon.train.simulator.plan import EXECUTION, SEEN, UNSEEN, PlannedWorkflow
from egomon.train.simulator.record import RenderedRecording, record
from egomon.train.simulator.shapes import PARTS

SPLITS = ("train", "train", "train", "val", "test")
"""Split of a recording by its number, see `splits_of`: whole recordings, never segments."""
CRF = 23
"""x264's usual quality."""


def write_video(path: Path, frames: Iterable[Image], fps: float, crf: int = CRF) -> int:
    """Encode RGB frames as H.264 in mp4 (yuv420p, plays in browsers); give the frame count."""
    count = 0
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1000)
        # The same frames give the same bytes: on one thread, and without x264's macroblock tree,
        # which reads memory that it has not written (one of three runs differed at 64 px).
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        options["x264-params"] = "mbtree=0"
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        for image in frames:
            if not count:
                stream.height, stream.width = image.shape[:2]
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    return count


def step_text(part: int) -> str:
    """Name of the step that puts a part in."""
    return f"insert the {PARTS[part]}"


def splits_of(classes: Sequence[set[bool]]) -> list[str]:
    """Splits of recordings by what they hold: a mistake, a correct step.

    Few recordings may leave `val` with one class, which no threshold can be chosen on; it then
    changes places with the first one of `train` that has both.
    """
    splits = [SPLITS[number % len(SPLITS)] for number in range(len(classes))]
    held = [k for k, split in enumerate(splits) if split == "val"]
    both = [k for k, split in enumerate(splits) if split == "train" and len(classes[k]) == 2]
    if held and both and len(set().union(*(classes[k] for k in held))) < 2:
        splits[held[0]], splits[both[0]] = "train", "val"
    return splits


def segment_rows(
    name: str, recording: RenderedRecording, workflow: PlannedWorkflow, split: str
) -> list[dict[str, object]]:
    """The recording's segments as rows of `segments.jsonl`."""
    rows: list[dict[str, object]] = []
    for span in recording.steps:
        mistake = span.step.mistake
        family = "execution" if mistake in EXECUTION else "workflow"
        rows.append(
            {
                "recording": name,
                "start": round(span.t_start, 3),
                "end": round(span.t_end, 3),
                "label": int(mistake is not None),
                "context_start": 0.0,
                "split": split,
                "tags": [workflow.name] + ([] if mistake is None else [family, mistake]),
                "text": step_text(span.step.part),
            }
        )
    return rows


def simulate(
    out: Path,
    seed: int,
    minutes: float,
    workflows: Literal["seen", "unseen"] = "seen",
    correct_only: bool = False,
    mistake_rate: float = 0.06,
    size_px: int = 224,
    fps: float = 16.0,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Render recordings until `minutes` of video exist; any seed gives other recordings.

    Writes `<out>/<workflow>-<seed>-<number>.mp4` (each a recording) and `<out>/segments.jsonl`.

    Args:
        out: Folder, made where absent.
        seed: Each recording's generator is made of seed and number, so a longer run begins with
            the same recordings.
        minutes: Least total length of video.
        workflows: Recipes the demonstration model was trained on, or others.
        correct_only: No mistakes at all.
        mistake_rate: Probability that a step is a mistake.
        size_px: Side of the square frames; even, as the codec demands.
        fps: Frames a second.
        progress: Called with the share that is done, 0 to 1.

    Returns:
        How many recordings were written.

    Raises:
        UsageError: a size, length, rate or probability that makes no video.
    """
    if size_px < 32 or size_px % 2 or minutes <= 0 or fps <= 0 or not 0 <= mistake_rate <= 1:
        raise UsageError(
            "cannot simulate: the size must be even and at least 32 px, minutes and frame rate "
            "above 0, the mistake rate between 0 and 1; change the option that breaks this"
        )
    recipes = {"seen": SEEN, "unseen": UNSEEN}[workflows]
    out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    recordings: list[tuple[str, RenderedRecording, PlannedWorkflow]] = []
    while seconds < 60 * minutes:
        number = len(recordings)
        rng = np.random.default_rng([seed, number])
        workflow = recipes[int(rng.integers(len(recipes)))]
        recording = record(workflow, rng, 0.0 if correct_only else mistake_rate, fps)
        name = f"{workflow.name}-{seed}-{number:03d}.mp4"
        write_video(out / name, recording.frames(size_px), fps)
        recordings.append((name, recording, workflow))
        seconds += recording.seconds
        if progress is not None:
            progress(min(1.0, seconds / (60 * minutes)))
    classes = [{s.step.mistake is not None for s in each.steps} for _, each, _ in recordings]
    with (out / "segments.jsonl").open("wb") as lines:
        for one, split in zip(recordings, splits_of(classes), strict=True):
            for row in segment_rows(*one, split):
                lines.write(msgspec.json.encode(row) + b"\n")
    return len(recordings)
