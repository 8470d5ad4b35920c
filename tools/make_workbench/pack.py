"""Stage 10: the card, and everything into one bundle folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

import egomon
from egomon.branches.bundle.card import (
    BundleCard,
    DataCard,
    DecisionCard,
    FrameEncoderCard,
    GateCard,
    GuardCard,
    LargeEncoderCard,
)
from egomon.branches.bundle.locate import read_card
from egomon.branches.bundle.weights import Tensors
from egomon.branches.encoders.workbench import KeyPointTower
from egomon.branches.export.bundle import export_bundle
from egomon.branches.load_bundle import save_bundle
from egomon.branches.out_of_domain.distance import MahalanobisGuard
from egomon.branches.torch_modules import state_sha256, to_arrays
from egomon.branches.uemcm.heads import ContextBranch, LargeHead
from egomon.train.fitting.heads.adaptive_gate import AdaptiveGate
from tools.make_workbench.networks import small, tower
from tools.make_workbench.networks.activity import ActivityModule
from tools.make_workbench.networks.large import HEAD_WIDTH
from tools.make_workbench.networks.qwen import FRAMES, INSTRUCTION, TOKENS_PER_PAIR, WIDTH
from tools.make_workbench.pictures import LARGE_PX, SMALL_PX
from tools.make_workbench.stream import ACTIVITY_WIDTH, STREAM

NAME = "workbench"
DESCRIPTION = (
    "Demonstration: trained on rendered bench work only (one simulated bench, eight parts, four "
    "workflows); it shows how egomon works and does not know real footage."
)
NOTES = (
    "Everything in this bundle was learned from the simulator in egomon.train.simulator; no "
    "recording of a person was used. Its scores hold for other rendered recordings of the four "
    "workflows star, bars, moon and grid. On other workflows over the same parts it sees bad "
    "handling but not wrong order. On real video the domain guard keeps it silent. "
    "Train it again with: python -m tools.make_workbench -o DIR"
)
CREATED = "2026-11-23"


@dataclass(frozen=True, slots=True, eq=False)
class LargePart:
    """The large branch and the gate."""

    folder: Path
    """Holds the Qwen3-VL as `from_pretrained` reads it."""
    state: Mapping[str, Tensor]
    """Its weights as stored, for the hash."""
    head: LargeHead
    gate: AdaptiveGate
    gate_card: GateCard


@dataclass(frozen=True, slots=True, eq=False)
class BundleParts:
    """All that was trained."""

    tower: KeyPointTower
    small: ContextBranch
    activity: ActivityModule
    guard: MahalanobisGuard
    decision: DecisionCard
    data: DataCard
    metrics: dict[str, float]
    large: LargePart | None


def encoder_card(trained: KeyPointTower) -> FrameEncoderCard:
    """The tower's card."""
    return FrameEncoderCard(
        library="bundled",
        architecture=NAME,
        weights="bundle",
        weights_sha256=state_sha256(trained.state_dict()),
        image_px=SMALL_PX,
        crop="center",
        crop_pct=1.0,
        interpolation="bicubic",
        mean=(tower.MEAN,) * 3,
        std=(tower.STD,) * 3,
        dim=trained.output_dim,
        options=dict(tower.OPTIONS),
    )


def large_card(part: LargePart) -> LargeEncoderCard:
    """The Qwen3-VL's card."""
    return LargeEncoderCard(
        weights="bundle",
        weights_sha256=state_sha256(part.state),
        instruction=INSTRUCTION,
        frames=FRAMES,
        frame_px=LARGE_PX,
        max_tokens=FRAMES // 2 * TOKENS_PER_PAIR,
        dim=WIDTH,
    )


def make_card(parts: BundleParts) -> BundleCard:
    """`bundle.json`."""
    large = parts.large
    return BundleCard(
        name=NAME,
        description=DESCRIPTION,
        demonstration=True,
        created=CREATED,
        egomon_version=egomon.__version__,
        licence="Apache-2.0",
        frame_encoder=encoder_card(parts.tower),
        small=small.CARD,
        large=None if large is None else large_card(large),
        large_width=HEAD_WIDTH,
        gate=None if large is None else large.gate_card,
        stream=STREAM,
        decision=parts.decision,
        guard=GuardCard(limit=parts.guard.limit),
        activity_width=ACTIVITY_WIDTH,
        data=(parts.data,),
        metrics={name: round(value, 4) for name, value in parts.metrics.items()},
        notes=NOTES,
    )


def _halved(prefix: str, module: nn.Module) -> Tensors:
    """Half precision: stages after each training saw exactly these values."""
    state = module.state_dict()
    halved = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    return {prefix + k: v for k, v in to_arrays(halved).items()}


def save(folder: Path, parts: BundleParts) -> BundleCard:
    """Write the bundle."""
    tensors = _halved("encoder.", parts.tower) | _halved("small.", parts.small)
    tensors |= _halved("activity.", parts.activity)
    tensors |= {f"guard.{name}": value for name, value in parts.guard.tensors().items()}
    large = parts.large
    if large is not None:
        tensors |= _halved("large_head.", large.head) | _halved("gate.", large.gate)
    card = make_card(parts)
    save_bundle(folder, card, tensors, None if large is None else large.folder)
    export_bundle(folder)
    return read_card(folder)
