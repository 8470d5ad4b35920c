"""Which form of a network runs: ONNX where the card has it and the user's choice allows, or torch.

Nothing heavy is imported before a form is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from egomon.branches.bundle.card import (
    FrameEncoderCard,
    LargeEncoderCard,
    OnnxFileCard,
    OnnxFileName,
)
from egomon.branches.bundle.locate import ONNX_FOLDER
from egomon.errors import ConfigError

if TYPE_CHECKING:
    from egomon.branches.onnx.encoder import OnnxEncoder
    from egomon.branches.onnx.large import OnnxEmbedder

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "onnx", "cuda", "tensorrt", "openvino", "coreml")
"""`auto` = `onnx` (on the CPU) where there is an ONNX form, else torch; all after `torch` run the
ONNX form."""

FLOAT32: OnnxFileName = "encoder.onnx"
INT8: OnnxFileName = "encoder-int8.onnx"
LARGE: OnnxFileName = "large.onnx"


@dataclass(frozen=True, slots=True)
class Compute:
    """What networks run on."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`; of torch."""
    dtype: str = "auto"
    """`auto` (float32), `float32`, `bfloat16` or `int8`."""
    engine: str = "auto"
    """One of `ENGINES`."""
    threads: int | None = None
    """Of each operator; None = one in ONNX Runtime, torch's own choice in torch."""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine {self.engine!r} is unknown; use one of {', '.join(ENGINES)}")

    @property
    def takes_onnx(self) -> bool:
        """True if the ONNX form is taken where there is one."""
        if self.engine == "auto":
            on_cpu = self.device in ("auto", "cpu")
            return on_cpu and self.dtype in ("auto", "float32", "int8")
        return self.engine != "torch"

    @property
    def onnx_engine(self) -> str:
        """Engine of ONNX Runtime."""
        return "onnx" if self.engine == "auto" else self.engine


@dataclass(frozen=True, slots=True)
class OnnxForms:
    """ONNX files of a bundle or of a base."""

    folder: Path = Path()
    """The bundle."""
    pins: Mapping[OnnxFileName, OnnxFileCard] = field(default_factory=dict)

    def encoder(self, card: FrameEncoderCard, compute: Compute) -> OnnxEncoder | None:
        """The frame encoder; None where torch is to run it.

        Raises:
            BundleError: a file is not the one that the card pins, or does not fit it.
        """
        name = FLOAT32
        if compute.dtype == "int8" and card.library != "bundled":
            name = INT8  # bundled towers are small, some with parts that need the digits
        pin = self._pin(name, compute)
        if pin is None:
            return None
        from egomon.branches.onnx.encoder import OnnxEncoder

        return OnnxEncoder(
            self.folder / ONNX_FOLDER / name,
            pin,
            card,
            engine=compute.onnx_engine,
            threads=compute.threads or 1,
        )

    def large(self, card: LargeEncoderCard, compute: Compute) -> OnnxEmbedder | None:
        """The large branch's model, likewise."""
        pin = self._pin(LARGE, compute)
        if pin is None:
            return None
        from egomon.branches.onnx.large import OnnxEmbedder

        return OnnxEmbedder(
            self.folder / ONNX_FOLDER / LARGE,
            pin,
            card,
            engine=compute.onnx_engine,
            threads=compute.threads or 1,
        )

    def check_large(self, compute: Compute) -> None:
        """Find out whether the large branch's file is the pinned one; nothing is loaded.

        Raises:
            BundleError: it is not.
        """
        pin = self._pin(LARGE, compute)
        if pin is not None:
            from egomon.branches.onnx.session import read_pinned

            read_pinned(self.folder / ONNX_FOLDER / LARGE, pin)

    def _pin(self, name: OnnxFileName, compute: Compute) -> OnnxFileCard | None:
        if not compute.takes_onnx:
            return None
        pin = self.pins.get(name)
        if pin is None and compute.engine != "auto":
            log.warning("there is no %s, so --engine %s runs it in torch", name, compute.engine)
        return pin
