"""The last scores as block characters, with the threshold as a dashed line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from egomon.view.state import ScorePoint

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " ......##"
LINE, ASCII_LINE = "┄", "-"
MARKS = {"small": "·", "fused": "◆", "expired": "×"}
LEGEND = "▲ over threshold  ◆ two scores  · one  × second too late  ? out of domain"
OVER, UNDER, RULE = "bold bright_yellow", "cyan", "dim"


def mark(point: ScorePoint) -> str:
    """Return the mark of a segment: hit, large branch asked, or neither."""
    if point.out_of_domain:
        return "?"
    return "▲" if point.is_over else MARKS.get(point.stage, "·")


def score_strip(
    points: Sequence[ScorePoint], width: int, rows: int, *, ascii_only: bool = False
) -> list[Text]:
    """`rows` lines of bars and one of marks; the newest segment is rightmost.

    Args:
        points: scores, oldest first; the last `width` are shown.
        width: columns.
        rows: lines for probabilities 0 to 1.
        ascii_only: draw with 7-bit characters.
    """
    shown = list(points)[-width:]
    blocks, rule = (ASCII_BLOCKS, ASCII_LINE) if ascii_only else (BLOCKS, LINE)
    lines = []
    for row in range(rows - 1, -1, -1):
        line = Text(no_wrap=True)
        for point in shown:
            line.append(*_cell(point, row, rows, blocks, rule))
        lines.append(line)
    lines.append(Text("".join(mark(point) for point in shown), no_wrap=True))
    return lines


def _cell(point: ScorePoint, row: int, rows: int, blocks: str, rule: str) -> tuple[str, str]:
    """Character and style of one column in one row, row 0 at the bottom."""
    level = round(min(1.0, max(0.0, point.p)) * rows * 8) - row * 8
    if level > 0:
        return blocks[min(8, level)], OVER if point.is_over else UNDER
    if min(rows - 1, int(point.threshold * rows)) == row:
        return rule, RULE
    return " ", ""
