"""An ONNX file opened on one engine: checked against its card, and against the CPU."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from egomon.branches.bundle.card import OnnxFileCard
from egomon.branches.interfaces import Float32
from egomon.errors import BundleError

log = logging.getLogger(__name__)

PROVIDERS = {
    "onnx": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""engine -> ONNX Runtime's name of it."""
CPU = PROVIDERS["onnx"]
LEAST_COSINE = 0.999
"""Of what another engine gives with what the CPU gives; below that the engine is not used."""

OPSET = "egomon.opset"
"""Metadata: version of ONNX's own operators that a file is written in."""

Arrays = Mapping[str, NDArray[Any]]
Shape = tuple[int | None, ...]
"""None = any length."""


class OnnxNetwork:
    """One network; `run` may be called from any thread.

    Args:
        path: the file.
        pin: its entry in a card.
        inputs: shapes by name that it must take ...
        outputs: ... and give.
        threads: that an operator uses.

    Raises:
        BundleError: the file is missing, is not the one that the card pins, or is no such network.
    """

    def __init__(
        self,
        path: Path,
        pin: OnnxFileCard,
        *,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        threads: int = 1,
    ) -> None:
        self._path, self._pin, self._threads = path, pin, threads
        self._outputs = list(outputs)
        self.engine = "onnx"
        """The engine in use."""
        self._session = self._open(CPU)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        """What the exporter noted in the file."""
        if self.metadata.get(OPSET) != str(pin.opset):
            raise BundleError(
                f"{path} is written in opset {self.metadata.get(OPSET)}, but the card says "
                f"{pin.opset}; export the bundle again"
            )
        for kind, expected, found in (
            ("input", inputs, self._session.get_inputs()),
            ("output", outputs, self._session.get_outputs()),
        ):
            self._check_shapes(kind, expected, {value.name: value.shape for value in found})

    @property
    def backend(self) -> str:
        """What computes, for results."""
        return f"onnxruntime {onnxruntime.__version__} {self.engine}"

    def run(self, **inputs: NDArray[Any]) -> tuple[Float32, ...]:
        """The outputs, in the order in which they were asked for.

        Raises:
            BundleError: if it fails.
        """
        try:
            return tuple(self._session.run(self._outputs, inputs))
        except Exception as error:  # onnxruntime raises types of its own
            raise BundleError(f"{self._path} cannot be computed: {error}") from error

    def use(self, engine: str, probe: Callable[[], Arrays]) -> None:
        """Go over to another engine.

        One that this installation of ONNX Runtime lacks, that fails, or that gives other values
        than the CPU is not used, with a warning.

        Args:
            engine: a key of `PROVIDERS`.
            probe: gives inputs that it is tried on.
        """
        provider = PROVIDERS[engine]
        if provider == CPU:
            return
        if provider not in onnxruntime.get_available_providers():
            log.warning(
                "engine %s is not in the installed ONNX Runtime (%s is missing); %s runs on the "
                "CPU",
                engine, provider, self._path.name,
            )  # fmt: skip
            return
        inputs, on_cpu = probe(), self._session
        expected = self.run(**inputs)
        try:
            self._session = self._open(provider)
            cosine = min(map(least_cosine, self.run(**inputs), expected))
        except BundleError as error:
            self._session = on_cpu
            log.warning("engine %s does not work, the CPU is used: %s", engine, error)
            return
        if not cosine >= LEAST_COSINE:
            self._session = on_cpu
            log.warning(
                "engine %s gives other values than the CPU for %s (cosine %.4f), so the CPU is "
                "used",
                engine, self._path.name, cosine,
            )  # fmt: skip
            return
        self.engine = engine

    def _open(self, provider: str) -> Any:
        data = read_pinned(self._path, self._pin)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Threads that spin while they wait cost other programs, and the capture, their cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [provider] if provider == CPU else [provider, CPU]
        try:
            return onnxruntime.InferenceSession(data, options, providers=providers)
        except Exception as error:  # onnxruntime raises types of its own
            raise BundleError(f"{self._path} cannot be opened: {error}") from error

    def _check_shapes(
        self, kind: str, expected: Mapping[str, Shape], found: Mapping[str, list[Any]]
    ) -> None:
        if expected.keys() != found.keys():
            raise BundleError(
                f"{self._path} has the {kind}s {', '.join(found)}, but {', '.join(expected)} are "
                "needed; export the bundle again"
            )
        for name, shape in expected.items():
            given = [side if isinstance(side, int) else None for side in found[name]]
            if given != list(shape):
                raise BundleError(
                    f"{self._path}: {kind} {name} has shape {_words(given)}, but the card asks for "
                    f"{_words(shape)}; export the bundle again"
                )


def least_cosine(ours: Float32, theirs: Float32) -> float:
    """Least cosine of a row with its counterpart, (B, D) each; -1 for other shapes."""
    if ours.shape != theirs.shape:
        return -1.0
    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (ours, theirs))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(norms, 1e-12)).min())


def read_pinned(path: Path, pin: OnnxFileCard) -> bytes:
    """Read an ONNX file.

    Raises:
        BundleError: it cannot be read, or is not the one that the card pins.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); copy the bundle again, or use "
            "--engine torch"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != pin.sha256:
        raise BundleError(
            f"{path} is not the file that the card pins (SHA-256 {found[:12]}..., not "
            f"{pin.sha256[:12]}...); copy the bundle again, or export it again"
        )
    return data


def _words(shape: Any) -> str:
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"
