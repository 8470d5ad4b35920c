"""The picture of how it works, drawn from the table below: SVG in the colours of the page."""

from __future__ import annotations

from html import escape

PIPELINE = """
producer | source         | camera, stream, recording or program
         | rolling buffer | live drops the oldest frame, files wait
small    | frame encoder  | each frame once, a vector of it is kept
         | segment        | a window, or from rest to rest
         | small branch   | the segment against the workflow so far
large    | large branch   | the pixels of the segment alone
emit     | gate           | weighs both; without the large branch: small alone
         | decision       | threshold, domain, one alert for one mistake
         | store          | SQLite: written before anything is sent
         | bus            | ZeroMQ: new, update, end, retract
"""
"""Thread (as the monitor names it), part and what it does, from top to bottom."""

WIDTH, BOX, GAP, PAD, HEAD, LEFT, INDENT = 430, 44, 18, 10, 28, 16, 60
ASIDE = "large"
"""This thread is asked only about flagged segments: the others pass it on the left."""


def rows() -> list[tuple[str, str, str]]:
    """Thread, part and sentence of each box; the thread is repeated where the table leaves it out.

    >>> rows()[1][:2]
    ('producer', 'rolling buffer')
    """
    found, thread = [], ""
    for line in PIPELINE.strip().splitlines():
        named, part, what = (cell.strip() for cell in line.split("|"))
        thread = named or thread
        found.append((thread, part, what))
    return found


def svg() -> str:
    """One `<svg>` without blank lines, so that Markdown leaves it as it is."""
    bands, boxes, arrows = [], [], []
    y, before, start = 0, "", 0.0
    ends: dict[str, float] = {}
    for thread, part, what in rows():
        left = LEFT + (INDENT if thread == ASIDE else 0)
        middle = WIDTH / 2 + (INDENT / 2 if ASIDE in (thread, before) else 0)
        if thread != before:
            if before:
                bands.append(_band(before, start, y - GAP + PAD))
                y += GAP
            start = y
            y += HEAD
        if before:
            label = "flagged" if thread == ASIDE else ""
            arrows.append(_arrow(middle, ends["last"], y, label))
            if before == ASIDE:  # what is not flagged goes straight on
                arrows.append(_arrow(LEFT + INDENT / 2, ends["aside"], y, ""))
        if thread == ASIDE:
            ends["aside"] = ends["last"]
        boxes.append(_box(left, y, part, what))
        y += BOX
        ends["last"], before = y, thread
        y += GAP
    y += PAD - GAP
    bands.append(_band(before, start, y))
    head = (
        f'<svg class="pipeline" viewBox="0 0 {WIDTH} {y}" role="img" '
        'style="max-width:32rem;width:100%" xmlns="http://www.w3.org/2000/svg" '
        'fill="currentColor" stroke="currentColor" font-size="13">'
        "<title>From frames to alerts: threads and what they do</title>"
    )
    return "\n".join([head, *bands, *arrows, *boxes, "</svg>"])


def _band(thread: str, top: float, bottom: float) -> str:
    x = INDENT if thread == ASIDE else 0
    name = f"{thread} (one for each source)" if thread == "producer" else thread
    return (
        f'<rect x="{x}" y="{top}" width="{WIDTH - x}" height="{bottom - top}" rx="6" '
        'fill-opacity=".06" stroke="none"/>'
        f'<text x="{WIDTH - LEFT}" y="{top + 19}" text-anchor="end" stroke="none" font-size="11" '
        'opacity=".8">'
        f"thread: {escape(name)}</text>"
    )


def _box(x: float, y: float, part: str, what: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH - LEFT - x}" height="{BOX}" rx="4" '
        'fill-opacity=".04" stroke-opacity=".5"/>'
        f'<text x="{x + 12}" y="{y + 18}" stroke="none" font-weight="bold">{escape(part)}</text>'
        f'<text x="{x + 12}" y="{y + 35}" stroke="none" font-size="12">{escape(what)}</text>'
    )


def _arrow(x: float, top: float, bottom: float, label: str) -> str:
    text = (
        f'<text x="{x + 8}" y="{top + 20}" stroke="none" font-size="11">{escape(label)}</text>'
        if label
        else ""
    )
    return f'<path d="M{x} {top}V{bottom}m-4 -6l4 6l4 -6" fill="none" stroke-width="1.3"/>{text}'
