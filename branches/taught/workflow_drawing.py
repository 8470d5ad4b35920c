"""Draws a workflow graph as text and as SVG; knows labels, layers and edges only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

BOX_WIDTH, BOX_HEIGHT = 190, 44
GAP_X, GAP_Y, MARGIN = 28, 46, 20
LABEL_LETTERS = 27
"""Longer labels are shortened in the box and kept whole in its tooltip."""


def layers_of(after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Rows of steps: each step one row below the deepest of its preconditions.

    Steps of one row have no order between them. Mutual demands (possible only with a low
    tolerance) are cut where they are found, so drawing always ends.

    >>> layers_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
    [['a'], ['b', 'c'], ['d']]
    """
    depth: dict[str, int] = {}

    def visit(step: str, path: frozenset[str]) -> int:
        if step not in depth:
            below = [visit(a, path | {step}) for a in after[step] if a not in path | {step}]
            depth[step] = 1 + max(below, default=-1)
        return depth[step]

    for step in after:
        visit(step, frozenset())
    rows: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for step in after:
        rows[depth[step]].append(step)
    return [row for row in rows if row]


def direct_edges(after: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Edges (before, after) that do not follow from others.

    >>> direct_edges({"a": (), "b": ("a",), "c": ("a", "b")})
    [('a', 'b'), ('b', 'c')]
    """
    return [
        (a, b)
        for b, needed in after.items()
        for a in needed
        if not any(a in after[c] for c in needed if c != a)
    ]


def draw_text(
    labels: Mapping[str, str], after: Mapping[str, Sequence[str]], marks: Mapping[str, str]
) -> str:
    """One line a step, steps of one row joined by a bar, with its direct preconditions.

    Args:
        labels: step id to what is written for it.
        after: step id to the ids that must come before it.
        marks: step id to "optional, repeatable" or "".
    """
    direct: dict[str, list[str]] = {step: [] for step in after}
    for a, b in direct_edges(after):
        direct[b].append(a)
    lines = []
    for row in layers_of(after):
        for step in row:
            bar = "|" if len(row) > 1 else " "
            mark = f" ({marks[step]})" if marks[step] else ""
            needs = ", ".join(labels[a] for a in direct[step])
            lines.append(f" {bar} {labels[step]}{mark}" + (f"  <- {needs}" if needs else ""))
        lines.append("")
    legend = "Steps behind one bar may be done in any order; <- names what must come before."
    return "\n".join([*lines, legend, ""])


def draw_svg(
    title: str,
    labels: Mapping[str, str],
    after: Mapping[str, Sequence[str]],
    marks: Mapping[str, str],
) -> str:
    """A standalone SVG: boxes by row, an arrow for each direct precondition, optional dashed."""
    rows = layers_of(after)
    widest = max((len(row) for row in rows), default=1)
    width = 2 * MARGIN + widest * BOX_WIDTH + (widest - 1) * GAP_X
    height = 2 * MARGIN + 24 + len(rows) * BOX_HEIGHT + max(0, len(rows) - 1) * GAP_Y
    place = {}
    for y, row in enumerate(rows):
        left = (width - len(row) * BOX_WIDTH - (len(row) - 1) * GAP_X) / 2
        for x, step in enumerate(row):
            top = MARGIN + 24 + y * (BOX_HEIGHT + GAP_Y)
            place[step] = (left + x * (BOX_WIDTH + GAP_X), top)
    arrows = [_arrow(place[a], place[b]) for a, b in direct_edges(after)]
    boxes = [_box(place[step], labels[step], marks[step]) for step in after]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#567"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<text x="{MARGIN}" y="{MARGIN + 4}" fill="#234">{escape(title)}</text>',
            *arrows,
            *boxes,
            "</svg>",
            "",
        ]
    )


def stack_svg(drawings: Sequence[str]) -> str:
    """Drawings of `draw_svg` one below the other, in one file."""
    if len(drawings) == 1:
        return drawings[0]
    sizes = [
        tuple(int(n) for n in drawing.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split())
        for drawing in drawings
    ]
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes)
    placed, top = [], 0
    for drawing, (_, own) in zip(drawings, sizes, strict=True):
        placed.append(drawing.replace("<svg ", f'<svg y="{top}" ', 1).rstrip())
        top += own
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">'
    )
    return "\n".join([head, *placed, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    x1, y1 = end[0] + BOX_WIDTH / 2, end[1]
    middle = (y0 + y1) / 2
    return (
        f'<path d="M{x0:g} {y0:g}C{x0:g} {middle:g} {x1:g} {middle:g} {x1:g} {y1:g}" '
        'fill="none" stroke="#567" marker-end="url(#tip)"/>'
    )


def _box(at: tuple[float, float], label: str, mark: str) -> str:
    x, y = at
    short = label if len(label) <= LABEL_LETTERS else label[: LABEL_LETTERS - 1] + "…"
    dash = ' stroke-dasharray="5 4"' if "optional" in mark else ""
    centre, line = x + BOX_WIDTH / 2, y + (20 if mark else 27)
    note = (
        f'<text x="{centre:g}" y="{y + 36:g}" text-anchor="middle" font-size="10" fill="#678">'
        f"{escape(mark)}</text>"
        if mark
        else ""
    )
    return (
        f"<g><title>{escape(label)}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'fill="#eef4fa" stroke="#567"{dash}/>'
        f'<text x="{centre:g}" y="{line:g}" text-anchor="middle" fill="#123">{escape(short)}</text>'
        f"{note}</g>"
    )
