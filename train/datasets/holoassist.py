"""HoloAssist labels as an oracle-perception track: true verb, noun and times instead of pixels.

No video is involved, so a score here is never a video result: it exercises the long-tail losses
and the context branch on 124k real actions with 4.8 % mistakes. One row is one action; times
count actions, so that "one row a second" holds, and hours are kept apart.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.errors import DataError
from egomon.train.datasets.holoassist_files import Action, read_actions
from egomon.train.features.feature_set import DatasetCard, FeatureSet, Track
from egomon.train.features.rows import SegmentRow

Float16 = NDArray[np.float16]

ARCHITECTURE = "holoassist-labels"
_LOG_EDGES = np.array([0.3, 0.6, 1.0, 1.5, 2.2, 3.2, 4.6, 7.0, 11.0, 20.0])
_COUNT_EDGES = np.array([0.5, 1.5, 2.5, 4.5, 8.5, 16.5])
_AGO_EDGES = np.array([1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0])
_OF = (("verb", "noun"), ("noun",), ("verb",))
_MEMORY = len(_COUNT_EDGES) + len(_AGO_EDGES) + 2
_PHRASE_BITS = 64
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
    if words.dim != card.dim:
        raise DataError(
            f"{folder} gives vectors of {words.dim}, but the bundle's encoder has {card.dim}; "
            "train the bundle again with this version"
        )
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
    """Blocks of ones: what an action is, then what came before it; the card's vocabulary.

    Now: verb, noun, task, code of verb and noun together, duration. Before: gap, verb, noun and
    repetition of the last action's words, clock, number of actions, and for phrase, noun and verb
    how often and how long ago they came.
    """

    def __init__(self, card: FrameEncoderCard) -> None:
        self.tables = []
        first = 0
        for key in ("verbs", "nouns", "tasks"):
            words = str(card.options[key]).split(_SEPARATOR)
            self.tables.append({word: first + k for k, word in enumerate(words)})
            first += len(words)
        self.phrase = first
        self.duration = first = first + _PHRASE_BITS
        self.history = self.gap = first + len(_LOG_EDGES) + 1
        self.repeat = self.gap + len(_LOG_EDGES) + 2
        self.last = self.repeat + 2
        self.clock = self.last + len(self.tables[0]) + len(self.tables[1])
        self.dim = self.clock + _MEMORY * (1 + len(_OF))

    def vectors(self, actions: list[Action]) -> Float16:
        out = np.zeros((len(actions), self.dim), np.float16)
        for row, action in zip(out, actions, strict=True):
            words = (action.verb, action.noun, action.task)
            for table, word in zip(self.tables, words, strict=True):
                if word in table:
                    row[table[word]] = 1
            row[self.phrase : self.duration] = _code(f"{action.verb} {action.noun}")
            row[self.duration + np.searchsorted(_LOG_EDGES, action.end - action.start)] = 1
        self._remember(out, actions)
        return out

    def _remember(self, out: Float16, actions: list[Action]) -> None:
        last: Action | None = None
        count: Counter[tuple[str, ...]] = Counter()
        ended: dict[tuple[str, ...], float] = {}
        for row, action in zip(out, actions, strict=True):
            if last is None:
                row[self.gap + len(_LOG_EDGES) + 1] = 1
            else:
                row[self.gap + np.searchsorted(_LOG_EDGES, action.start - last.end)] = 1
                row[self.repeat] = action.verb == last.verb
                row[self.repeat + 1] = action.noun == last.noun
                for table, word in zip(self.tables[:2], (last.verb, last.noun), strict=True):
                    if word in table:
                        row[self.last + table[word]] = 1
            last = action
            elapsed = action.start - actions[0].start
            at = self.clock
            # The names keep a verb and a noun that are spelt alike apart.
            keys = [(*names, *(getattr(action, name) for name in names)) for names in _OF]
            for key in [(), *keys]:
                ago = elapsed if not key else action.start - ended[key] if key in ended else None
                row[at + np.searchsorted(_COUNT_EDGES, count[key])] = 1
                if ago is not None:
                    row[at + len(_COUNT_EDGES) + 1 + np.searchsorted(_AGO_EDGES, ago)] = 1
                count[key] += 1
                ended[key] = action.end
                at += _MEMORY


@lru_cache(maxsize=4096)
def _code(phrase: str) -> Float16:
    """Random signs: one-hot would need 1,700 columns, and verb and noun apart do not tell pairs."""
    digest = hashlib.sha256(phrase.encode()).digest()[: _PHRASE_BITS // 8]
    signs = np.unpackbits(np.frombuffer(digest, np.uint8)) / 2 - 0.25
    return signs.astype(np.float16)


def present(card: FrameEncoderCard) -> int:
    """Length of the part of a vector that tells of the action itself; what follows is history."""
    return _Words(card).history


def _encoder(by_video: dict[str, list[Action]]) -> FrameEncoderCard:
    actions = [action for found in by_video.values() for action in found]
    verbs, nouns, tasks = (
        sorted({getattr(a, name) for a in actions}) for name in ("verb", "noun", "task")
    )
    card = FrameEncoderCard(
        library="none",
        architecture=ARCHITECTURE,
        image_px=1,
        dim=0,
        options={
            "verbs": _SEPARATOR.join(verbs),
            "nouns": _SEPARATOR.join(nouns),
            "tasks": _SEPARATOR.join(tasks),
        },
    )
    return msgspec.structs.replace(card, dim=_Words(card).dim)
