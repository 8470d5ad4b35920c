"""The captions' words as tokens: about seventy of them, no byte pairs needed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from egomon.train.simulator.look import BENCHES, LIGHTS
from egomon.train.simulator.shapes import CARDS, COLOURS, PARTS

_SENTENCES = (
    "a hand shows the card hands rest no part in left right reaches for bin grasps carries to "
    "port turned wrong has fallen on bench holds at beside shaking presses into leaves sticking "
    "out of inserted light"
)
WORDS = tuple(sorted({*_SENTENCES.split(), *PARTS, *CARDS, *COLOURS, *BENCHES, *LIGHTS}))
NUMBER = {word: index for index, word in enumerate(WORDS)}
LENGTH = 20
START = len(WORDS)
END = len(WORDS) + 2
"""The largest id: CLIP pools the text at the largest id."""
PAD = len(WORDS) + 1
VOCABULARY = len(WORDS) + 3


def tokens(texts: Iterable[str]) -> Tensor:
    """Captions to (B, LENGTH) ids."""
    rows = []
    for text in texts:
        ids = [NUMBER[word] for word in text.split()][: LENGTH - 2]
        rows.append([START, *ids, END, *[PAD] * (LENGTH - 2 - len(ids))])
    return torch.tensor(rows)


def word_bags(texts: Iterable[str]) -> Tensor:
    """Captions to (B, words): 1 where a word occurs."""
    bags = torch.zeros(len(rows := [text.split() for text in texts]), len(WORDS))
    for row, words in enumerate(rows):
        bags[row, [NUMBER[word] for word in words]] = 1
    return bags
