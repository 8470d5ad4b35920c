"""The segmenter that a card asks for: live, when teaching and when a bundle is made."""

from __future__ import annotations

from collections.abc import Sequence

from egomon.branches.bundle.card import StreamCard
from egomon.stream.segmenter import ActivityBoundaries, FixedWindows, GivenSpans, Segmenter, Span


def make_segmenter(card: StreamCard, given: Sequence[Span] = ()) -> Segmenter:
    """A fresh segmenter for one source or recording.

    Args:
        card: policy, lengths and the sampling grid.
        given: spans of the policy `given`.
    """
    period = 1.0 / card.fps
    if card.policy == "given":
        return GivenSpans(given, period_seconds=period)
    if card.policy == "fixed":
        return FixedWindows(
            length_seconds=card.length_seconds,
            stride_seconds=card.stride_seconds,
            period_seconds=period,
        )
    return ActivityBoundaries(
        on=card.activity_on,
        off=card.activity_off,
        hold_seconds=card.activity_hold_seconds,
        shortest_seconds=card.shortest_seconds,
        longest_seconds=card.longest_seconds,
        period_seconds=period,
    )
