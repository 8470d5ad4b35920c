"""Bundles: all models of a monitor, loaded from one folder and checked against its card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from egomon.branches.activity_model import ActivityClassifier
from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.locate import (
    CARD_FILE,
    EXTRA_FILES,
    LARGE_FOLDER,
    WEIGHTS_FILE,
    find_bundle,
    parse_card,
    read_card_bytes,
)
from egomon.branches.bundle.save import save_bundle
from egomon.branches.bundle.weights import Tensors, parse_safetensors, part
from egomon.branches.encoders.registry import build_frame_encoder
from egomon.branches.interfaces import (
    ActivityModel,
    DomainGuard,
    FrameEncoder,
    LargeBranch,
    SmallBranch,
)
from egomon.branches.onnx.forms import Compute, OnnxForms
from egomon.branches.out_of_domain.distance import MahalanobisGuard
from egomon.branches.step_statistics.branch import StepStatisticsBranch
from egomon.branches.threads import set_torch_threads
from egomon.branches.uemcm.large_branch import ClipEmbedder, Qwen3VLBranch
from egomon.branches.uemcm.large_head import LargeClassifier
from egomon.branches.uemcm.small_branch import UemcmSmallBranch
from egomon.errors import BundleError
from egomon.extras import needs_extra

if TYPE_CHECKING:
    from egomon.branches.remote.client import LargeEndpoint

__all__ = ["Bundle", "load_bundle", "read_tensors", "save_bundle"]

# Modules that read the small branch of a kind.
TAUGHT_LOADERS = {
    "taught": "egomon.branches.taught.branch",
    "step_filter": "egomon.branches.step_filter.load",
}
# Larger files of the large model enter the bundle's hash by name and size only.
_HASHED_WHOLE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A loaded bundle."""

    card: BundleCard
    folder: Path
    hash: str
    """SHA-256 over all its files, hexadecimal."""
    encoder: FrameEncoder | None
    """None if loaded with `with_encoder=False`."""
    small: SmallBranch
    guard: DomainGuard | None
    activity: ActivityModel | None
    compute: Compute = field(default_factory=Compute)
    gate_tensors: Tensors = field(default_factory=dict, repr=False)
    """Those under `gate.`, prefix removed; `fusion.gate.load_gate` reads them."""
    _large_head: Tensors = field(default_factory=dict, repr=False)

    @property
    def model_id(self) -> str:
        """Name and first 8 digits of the hash, as alerts carry it: `workbench@0123abcd`."""
        return f"{self.card.name}@{self.hash[:8]}"

    def load_large_head(self) -> LargeClassifier | None:
        """The head g_l alone, for cached large-branch vectors; None if the bundle has none.

        Raises:
            BundleError: if it does not fit the card.
        """
        if self.card.large is None:
            return None
        return LargeClassifier.load(self.card, self._large_head)

    def load_large(self, endpoint: LargeEndpoint | None = None) -> LargeBranch | None:
        """Load the large branch, None if the bundle has none; heavy, so done only on request.

        Args:
            endpoint: a server that computes its embeddings; nothing is loaded here then.

        Raises:
            BundleError: if its weights cannot be had or do not fit the card.
        """
        if self.card.large is None:
            return None
        if endpoint is not None:
            from egomon.branches.remote.load import load_endpoint_branch

            return load_endpoint_branch(self.card, self._large_head, self.folder, endpoint)
        # The head first: it is small and tells at once whether the files belong together.
        head = LargeClassifier.load(self.card, self._large_head)
        embedder: ClipEmbedder | None = self._forms.large(self.card.large, self.compute)
        if embedder is None:
            embedder = self._torch_embedder(self.card.large)
        return Qwen3VLBranch(embedder, head)

    def _torch_embedder(self, large: LargeEncoderCard) -> ClipEmbedder:
        with needs_extra(f"the large branch of {self.card.name}", "torch"):
            from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder

        compute = self.compute
        if compute.threads is not None:
            set_torch_threads(compute.threads)
        dtype = "auto" if compute.dtype == "int8" else compute.dtype
        return Qwen3VLEmbedder.load(large, self.folder, device=compute.device, dtype=dtype)

    @property
    def _forms(self) -> OnnxForms:
        return OnnxForms(self.folder, self.card.runtime)


