"""HoloAssist labels as an oracle-perception track: true verb, noun and times instead of pixels.

No video is involved, so a score here is never a video result: it exercises the long-tail losses
and the context branch on 124k real actions with 4.8 % mistakes. One row is one action; times
count actions, so that "one row a second" holds, and hours are kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from egomon.branches.base import Float32
from egomon.branches.card import FrameEncoderCard
from egomon.errors import DataError
from egomon.train.datasets.holoassist_files import Action, read_actions
from egomon.train.featureset import DatasetCard, FeatureSet, Track
from egomon.train.rows import SegmentRow

ARCHITECTURE = "holoassist-labels"
_LOG_EDGES = np.array([0.3, 0.6, 1.0, 1.5, 2.2, 3.2, 4.6, 7.0, 11.0, 20.0])
_SEPARATOR = "|"


def read_holoassist(folder: Path, encoder: FrameEncoderCard | None = None) -> FeatureSet:
    """Actions sorted by start, from either layout of `holoassist_files`.

    Raises:
        DataError: naming file and row, or an encoder that is not of this track.
    """
    by_video: dict[str, list[Action]] = defaultdict(list)
    for action in read_actions(folder):
        by_video[action.video].append(action)
    if not by_video:
        raise DataError(f"{folder} holds no fine-grained action")
    for actions in by_video.values():
        actions.sort(key=lambda a: (a.start, a.end))
    card = encoder or _encoder(by_video)
    if card.architecture != ARCHITECTURE:
        raise DataError(
            f"{folder} holds labels without pixels, but the bundle's encoder is "
            f"{card.architecture}; take a bundle of the oracle-perception track"
        )
    words = _Words(card)
    hours = {
        name: (max(a.end for a in actions) - actions[0].start) / 3600
        for name, actions in by_video.items()
    }
    return FeatureSet(
        card=DatasetCard(
            name="HoloAssist labels (oracle perception)",
            licence="CDLA-Permissive-2.0",
            attribution="HoloAssist (Wang et al., ICCV 2023)",
            encoder=card,
            fps=1.0,
            dim=card.dim,
        ),
        segments=tuple(row for name in sorted(by_video) for row in _rows(by_video[name])),
        track=lambda name: Track(
            np.arange(len(by_video[name]), dtype=np.float64), words.vectors(by_video[name])
        ),
        where=str(folder),
        hours=hours,
        seconds=lambda row: _span(by_video[row.recording][round(row.start)]),
    )


def _span(action: Action) -> tuple[float, float]:
    return action.start, action.end


def _rows(actions: list[Action]) -> Iterator[SegmentRow]:
    for k, action in enumerate(actions):
        yield SegmentRow(
            recording=action.video,
            start=float(k),
            end=float(k + 1),
            label=action.label,
            split=action.split,
            tags=(action.verb,) if action.label else (),
            text=f"{action.verb} {action.noun}",
            workflow=action.task,
        )


class _Words:
    """One-hot blocks of verb, noun, task, duration, gap and repetition; the card's vocabulary."""

    def __init__(self, card: FrameEncoderCard) -> None:
        self.dim = card.dim
        self.tables = []
        first = 0
        for key in ("verbs", "nouns", "tasks"):
            words = str(card.options[key]).split(_SEPARATOR)
            self.tables.append({word: first + k for k, word in enumerate(words)})
            first += len(words)
        self.duration, self.gap = first, first + len(_LOG_EDGES) + 1
        self.repeat = self.gap + len(_LOG_EDGES) + 2

    def vectors(self, actions: list[Action]) -> Float32:
        out = np.zeros((len(actions), self.dim), np.float32)
        last: Action | None = None
        for row, action in zip(out, actions, strict=True):
            words = (action.verb, action.noun, action.task)
            for table, word in zip(self.tables, words, strict=True):
                if word in table:
                    row[table[word]] = 1
            row[self.duration + np.searchsorted(_LOG_EDGES, action.end - action.start)] = 1
            if last is None:
                row[self.gap + len(_LOG_EDGES) + 1] = 1
            else:
                row[self.gap + np.searchsorted(_LOG_EDGES, action.start - last.end)] = 1
                row[self.repeat] = action.verb == last.verb
                row[self.repeat + 1] = action.noun == last.noun
            last = action
        return out


def _encoder(by_video: dict[str, list[Action]]) -> FrameEncoderCard:
    actions = [action for found in by_video.values() for action in found]
    verbs, nouns, tasks = (
        sorted({getattr(a, name) for a in actions}) for name in ("verb", "noun", "task")
    )
    return FrameEncoderCard(
        library="none",
        architecture=ARCHITECTURE,
        image_px=1,
        dim=len(verbs) + len(nouns) + len(tasks) + 2 * len(_LOG_EDGES) + 5,
        options={
            "verbs": _SEPARATOR.join(verbs),
            "nouns": _SEPARATOR.join(nouns),
            "tasks": _SEPARATOR.join(tasks),
        },
    )
