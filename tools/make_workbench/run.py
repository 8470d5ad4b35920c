"""The whole training, stage by stage; each stage's result is kept and found again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from torch import nn

from egomon.branches.bundle.card import BundleCard, DataCard, DecisionCard
from egomon.branches.encoders.workbench import KeyPointTower, build
from egomon.branches.out_of_domain.distance import MahalanobisGuard, fit_guard
from egomon.branches.uemcm.heads import ContextBranch, LargeHead
from tools.make_workbench import encode_recordings as footage
from tools.make_workbench import pack, pictures
from tools.make_workbench.encode_recordings import BankedRecording, RecordingCache
from tools.make_workbench.networks import large, small
from tools.make_workbench.networks.activity import ActivityModule
from tools.make_workbench.networks.qwen import WIDTH, Reader, VisionTower, new_model, save_model
from tools.make_workbench.networks.tower import OPTIONS, TowerPlan, train_tower
from tools.make_workbench.networks.vision_pretraining import VisionPlan, train_vision
from tools.make_workbench.score_recordings import GateInputs, score_recordings
from tools.make_workbench.stream import ACTIVITY_WIDTH, find, train_activity

log = logging.getLogger(__name__)
Module = TypeVar("Module", bound=nn.Module)

SEED = 20
PICTURE_CHUNKS = 64
BANK = RecordingCache("bank", 200, bank=True, salt=0)
GATE = RecordingCache("gate", 180, 0.35, salt=1)
VAL = RecordingCache("val", 120, 0.2, salt=2)
"""Gate and thresholds are fitted on GATE and VAL, by folds; neither branch was trained on them."""
GUARD_SECONDS = 2.0
GUARD_QUANTILE = 0.999


@dataclass(frozen=True, slots=True)
class WorkbenchSize:
    """Sizes of the data and the trainings; tests use the smallest."""

    chunks: int = PICTURE_CHUNKS
    recording_sets: tuple[RecordingCache, RecordingCache, RecordingCache] = (BANK, GATE, VAL)
    tower: TowerPlan = field(default_factory=TowerPlan)
    small: small.SmallPlan = field(default_factory=small.SmallPlan)
    vision: VisionPlan = field(default_factory=VisionPlan)
    large: large.LargePlan = field(default_factory=large.LargePlan)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Log how long a stage took."""
    started = time.monotonic()
    log.info("%s ...", stage)
    yield
    log.info("%s: %.0f s", stage, time.monotonic() - started)