def load_bundle(
    ref: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    with_encoder: bool = True,
) -> Bundle:
    """Load a bundle and check that all its parts belong together.

    Args:
        ref: a bundled name (`egomon models`), a folder, or a hub id `owner/name`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, for the two encoders; heads run on CPU.
        dtype: `auto`, `float32` or `bfloat16`, for the two encoders, or `int8` for the frame
            encoder alone; bundled towers are small and stay in float32.
        engine: `auto` (ONNX Runtime on the CPU for each network that the card has as ONNX, unless
            `device` or `dtype` asks for what it cannot do; else torch), `torch`, `onnx`, or an
            accelerator of ONNX Runtime: `cuda`, `tensorrt`, `openvino`, `coreml`.
        threads: of each operator of a network; None = the engine's own choice.
        with_encoder: False skips the frame encoder, where vectors are cached.

    Raises:
        BundleError: if a file is missing or damaged, or a value, shape or hash does not match;
            the message names file and field.
    """
    compute = Compute(device, dtype, engine, threads)
    folder = find_bundle(ref)
    card_path, weights_path = folder / CARD_FILE, folder / WEIGHTS_FILE
    card_bytes = read_card_bytes(folder)
    card = parse_card(card_bytes, str(card_path))
    weights_bytes = _read(weights_path)
    with about(weights_path):
        tensors = parse_safetensors(weights_bytes, "the file")
        _check_prefixes(card, tensors)
    encoder = None
    if with_encoder:
        with about(card_path):
            encoder = build_frame_encoder(
                card.frame_encoder,
                part(tensors, "encoder."),
                device=device,
                dtype=dtype,
                engine=engine,
                threads=threads,
                folder=folder,
                forms=OnnxForms(folder, card.runtime),
            )
    with about(weights_path):
        return Bundle(
            card=card,
            folder=folder,
            hash=_hash(folder, card_bytes, weights_bytes),
            encoder=encoder,
            small=_small(card, part(tensors, "small."), folder),
            guard=None
            if card.guard is None
            else MahalanobisGuard.load(card, part(tensors, "guard.")),
            activity=None
            if card.activity_width == 0
            else ActivityClassifier.load(card, part(tensors, "activity.")),
            compute=compute,
            gate_tensors=part(tensors, "gate."),
            _large_head=part(tensors, "large_head."),
        )


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the file in the message of a BundleError."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def read_tensors(folder: Path) -> Tensors:
    """All tensors of a bundle, with prefixes, as stored.

    Raises:
        BundleError: if the file is missing or damaged.
    """
    path = folder / WEIGHTS_FILE
    return parse_safetensors(_read(path), str(path))


def _small(card: BundleCard, tensors: Tensors, folder: Path) -> SmallBranch:
    if card.small.kind in TAUGHT_LOADERS:
        taught = import_module(TAUGHT_LOADERS[card.small.kind])
        return cast(SmallBranch, taught.load(card, tensors, folder))
    if card.small.kind == "evidence":
        return StepStatisticsBranch.load(card, tensors)
    return UemcmSmallBranch.load(card, tensors)


def _check_prefixes(card: BundleCard, tensors: Tensors) -> None:
    """Every tensor must belong to a part that the card has: leftovers mean a wrong file."""
    parts = {
        "encoder.": card.frame_encoder.weights == "bundle",
        "small.": True,
        "large_head.": card.large is not None,
        "gate.": card.gate is not None,
        "guard.": card.guard is not None,
        "activity.": card.activity_width > 0,
    }
    for name in tensors:
        if not any(wanted and name.startswith(prefix) for prefix, wanted in parts.items()):
            raise BundleError(
                f"{name} belongs to no part that the card describes; "
                "card and weights are from different bundles"
            )


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise BundleError(f"{path} is no regular file; copy or train the bundle again")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); copy or train the bundle again"
        ) from error


def _hash(folder: Path, card: bytes, weights: bytes) -> str:
    digest = hashlib.sha256(card)
    digest.update(weights)
    others = [*folder.glob(EXTRA_FILES), *(folder / LARGE_FOLDER).rglob("*")]
    for path in sorted(p for p in others if p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        if size <= _HASHED_WHOLE_BYTES:
            digest.update(path.read_bytes())
    return digest.hexdigest()
