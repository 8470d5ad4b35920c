"""Fits that were interrupted go on after their last whole epoch; safetensors and JSON only."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from egomon.branches.bundle.weights import Tensors
from egomon.train.features.write_feature_set import write_bytes

_STATE = "state"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Checkpoints of one training, in a folder beside its bundle until that is written."""

    folder: Path
    key: str
    """Hash of all that the weights depend on; checkpoints of another training are not used."""

    @classmethod
    def beside(cls, bundle: Path, *parts: bytes) -> Checkpoints:
        """Those of a bundle that is made from these parts: recipe, data and versions."""
        digest = hashlib.sha256(b"\n".join(parts)).hexdigest()
        bundle = bundle.resolve()  # `.` has no name
        return cls(bundle.with_name(f".{bundle.name}-training"), digest)

    def read(self, name: str) -> Checkpoint | None:
        """The newest of a fit; None where there is none of this training, or it is damaged."""
        try:
            with safetensors.safe_open(self._path(name), framework="np") as file:
                about = file.metadata() or {}
                if about.get("key") != self.key:
                    return None
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Checkpoint(json.loads(about[_STATE]), tensors)
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None

    def write(self, name: str, checkpoint: Checkpoint) -> None:
        """Replace the newest of a fit; complete or not at all.

        Raises:
            DataError: it cannot be written, and so neither could the bundle.
        """
        about = {"key": self.key, _STATE: json.dumps(checkpoint.state)}
        tensors = {key: np.ascontiguousarray(value) for key, value in checkpoint.tensors.items()}
        write_bytes(self._path(name), safetensors.numpy.save(tensors, metadata=about))

    def remove(self) -> None:
        """Delete all of them: the bundle is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State of a fit after an epoch."""

    state: dict[str, Any]
    """What JSON holds."""
    tensors: Tensors
