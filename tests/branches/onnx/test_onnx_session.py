"""An ONNX file is the one that its card pins, and runs on an engine that gives equal values."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from egomon.branches.bundle.card import OnnxFileCard
from egomon.branches.onnx import session
from egomon.branches.onnx.session import OnnxNetwork, least_cosine
from egomon.errors import BundleError

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3) + 1
SHAPES: dict[str, Any] = {"inputs": {"x": (None, 3)}, "outputs": {"y": (None, 3)}}


def write(path: Path, width: int = 3, opset: int = 17) -> OnnxFileCard:
    """Y = -x."""
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy"
    )
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {session.OPSET: str(opset)})
    onnx.save(model, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return OnnxFileCard(sha256=sha256, opset=17, cosine=1.0)


def test_a_pinned_file_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    network = OnnxNetwork(path, write(path), **SHAPES)
    (found,) = network.run(x=ROWS)
    assert np.array_equal(found, -ROWS)
    assert network.engine == "onnx"


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    pin = write(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"n\.onnx is not the file that the card pins"):
        OnnxNetwork(path, pin, **SHAPES)
    path.unlink()
    with pytest.raises(BundleError, match=r"n\.onnx cannot be read .*--engine torch"):
        OnnxNetwork(path, pin, **SHAPES)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(b"rubbish")
    pin = OnnxFileCard(sha256=hashlib.sha256(b"rubbish").hexdigest(), opset=17, cosine=1.0)
    with pytest.raises(BundleError, match=r"n\.onnx cannot be opened"):
        OnnxNetwork(path, pin, **SHAPES)


def test_another_shape_name_or_opset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    with pytest.raises(BundleError, match=r"input x has shape \(any, 4\), .* \(any, 3\)"):
        OnnxNetwork(path, write(path, width=4), **SHAPES)
    with pytest.raises(BundleError, match="has the inputs x, but images are needed"):
        OnnxNetwork(path, write(path), inputs={"images": (None, 3)}, outputs={"y": (None, 3)})
    with pytest.raises(BundleError, match="opset 16, but the card says 17"):
        OnnxNetwork(path, write(path, opset=16), **SHAPES)


def test_a_missing_engine_is_told_and_the_cpu_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "n.onnx"
    network = OnnxNetwork(path, write(path), **SHAPES)
    network.use("coreml", lambda: {"x": ROWS})
    assert "coreml" in caplog.text
    assert network.engine == "onnx"
    assert np.array_equal(network.run(x=ROWS)[0], -ROWS)


class Other:
    """A session of an engine that is not here."""

    factor = 1.0

    def __init__(self, data: bytes, options: object, providers: list[str]) -> None:
        self._ours = _SESSION(data, options, providers=[session.CPU])
        self._factor = self.factor if providers[0] != session.CPU else 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ours, name)

    def run(self, names: list[str], inputs: Any) -> list[np.ndarray]:
        """What the CPU gives, bent."""
        if not self._factor:
            raise RuntimeError("out of memory")
        (y,) = self._ours.run(names, inputs)
        y[:, 0] *= self._factor
        return [y]


_SESSION = onnxruntime.InferenceSession


@pytest.mark.parametrize(
    ("factor", "engine", "told"),
    [(1.0, "cuda", ""), (-5.0, "onnx", "gives other values"), (0.0, "onnx", "out of memory")],
)
def test_an_engine_is_taken_only_if_it_gives_the_cpus_values(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    factor: float,
    engine: str,
    told: str,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(Other, "factor", factor)
    monkeypatch.setattr(session.onnxruntime, "InferenceSession", Other)
    providers = [session.PROVIDERS["cuda"], session.CPU]
    monkeypatch.setattr(session.onnxruntime, "get_available_providers", lambda: providers)
    path = tmp_path / "n.onnx"
    network = OnnxNetwork(path, write(path), **SHAPES)
    network.use("cuda", lambda: {"x": ROWS})
    assert network.engine == engine
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)
    assert np.array_equal(network.run(x=ROWS)[0], -ROWS)


def test_the_least_cosine_is_of_rows() -> None:
    assert least_cosine(ROWS, ROWS * 2) == pytest.approx(1.0)
    assert least_cosine(np.eye(2, dtype=np.float32), np.array([[1, 0], [1, 0]])) == 0.0
    assert least_cosine(ROWS, ROWS[:1]) == -1.0
