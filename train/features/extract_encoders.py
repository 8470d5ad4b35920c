"""Which encoders an extraction runs, and how they are opened, here or in another process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from egomon.branches.bundle.card import BundleCard, LargeEncoderCard
from egomon.branches.bundle.large_weights import pinned
from egomon.errors import UsageError
from egomon.extras import needs_extra
from egomon.train.features.clips import Embedder
from egomon.train.features.feature_set import DatasetCard
from egomon.train.teach.base import Base, open_base, open_encoders


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """What the user named."""

    model: str = "workbench"
    """What `open_base` knows."""
    encoders: Path | None = None
    """Instead of it, a file of `egomon models new`."""
    large: bool | None = None
    """Run the large encoder too; None = where `encoders` names one."""

    def absolute(self) -> EncoderChoice:
        """The same for a process in another folder."""
        model = str(Path(self.model).resolve()) if Path(self.model).exists() else self.model
        encoders = None if self.encoders is None else self.encoders.resolve()
        return replace(self, model=model, encoders=encoders)

    def open_base(self, device: str = "auto", dtype: str = "auto") -> Base:
        """Load the frame encoder.

        Raises:
            BundleError: it cannot be loaded.
            ConfigError: `encoders` is no such file.
        """
        if self.encoders is None:
            return open_base(self.model, device=device, dtype=dtype)
        return open_encoders(self.encoders, device=device, dtype=dtype)

    def large_card(self, base: Base) -> LargeEncoderCard | None:
        """Card of the large encoder, pinned and with a full path; None where it is not run.

        Raises:
            UsageError: it was asked for, and there is none.
            BundleError: its weights are damaged.
        """
        card = base.card.large
        if self.large is False or (self.large is None and (self.encoders is None or not card)):
            return None
        if card is None:
            raise UsageError(
                f"{base.card.name} has no large branch, so --large has nothing to run; take a "
                "bundle that has one, or --encoders with a file of `egomon models new`"
            )
        # What a server is compared with says nothing about the vectors of a set.
        return msgspec.structs.replace(pinned(card, base.folder), probe="")

    def open_large(self, base: Base, device: str = "auto", dtype: str = "auto") -> Embedder | None:
        """Load the large encoder; None where it is not run.

        Raises:
            UsageError: it was asked for, and there is none.
            BundleError: the weights cannot be had, or have another hash than the card's.
        """
        card = self.large_card(base)
        if card is None:
            return None
        with needs_extra(f"the large encoder {card.weights}", "torch"):
            from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
        dtype = "auto" if dtype == "int8" else dtype
        return Qwen3VLEmbedder.load(card, base.folder, device=device, dtype=dtype)


def card_of(bundle: BundleCard, large: LargeEncoderCard | None, name: str) -> DatasetCard:
    """Card of the vectors."""
    return DatasetCard(
        name=name,
        licence="yours",
        encoder=bundle.frame_encoder,
        fps=bundle.stream.fps,
        dim=bundle.frame_encoder.dim,
        large=large,
    )
