"""Reading and hashing weights without torch, beside what torch reads and hashes."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch

from egomon.branches.bundle.weights import check_shapes, parse_safetensors, weights_sha256
from egomon.branches.torch_modules import state_sha256, to_arrays, to_torch
from egomon.errors import BundleError

STATE = {
    "half": torch.linspace(-3, 3, 7).half(),
    "brain": torch.linspace(-1e30, 1e30, 6).bfloat16().reshape(2, 3),
    "single": torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)),
    "double": torch.linspace(0, 1, 5, dtype=torch.float64),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "none": torch.zeros(0, 4),
}


def test_every_format_is_read_with_the_values_that_torch_reads() -> None:
    found = parse_safetensors(safetensors.torch.save(STATE), "file")
    assert set(found) == set(STATE)
    assert found["brain"].dtype == np.float32
    for name, expected in STATE.items():
        assert found[name].shape == expected.shape
        assert torch.equal(torch.from_numpy(found[name]).to(expected.dtype), expected)
    assert found["half"].dtype == np.float16
    found["single"][:] = 0  # not a view of the file


def test_the_hash_is_the_same_for_arrays_and_for_a_state_dict() -> None:
    assert weights_sha256(to_arrays(STATE)) == state_sha256(STATE)
    read = parse_safetensors(safetensors.torch.save(STATE), "file")
    assert weights_sha256(read) == state_sha256(STATE)
    # As it was when bundles that exist were made: names, types, shapes, and values as float32.
    state = {"b": torch.arange(4.0).half(), "a": torch.ones(2, 3), "n": torch.tensor(7)}
    known = "6b9151530b7dff172b649e8e8f9d35fcd9e94741284fc86c945afb7a517417a5"
    assert state_sha256(state) == known


def test_the_workbench_weights_have_the_hash_on_their_card() -> None:
    from egomon.branches.bundle.locate import find_bundle, read_card
    from egomon.branches.bundle.weights import part
    from egomon.branches.load_bundle import read_tensors

    folder = find_bundle("workbench")
    tower = part(read_tensors(folder), "encoder.")
    assert weights_sha256(tower) == read_card(folder).frame_encoder.weights_sha256


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_not_finite_is_refused_by_name(value: float, kind: torch.dtype) -> None:
    data = safetensors.torch.save({"x": torch.tensor([0.0, value]).to(kind)})
    with pytest.raises(BundleError, match="file: x has values that are not finite"):
        parse_safetensors(data, "file")


def test_a_type_that_no_bundle_uses_is_refused() -> None:
    data = safetensors.torch.save({"x": torch.zeros(2).to(torch.float8_e4m3fn)})
    with pytest.raises(BundleError, match="F8_E4M3 are not known"):
        parse_safetensors(data, "file")


def test_torch_gets_memory_of_its_own() -> None:
    array = np.zeros(3, np.float32)
    to_torch({"x": array})["x"].fill_(1)
    assert not array.any()


def test_names_and_shapes_must_be_the_expected_ones() -> None:
    check_shapes({"a": (2, 3)}, {"a": torch.zeros(2, 3)}, "head")
    with pytest.raises(BundleError, match=r"head: a has shape \(3, 2\).*asks for \(2, 3\)"):
        check_shapes({"a": (2, 3)}, {"a": np.zeros((3, 2))}, "head")
    with pytest.raises(BundleError, match="head: a missing"):
        check_shapes({"a": (2, 3)}, {}, "head")
    with pytest.raises(BundleError, match="hold b, c, d and 1 more that the card"):
        check_shapes({}, {name: np.zeros(1) for name in "bcde"}, "head")
