"""Steps of recordings whose boundaries a user gives, and their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from egomon.errors import DataError
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.step_filter.alignment import Int
from egomon.train.teach.step_filter.orders import usual_order
from egomon.train.teach.step_filter.step_model import Windows

UNNAMED = re.compile(r"step \d+")
"""How a bundle's own table calls a step without a name: by its place there."""


def steps_of_spans(
    runs: Sequence[Windows], recordings: Sequence[RecordingVectors], count: int | None
) -> tuple[dict[int, Int], list[str]]:
    """Steps where boundaries are given, and what each step is called in them.

    What lies between two steps belongs to the earlier one. Where all spans have names, and every
    recording the same ones, these say which step it is.

    Args:
        runs: windows of the recordings.
        recordings: with `spans` where boundaries are given.
        count: number of steps; None = as many as the spans of a recording.

    Returns:
        (W,) steps of each recording with spans, by its place; and a text for each step, empty
        where it has no name; no texts where there are no spans.

    Raises:
        DataError: a recording has more or fewer of them than others, or than `count`, or one has
            no window.
    """
    spans = {
        i: sorted(recording.spans, key=lambda span: span.t_start)
        for i, recording in enumerate(recordings)
        if recording.spans
    }
    for i, own in spans.items():
        wanted = count or len(next(iter(spans.values())))
        if len(own) != wanted:
            raise DataError(
                f"{recordings[i].name} has boundaries of {len(own)} steps, not of {wanted}; give "
                "those of all steps, or none of this recording"
            )
    names = [[span.text or "" for span in own] for own in spans.values()]
    usual = usual_order(names) if names else ()
    named = len({"", *usual}) == len(usual) + 1 and all(set(own) == set(usual) for own in names)
    found = {}
    called: list[Counter[str]] = [Counter() for _ in usual]
    for i, own in spans.items():
        number = [usual.index(span.text or "") for span in own] if named else range(len(own))
        starts = np.array([span.t_start for span in own])
        middles = runs[i].times + runs[i].window_seconds / 2
        places = np.searchsorted(starts, middles, side="right") - 1
        places = np.maximum(places, 0)
        empty = next((k for k in range(len(own)) if k not in places), None)
        if empty is not None:
            raise DataError(
                f"the boundaries at {own[empty].t_start:g} s of {recordings[i].name} leave no "
                f"{runs[i].window_seconds:g} s for their step; correct them"
            )
        found[i] = np.array(number, dtype=np.int64)[places]
        for k, span in zip(number, own, strict=True):
            if span.text and not UNNAMED.fullmatch(span.text):
                called[k][span.text] += 1
    return found, _texts(called)


def _texts(called: Sequence[Counter[str]]) -> list[str]:
    """What each step is called most often; one that is called like another has its number, too."""
    texts: list[str] = []
    for k, counter in enumerate(called, start=1):
        text = counter.most_common(1)[0][0] if counter else ""
        texts.append(f"{text} ({k})" if text in texts[: k - 1] and text else text)
    return texts
