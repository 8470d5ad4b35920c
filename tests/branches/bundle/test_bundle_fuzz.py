"""Damaged bundles load or are refused with BundleError; nothing else ever escapes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from egomon.branches.load_bundle import load_bundle
from egomon.errors import BundleError

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1, 3, 10**6, 10**30, -1e300, 0.5, "", "x", "bundle", "random:1", "../x",
    "a/b\0", "hf-hub:x", [], [1, 2, 3], ["a"], {}, {"a": 1}, "meanP", "seqTransf", "timm", "dcr",
    "lite0", "bundled", "none", "taught", "workbench",
]  # fmt: skip


def all_paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    paths = [prefix] if prefix else []
    for key, item in items:
        paths += all_paths(item, (*prefix, key))
    return paths


def mutate_card(text: str, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(text.encode(), rng)
    card = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        *parents, last = rng.choice(all_paths(card))
        target = card
        for key in parents:
            target = target[key]
        if rng.random() < 0.2:
            del target[last]
        else:
            target[last] = rng.choice(ODD_VALUES)
    return json.dumps(card).encode()


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    mutated = bytearray(data)
    # The header is where damage is interesting: prefer it.
    reach = len(mutated) if rng.random() < 0.3 else min(len(mutated), 3000)
    for _ in range(rng.choice([1, 1, 2, 8])):
        position = rng.randrange(reach)
        choice = rng.random()
        if choice < 0.6:
            mutated[position % len(mutated)] = rng.randrange(256)
        elif choice < 0.8:
            del mutated[position : position + rng.randrange(1, 40)]
        else:
            mutated[position:position] = rng.randbytes(rng.randrange(1, 40))
        if not mutated:
            break
    return bytes(mutated)


def run(source: Path, folder: Path, count: int, seed: int) -> tuple[int, int]:
    """Load `count` mutations; give how many loaded and how many were refused."""
    shutil.copytree(source, folder)
    card, weights = folder / "bundle.json", folder / "model.safetensors"
    good_card, good_weights = card.read_bytes(), weights.read_bytes()
    loaded = refused = 0
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        broken = rng.choice(["card", "weights", "both"])
        card.write_bytes(good_card if broken == "weights" else mutate_card(good_card.decode(), rng))
        weights.write_bytes(good_weights if broken == "card" else mutate_bytes(good_weights, rng))
        try:
            load_bundle(folder)
            loaded += 1
        except BundleError as error:
            refused += len(str(error)) > 20
        except Exception as error:
            raise AssertionError(f"mutation {number} of seed {seed} raised {error!r}") from error
    return loaded, refused


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutated name must not start a download."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_three_hundred_damaged_bundles_load_or_are_refused(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    loaded, refused = run(tiny_bundle, tmp_path / "fuzz", 300, seed=1)
    assert loaded + refused == 300
    assert refused > 150
    assert loaded > 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_damaged_bundles_load_or_are_refused(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    loaded, refused = run(tiny_bundle, tmp_path / "fuzz", 2000, seed=2)
    assert loaded + refused == 2000
