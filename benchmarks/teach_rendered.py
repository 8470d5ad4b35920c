"""Taught workflows on rendered video that the base has never seen; see `teach.py`.

Videos are cut, judged and told as a live monitor does it. A labelled segment's score is that of
the found segment that overlaps it most; one that was not found scores lowest. An alert that meets
no mistake is false, whether or not the segment is labelled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from egomon.branches.interfaces import ClipView, ContextView
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.taught.explanation import explain
from egomon.branches.workflow_context import WorkflowContext
from egomon.stream.segmenter import Span
from egomon.train.features.encode_video import encode_video
from egomon.train.simulator import EXECUTION, MISTAKES, WORKFLOW_MISTAKES, simulate
from egomon.train.teach import RecordingVectors
from egomon.train.teach.base import Base, open_base
from egomon.train.teach.one_class.build import replay
from egomon.train.teach.one_class.fit import TaughtWorkflow
from egomon.train.teach.one_class.segment_features import observe
from egomon.train.teach.step_filter.several import teach_workflows
from egomon.train.teach.video import LENGTH_SECONDS, STRIDE_SECONDS, learn_bundle

COLUMNS = ("taught", "not taught", "filter", "duration", "place")
"""The base's supervised head judges the same segments, and so does the filter of steps that `teach`
makes over other bases; the last two never look at a pixel."""
GROUPS = {"all": MISTAKES, "workflow": WORKFLOW_MISTAKES, "execution": EXECUTION}
MISSED = -1e3
FILTER_SECONDS = 2.0
"""What the filter says so long after a segment still counts for it."""
ORDER = ("not been seen", "usually comes", "is not part of")
RIGHT_REASONS = {
    "order": ORDER,
    "skip": ORDER,
    "repeat": ("again", "usually comes"),
    "wrongpart": ("not look like any step", "is not part of"),
}
"""What a right reason says of mistakes in the workflow."""
OF_HANDLING = ("not look properly done", "not look like any step", "than usual")
RESAMPLES = 500


@dataclass
class Judged:
    """One entry a labelled segment, and the false alerts besides."""

    kinds: list[str] = field(default_factory=list)
    """Of mistake, "ok" where correct."""
    scores: list[list[float]] = field(default_factory=list)
    """By `COLUMNS`; log odds, so 0 is the threshold, of the first two."""
    reasons: list[str] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)
    stray: list[list[bool]] = field(default_factory=list)
    """Alerts by the first two columns on segments that meet no label."""
    by_order: int = 0
    """False alerts of the taught that rest on the order: few demonstrations may hide that an order
    is free."""
    hours: float = 0.0


def vectors_of(video: Path, base: Base) -> RecordingVectors:
    """Frame vectors, kept beside the video for the next run with the same encoder."""
    kept = video.with_suffix(f".{(base.card.frame_encoder.weights_sha256 or 'x')[:8]}.npz")
    if not kept.exists():
        made = encode_video(video, base.encoder, base.card.stream.fps)
        np.savez(kept, times=made.times, vectors=made.vectors)
    with np.load(kept) as arrays:
        return RecordingVectors(video.name, arrays["times"], arrays["vectors"])


def measure(folder: Path, base: str, demonstrations: int) -> Judged:
    """Teach each workflow of `folder/right` from some of its videos; judge `folder/test`."""
    start, bundle = open_base(base), load_bundle(base)
    truth: dict[str, list[dict]] = {}
    for line in (folder / "test" / "segments.jsonl").read_text().splitlines():
        row = json.loads(line)
        truth.setdefault(row["recording"], []).append(row)
    judged = Judged()
    for workflow in sorted({p.name.split("-")[0] for p in folder.glob("right/*.mp4")}):
        videos = sorted(folder.glob(f"right/{workflow}-*.mp4"))[:demonstrations]
        right = [vectors_of(video, start) for video in videos]
        taught, _, _ = learn_bundle(start, right, workflow, 6.0, lambda what, share: None)
        followed = teach_workflows(right, name=workflow)
        by_filter = StepFilterBranch(followed.models[0], followed.graphs)
        print(
            f"  {workflow}: {len(right)} recordings, {taught.report.steps} steps, by the filter "
            f"{followed.report.steps}",
            flush=True,
        )
        for video in sorted(folder.glob(f"test/{workflow}-*.mp4")):
            recording = vectors_of(video, start)
            judge(judged, taught, by_filter, bundle, recording, truth[video.name])
    return judged


def judge(
    judged: Judged,
    taught: TaughtWorkflow,
    by_filter: StepFilterBranch,
    bundle: Bundle,
    recording: RecordingVectors,
    truth: Sequence[dict],
) -> None:
    """Add one recording."""
    seen = observe(recording, bundle.card.stream, taught.look, bundle.activity)
    judged.hours += seen.seconds / 3600
    evidence = replay(taught.model, taught.graphs, seen)
    spans = [moment.span for moment in seen.moments]
    untaught = base_odds(bundle, recording, spans)
    followed = filter_odds(by_filter, recording, spans)
    best: dict[int, tuple[float, int]] = {}
    rows = [
        [e.score - taught.model.options.threshold, other, own, span.t_end - span.t_start, place]
        for place, (e, other, own, span) in enumerate(
            zip(evidence, untaught, followed, spans, strict=True)
        )
    ]
    for i, span in enumerate(spans):
        shared = [min(span.t_end, r["end"]) - max(span.t_start, r["start"]) for r in truth]
        row = int(np.argmax(shared))
        if shared[row] <= 0:
            judged.stray.append([score >= 0 for score in rows[i][:2]])
        elif row not in best or shared[row] > best[row][0]:
            best[row] = (shared[row], i)
    for number, row in enumerate(truth):
        i = best[number][1] if number in best else None
        kind = next((tag for tag in row["tags"] if tag in MISTAKES), "ok") if row["label"] else "ok"
        judged.kinds.append(kind)
        judged.recordings.append(row["recording"])
        judged.scores.append([MISSED] * len(COLUMNS) if i is None else rows[i])
        told = "" if i is None else explain(evidence[i], taught.model, taught.graphs)[0]
        judged.reasons.append(told)
        if i is not None and kind == "ok" and rows[i][0] >= 0:
            judged.by_order += evidence[i].main == "order"


def filter_odds(
    branch: StepFilterBranch, recording: RecordingVectors, spans: Sequence[Span]
) -> list[float]:
    """The filter's highest log odds during each span and shortly after it."""
    follower, times, vectors = branch.follow(), recording.times, recording.vectors
    said = []
    for end in np.arange(STRIDE_SECONDS, times[-1] + STRIDE_SECONDS, STRIDE_SECONDS):
        held = (times >= end - LENGTH_SECONDS) & (times < end)
        if held.any():
            clip = ClipView(vectors[held], times[held], end - LENGTH_SECONDS, end)
            context = ContextView(vectors[:1], times[:1], times[0], end)
            said.append((end, follower.score(clip, context).log_odds))
    return [
        max(
            (odds for t, odds in said if span.t_start < t <= span.t_end + FILTER_SECONDS),
            default=MISSED,
        )
        for span in spans
    ]


