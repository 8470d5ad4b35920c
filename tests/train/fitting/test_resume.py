"""A training that was interrupted goes on after its last whole epoch, to the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from feature_sets import with_large, workshop
from safetensors import safe_open

from egomon.branches.bundle.card import StreamCard
from egomon.branches.load_bundle import read_tensors
from egomon.errors import DataError
from egomon.train.fitting.fit import train
from egomon.train.fitting.heads import fit_heads
from egomon.train.fitting.heads.checkpoint import Checkpoint, Checkpoints
from egomon.train.fitting.recipe import Recipe

SHOP = Recipe(
    name="shop",
    description="test",
    stream=StreamCard(fps=1.0, fine_frames=16, context_frames=64),
    epochs=4,
    width=16,
    batch=32,
    large_width=8,
    gate_width=8,
)


class Stopped(Exception):
    """The machine went down."""


class Machine:
    """Runs epochs and counts them; goes down before the one after `last`."""

    def __init__(self) -> None:
        self.ran, self.last = 0, 10**6
        self._batches = fit_heads.stratified

    def goes_down_after(self, epochs: int) -> None:
        self.ran, self.last = 0, epochs

    def is_up_again(self) -> None:
        self.goes_down_after(10**6)

    def __call__(self, *args: Any) -> Any:
        if self.ran == self.last:
            raise Stopped
        self.ran += 1
        return self._batches(*args)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(fit_heads, "stratified", made)
    return made


def same(a: Path, b: Path) -> bool:
    first, second = read_tensors(a), read_tensors(b)
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


@pytest.mark.parametrize("after", [1, 3])
def test_it_ends_with_the_weights_of_one_that_ran_through(
    after: int, tmp_path: Path, machine: Machine
) -> None:
    data = with_large(workshop(12))
    train(SHOP, data, tmp_path / "whole", quiet=True)
    machine.goes_down_after(after)
    with pytest.raises(Stopped):
        train(SHOP, data, tmp_path / "b", quiet=True)
    assert not (tmp_path / "b").exists()
    assert (tmp_path / ".b-training").is_dir()
    machine.is_up_again()
    train(SHOP, data, tmp_path / "b", quiet=True)
    assert machine.ran == SHOP.epochs - after
    assert same(tmp_path / "b", tmp_path / "whole")
    assert not (tmp_path / ".b-training").exists()
    records = [
        json.loads((tmp_path / n / "train_record.json").read_bytes()) for n in ("b", "whole")
    ]
    assert records[0]["fits"] == records[1]["fits"]


def test_seeds_that_were_finished_are_not_fitted_again(tmp_path: Path, machine: Machine) -> None:
    machine.goes_down_after(SHOP.epochs + 2)
    with pytest.raises(Stopped):
        train(SHOP, workshop(12), tmp_path / "b", seeds=2, quiet=True)
    machine.is_up_again()
    told = train(SHOP, workshop(12), tmp_path / "b", seeds=2, quiet=True)
    assert machine.ran == 2
    assert told.metrics["val/seeds"] == 2


@pytest.mark.parametrize("change", ["recipe", "data"])
def test_another_recipe_or_other_data_begins_anew(
    change: str, tmp_path: Path, machine: Machine
) -> None:
    machine.goes_down_after(2)
    with pytest.raises(Stopped):
        train(SHOP, workshop(12), tmp_path / "b", quiet=True)
    machine.is_up_again()
    other = msgspec.structs.replace(SHOP, lr=2e-3) if change == "recipe" else SHOP
    train(other, workshop(12, seed=int(change == "data")), tmp_path / "b", quiet=True)
    assert machine.ran == SHOP.epochs


def test_a_damaged_checkpoint_is_as_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints.beside(tmp_path / "b", b"recipe")
    assert checkpoints.read("seed-0") is None
    checkpoints.write("seed-0", Checkpoint({"waited": 1}, {"a": np.ones(3)}))
    found = checkpoints.read("seed-0")
    assert found is not None
    assert found.state == {"waited": 1}
    np.testing.assert_array_equal(found.tensors["a"], [1, 1, 1])
    assert Checkpoints.beside(tmp_path / "b", b"other").read("seed-0") is None
    path = tmp_path / ".b-training" / "seed-0.safetensors"
    with safe_open(path, "pt") as file:  # nothing of it is a pickle
        assert set(file.metadata()) == {"key", "state"}
    for keep in (0, 5, 40):
        path.write_bytes(path.read_bytes()[:keep])
        assert checkpoints.read("seed-0") is None
    checkpoints.remove()
    checkpoints.remove()
    assert not path.parent.exists()
    path.parent.write_text("in the way")
    with pytest.raises(DataError, match=r"seed-0\.safetensors cannot be written"):
        checkpoints.write("seed-0", Checkpoint({}, {}))


def test_a_bundle_in_the_working_folder_has_a_place_for_its_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Checkpoints.beside(Path()).folder == tmp_path.with_name(f".{tmp_path.name}-training")
