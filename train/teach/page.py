"""One self-contained HTML page of what was learned: steps with pictures, order, recordings.

It has no script and loads nothing; all text is escaped, and its policy lets only this very style
sheet and the pictures inside the file be used.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from egomon.branches.taught.workflow_drawing import direct_edges
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.errors import UsageError
from egomon.stream.segmenter import Span
from egomon.train.features.recording import Picture, RecordingVectors

PAGE_FILE = "workflow.html"
MOST_PICTURES = 5
"""Of one step, each from another recording."""
TRACK_WIDTH, TRACK_HEIGHT, TRACK_GAP, LABEL_WIDTH = 900, 26, 6, 190
NARROW = 18
"""Shorter bars carry no number."""

STYLE = files("egomon.train.teach").joinpath("page.css").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRecording:
    """One recording with its steps in order of time; `text` of a span is the step's id."""

    recording: RecordingVectors
    visits: tuple[Span, ...]


def write_page(
    path: Path,
    *,
    title: str,
    sentence: str,
    notes: Sequence[str],
    graphs: Sequence[WorkflowGraph],
    tracks: Sequence[AlignedRecording],
) -> None:
    """Write the page.

    Raises:
        UsageError: the file cannot be written.
    """
    text = page(title, sentence, notes, graphs, tracks)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def page(
    title: str,
    sentence: str,
    notes: Sequence[str],
    graphs: Sequence[WorkflowGraph],
    tracks: Sequence[AlignedRecording],
) -> str:
    """The page as text, see `write_page`."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    steps = [step for graph in graphs for step in graph.steps]
    numbers = {step.id: number for number, step in enumerate(steps, 1)}
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="verdict">{html.escape(sentence)}</p>',
        *(f'<p class="soft">{html.escape(note)}</p>' for note in notes),
        '<p class="soft">Names, order and options are in workflow.toml beside this page; change '
        "them there.</p>",
    ]
    for graph in graphs:
        called = f": {html.escape(graph.name)}" if len(graphs) > 1 else ""
        before = before_each(graph)
        body += [f"<h2>Steps{called}</h2>", "<ol>"]
        body += [_step(step, numbers[step.id], before[step.id], tracks) for step in graph.steps]
        body += ["</ol>", f"<h2>Order{called}</h2>", f'<div class="scroll">{graph.to_svg()}</div>']
    body += ["<h2>Recordings</h2>", f'<div class="scroll">{_tracks(tracks, steps)}</div>']
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def before_each(graph: WorkflowGraph) -> dict[str, list[str]]:
    """Names of the steps directly before each step, by its id."""
    names = {step.id: step.name for step in graph.steps}
    found: dict[str, list[str]] = {step.id: [] for step in graph.steps}
    for first, then in direct_edges({step.id: step.after for step in graph.steps}):
        found[then].append(names.get(first, first))
    return found


def _step(
    step: WorkflowStep, number: int, before: Sequence[str], tracks: Sequence[AlignedRecording]
) -> str:
    visits = [(t, v) for t in tracks for v in t.visits if v.text == step.id]
    seconds = [visit.duration_seconds for _, visit in visits]
    facts = []
    if seconds:
        low, high, typical = min(seconds), max(seconds), float(np.median(seconds))
        facts.append(f"{typical:.0f} s ({low:.0f} to {high:.0f})")
        facts.append(f"in {len({id(track) for track, _ in visits})} of {len(tracks)} recordings")
    facts += ["may be left out"] * step.optional + ["may come again"] * step.repeatable
    if before:
        facts.append("after " + ", ".join(before))
    shown: dict[int, str] = {}
    for track, visit in visits:
        picture = _picture_in(track.recording.pictures, visit)
        if id(track) not in shown and picture is not None and len(shown) < MOST_PICTURES:
            shown[id(track)] = _figure(picture, track.recording.name)
    return (
        f"<li><h3>{number}. {html.escape(step.name)}</h3>"
        f'<p class="soft">{html.escape("; ".join(facts))}</p>'
        f'<div class="pictures">{"".join(shown.values())}</div></li>'
    )


def step_pictures(tracks: Sequence[AlignedRecording]) -> dict[str, bytes]:
    """JPEG of each step by its id, from the first recording that has one of it."""
    found: dict[str, bytes] = {}
    for track in tracks:
        for visit in track.visits:
            picture = _picture_in(track.recording.pictures, visit)
            if visit.text is not None and picture is not None:
                found.setdefault(visit.text, picture.jpeg)
    return found


def _picture_in(pictures: Sequence[Picture], visit: Span) -> Picture | None:
    """The one nearest to the middle of the visit, if any lies in it."""
    middle = (visit.t_start + visit.t_end) / 2
    inside = [p for p in pictures if visit.t_start <= p.t_seconds < visit.t_end]
    return min(inside, key=lambda p: abs(p.t_seconds - middle), default=None)


def _figure(picture: Picture, recording: str) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    told = html.escape(f"{recording}, {picture.t_seconds:.0f} s")
    return (
        f'<figure><img alt="{told}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{told}</figcaption></figure>"
    )


def _tracks(tracks: Sequence[AlignedRecording], steps: Sequence[WorkflowStep]) -> str:
    """All recordings one above the other, on one scale of seconds."""
    order = {step.id: number for number, step in enumerate(steps, 1)}
    names = {step.id: step.name for step in steps}
    longest = max((visit.t_end for t in tracks for visit in t.visits), default=1.0)
    scale = (TRACK_WIDTH - LABEL_WIDTH) / longest
    parts = []
    for row, track in enumerate(tracks):
        y = row * (TRACK_HEIGHT + TRACK_GAP)
        told = html.escape(track.recording.name)
        short = html.escape(track.recording.name[:26])
        parts.append(
            f'<g><title>{told}</title><text class="name" x="0" y="{y + 17}">{short}</text></g>'
        )
        for visit in track.visits:
            x, wide = LABEL_WIDTH + visit.t_start * scale, visit.duration_seconds * scale
            number = order.get(visit.text or "", 0)
            hue = round(360 * number / (len(steps) + 1)) * 7 % 360
            name = html.escape(names.get(visit.text or "", "no step"))
            label = (
                f'<text x="{x + wide / 2:.1f}" y="{y + 18}" text-anchor="middle" fill="#fff" '
                f'font-size="12">{number}</text>'
                if number and wide >= NARROW
                else ""
            )
            parts.append(
                f"<g><title>{name}, {visit.t_start:.0f} to {visit.t_end:.0f} s</title>"
                f'<rect x="{x:.1f}" y="{y}" width="{max(wide - 1, 0.5):.1f}" rx="3" '
                f'height="{TRACK_HEIGHT}" fill="hsl({hue} 55% 40%)"/>{label}</g>'
            )
    height = max(1, len(tracks)) * (TRACK_HEIGHT + TRACK_GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{TRACK_WIDTH}" height="{height}" '
        f'viewBox="0 0 {TRACK_WIDTH} {height}" font-family="sans-serif" role="img">'
        + "".join(parts)
        + "</svg>"
    )