def base_odds(bundle: Bundle, recording: RecordingVectors, spans: Sequence[Span]) -> list[float]:
    """Distance of the base's log odds to its threshold; its own workflows are others than these."""
    stream, p = bundle.card.stream, bundle.card.decision.threshold_small
    context = WorkflowContext(
        recording.vectors.shape[1],
        max_seconds=stream.context_max_seconds,
        context_frames=stream.context_frames,
    )
    found, fed = [], 0
    for span in spans:
        end = int(np.searchsorted(recording.times, span.t_end, side="left"))
        if end > fed:
            context.append(recording.times[fed:end], recording.vectors[fed:end])
            fed = end
        clip = context.clip(span.t_start, span.t_end, stream.fine_frames)
        until = span.t_start if stream.context_until == "segment_start" else span.t_end
        score = bundle.small.score(clip, context.view(until))
        found.append(score.log_odds - float(np.log(p / (1 - p))))
    return found


def show(judged: Judged) -> None:
    kinds, scores = np.array(judged.kinds), np.array(judged.scores)
    many = int((kinds != "ok").sum())
    print(f"{len(kinds)} segments, {many} mistakes, {judged.hours:.2f} h; ROC-AUC by score")
    print(f"{'':12}{'mistakes':>9}" + "".join(f"{c:>12}" for c in COLUMNS) + f"{'recall':>8}")
    for name in (*GROUPS, *MISTAKES):
        wrong = np.isin(kinds, GROUPS.get(name, (name,)))
        kept = wrong | (kinds == "ok")
        if wrong.any():
            cells = "".join(f"{roc_auc_score(wrong[kept], s[kept]):12.3f}" for s in scores.T)
            recall = (scores[wrong, 0] >= 0).mean()
            print(f"{name:12}{wrong.sum():9}{cells}{recall:8.2f}")
    low, high = interval(kinds != "ok", scores[:, 0], np.array(judged.recordings))
    print(f"taught, all: 95 % of resamples of recordings in {low:.3f} to {high:.3f}")
    stray = np.array(judged.stray, dtype=bool).reshape(-1, 2).sum(axis=0)
    for column in (0, 1):
        alerts = scores[:, column] >= 0
        hit, false = int(alerts[kinds != "ok"].sum()), int(alerts[kinds == "ok"].sum())
        false += int(stray[column])
        f1 = 2 * hit / max(1, hit + false + many)
        print(
            f"{COLUMNS[column]}: {hit} true alerts, {false} false ({false / judged.hours:.1f}/h), "
            f"F1 {f1:.2f}"
        )
    print(f"taught: {judged.by_order} false alerts are about the order")
    print(f"an alert on every segment: F1 {2 * many / (many + len(kinds)):.2f}")
    told = [
        (kind, reason)
        for kind, reason, score in zip(kinds, judged.reasons, scores[:, 0], strict=True)
        if kind != "ok" and score >= 0
    ]
    right = sum(any(w in reason for w in RIGHT_REASONS.get(k, OF_HANDLING)) for k, reason in told)
    print(f"reason right in {right} of {len(told)} true alerts")


def interval(wrong: np.ndarray, scores: np.ndarray, recordings: np.ndarray) -> tuple[float, float]:
    """Percentile interval of the AUC over recordings drawn anew."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(recordings == name) for name in np.unique(recordings)]
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        if 0 < wrong[drawn].sum() < len(drawn):
            found.append(roc_auc_score(wrong[drawn], scores[drawn]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def render(folder: Path, seed: int, minutes: float, mistake_rate: float) -> None:
    """Correct videos, and others to judge, unless they are there."""
    if not (folder / "right" / "segments.jsonl").exists():
        simulate(folder / "right", seed, minutes, workflows="unseen", correct_only=True)
    if not (folder / "test" / "segments.jsonl").exists():
        simulate(folder / "test", seed + 1, minutes, workflows="unseen", mistake_rate=mistake_rate)
