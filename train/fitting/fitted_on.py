"""Fingerprints of the recordings that a bundle was fitted on: figures on those flatter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from egomon.branches.bundle.card import BundleCard

# A new recording passes for one of ten thousand known ones once in 400,000 times.
_DIGITS = 8


def fingerprints(recordings: Iterable[str]) -> str:
    """For the card, in the order of the digits, which tells nothing of the names.

    >>> fingerprints(["kitchen-2", "kitchen-1"]) == fingerprints(["kitchen-1", "kitchen-2"])
    True
    """
    return "".join(sorted(_fingerprint(name) for name in recordings))


def seen(card: BundleCard, recordings: Iterable[str]) -> int:
    """Count the recordings that the heads were fitted on; 0 if the card does not say."""
    noted = "".join(data.fitted_on for data in card.data)
    known = {noted[k : k + _DIGITS] for k in range(0, len(noted), _DIGITS)}
    return sum(_fingerprint(name) in known for name in recordings)


def _fingerprint(recording: str) -> str:
    return hashlib.sha256(recording.encode()).hexdigest()[:_DIGITS]