class WorkbenchTraining:
    """Trains on demand; what is in the cache folder is not made again.

    `seed` is that of the branches and the gate; pictures, footage and the encoders stay the same.
    Of two that share the footage, one goes `backwards`.
    """

    def __init__(
        self,
        cache: Path,
        size: WorkbenchSize,
        processes: int = 2,
        seed: int = SEED,
        *,
        backwards: bool = False,
    ) -> None:
        self.cache, self.size, self.processes, self.seed = cache, size, processes, seed
        self.backwards = backwards
        self._suffix = "" if seed == SEED else f"-{seed}"
        cache.mkdir(parents=True, exist_ok=True)

    @cached_property
    def pool(self) -> Path:
        """Folder of the finished picture pool."""
        with timed("pictures"):
            pictures.make(self.cache / "pictures", self.size.chunks, SEED, self.processes)
        return self.cache / "pictures"

    @cached_property
    def tower(self) -> KeyPointTower:
        """The frame tower."""

        def train() -> KeyPointTower:
            return train_tower(
                pictures.Pictures(self.pool, self.size.chunks, "small"), self.size.tower
            )

        tower = self._kept("tower", lambda: build(OPTIONS, pictures.SMALL_PX), train)
        return tower.to(memory_format=torch.channels_last)

    @cached_property
    def rendered(self) -> Path:
        """Folder of the finished recordings, not yet seen by the tower."""
        with timed("footage"):
            recording_sets, folder = list(self.size.recording_sets), self.cache / "footage"
            footage.make(folder, recording_sets, SEED, self.processes, backwards=self.backwards)
        return folder

    @cached_property
    def encoded(self) -> Path:
        """Folder of the recordings with their frame vectors."""
        folder, tower = self.rendered, self.tower
        with timed("frame vectors"):
            footage.encode_all(
                folder, list(self.size.recording_sets), tower, backwards=self.backwards
            )
        return folder

    @cached_property
    def recordings(
        self,
    ) -> tuple[list[BankedRecording], list[BankedRecording], list[BankedRecording]]:
        """Bank, gate and validation recordings."""
        bank, gate, val = (
            footage.load(self.encoded, recording_set) for recording_set in self.size.recording_sets
        )
        return bank, gate, val

    @cached_property
    def small(self) -> ContextBranch:
        """The context branch."""
        bank, _, val = self.recordings
        dim = self.tower.output_dim
        plan = replace(self.size.small, seed=self.seed)
        return self._kept(
            f"small{self._suffix}",
            lambda: ContextBranch(dim, small.CARD),
            lambda: small.train_small(bank, val, plan),
        )

    @cached_property
    def activity(self) -> ActivityModule:
        """The activity model."""
        bank = self.recordings[0]
        dim = self.tower.output_dim
        return self._kept(
            "activity",
            lambda: ActivityModule(dim, ACTIVITY_WIDTH),
            lambda: train_activity(bank, SEED),
        )

    @cached_property
    def guard(self) -> MahalanobisGuard:
        """The domain guard: fitted on the bank, its limit set on validation recordings."""
        bank, gate, val = self.recordings
        return fit_guard(_windows(bank), GUARD_QUANTILE, held_out=_windows(gate + val))

    @cached_property
    def vision(self) -> tuple[Any, Any]:
        """The tiny Qwen3-VL that has learned to see but not to judge, and its processor."""
        model, processor = new_model(SEED)
        for cycle in range(len(self.size.vision.cycles)):
            self._kept(f"eyes{cycle}", lambda: model.visual, partial(self._vision, model, cycle))
        return model, processor

    @cached_property
    def qwen(self) -> tuple[Any, Any, LargeHead]:
        """The tiny Qwen3-VL, its processor and its head."""
        model, processor = self.vision
        head = LargeHead(WIDTH, large.HEAD_WIDTH)
        both = nn.ModuleDict({"language": model.language_model, "head": head})

        def train() -> nn.ModuleDict:
            bank, _, val = self.recordings
            with timed("visual tokens"):
                vision = VisionTower(model.visual)
                clips = large.all_visual_tokens(vision, bank, large.VARIANTS, SEED)
                held_out = large.all_visual_tokens(vision, val, 1, SEED)
            plan = replace(self.size.large, seed=self.seed)
            trained = large.train_large(model, processor, clips, held_out, plan)
            head.load_state_dict({k: v.half().float() for k, v in trained.state_dict().items()})
            return both

        self._kept(f"large{self._suffix}", lambda: both, train)
        return model.eval(), processor, head.eval()

    def _vision(self, model: Any, cycle: int) -> Any:
        pool = pictures.Pictures(self.pool, self.size.chunks, "large")
        train_vision(model, pool, self.size.vision, cycle)
        return model.visual

    def gate_inputs(self, recordings: list[BankedRecording]) -> GateInputs:
        """Outputs of both branches on the segments that the stream finds."""
        model, processor, head = self.qwen
        found = [find(self.activity, recording) for recording in recordings]
        return score_recordings(
            self.small, VisionTower(model.visual), Reader(model, processor), head, recordings, found
        )

    def save_large(self) -> Path:
        """Write the Qwen3-VL as `from_pretrained` reads it."""
        model, processor, _ = self.qwen
        folder = self.cache / f"qwen{self._suffix}"
        save_model(model, processor, folder)
        return folder

    def data_card(self) -> DataCard:
        """Card of the training data."""
        bank = self.recordings[0]
        wrong = np.concatenate([recording.labels for recording in bank])
        return DataCard(
            name="egomon bench simulator (rendered)",
            licence="Apache-2.0",
            attribution="the egomon authors",
            recordings=len(bank),
            segments=len(wrong),
            prior=round(float(wrong.mean()), 4),
        )

    def bundle(
        self, folder: Path, decision: DecisionCard, metrics: dict[str, float], large_part: Any
    ) -> BundleCard:
        """Write the bundle."""
        parts = pack.BundleParts(
            self.tower, self.small, self.activity, self.guard, decision, self.data_card(),
            metrics, large_part,
        )  # fmt: skip
        return pack.save(folder, parts)

    def _kept(self, name: str, make: Callable[[], Module], train: Callable[[], Module]) -> Module:
        path = self.cache / f"{name}.safetensors"
        if not path.exists():
            with timed(name):
                module = train()
            state = {k: v.detach().contiguous().clone() for k, v in module.state_dict().items()}
            safetensors.torch.save_file(state, path)
        module = make()
        module.load_state_dict(safetensors.torch.load_file(path))
        return module.eval()


def _windows(recordings: list[BankedRecording]) -> list[np.ndarray]:
    """Clips of two seconds, as the domain guard measures them."""
    width = round(GUARD_SECONDS * footage.FPS)
    return [
        recording.vectors[first : first + width].astype(np.float32)
        for recording in recordings
        for first in range(0, len(recording.vectors) - width + 1, width // 2)
    ]
