"""Interfaces of models: protocols, views and scores, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from egomon.stream.frame import Segment, UInt8Image

if TYPE_CHECKING:
    from egomon.branches.taught.corrections import Correction

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Label(IntEnum):
    """Class of a segment; also the column of its logit."""

    CORRECT = 0
    MISTAKE = 1


BranchName = Literal["small", "large", "fused"]


@dataclass(frozen=True, slots=True)
class StepGuess:
    """A branch's estimate of the current step."""

    id: str
    text: str
    confidence: float
    """In [0, 1]."""
    shares: tuple[float, ...] = ()
    """Likelihood of each step that the branch knows, kept for its later calls; may be
    empty."""
    excess: float = 0.0
    """Nats by which the segment was stranger than correct work is on average, for the branch
    itself to remember."""


@dataclass(frozen=True, slots=True, eq=False)
class StepSeen:
    """A step that was recognised earlier in the workflow."""

    step: StepGuess
    t_start: float
    t_end: float


@dataclass(frozen=True, slots=True, eq=False)
class ClipView:
    """Frame vectors of one segment, gathered from the cache: the fine clip V^f."""

    vectors: Float32
    """(T, D), as the encoder gave them (not normalised)."""
    times: Float64
    """(T,) media seconds, ascending."""
    t_start: float
    t_end: float


@dataclass(frozen=True, slots=True, eq=False)
class ContextView:
    """Immutable snapshot of the workflow so far: the coarse clip V^c, uniformly gathered."""

    vectors: Float32
    """(N, D), N at most the card's number of context frames; (0, D) right after a reset."""
    times: Float64
    """(N,) media seconds, ascending."""
    t_start: float
    """Where the context begins: last reset, gap or longest length."""
    t_end: float
    steps: tuple[StepSeen, ...] = ()
    """Steps recognised since `t_start`, oldest first (bounded)."""


@dataclass(frozen=True, slots=True, eq=False)
class BranchScore:
    """Score of one segment by one branch."""

    branch: BranchName
    logits: Float32
    """(2,): correct, mistake; not yet calibrated."""
    feature: Float32
    """(D,): h_s or h_l, the gate's input."""
    latency_ms: float
    step: StepGuess | None = None
    reason: str | None = None
    """Reason why the segment looks wrong, in the user's words; None if the branch has none."""
    missing_steps: tuple[str, ...] = ()
    """Ids of the steps of which the reason says that they were not seen."""

    def __post_init__(self) -> None:
        if self.logits.shape != (2,):
            raise ValueError(f"logits must have shape (2,), got {self.logits.shape}")

    @property
    def log_odds(self) -> float:
        """z[mistake] - z[correct]."""
        return float(self.logits[Label.MISTAKE] - self.logits[Label.CORRECT])


@runtime_checkable
class FrameEncoder(Protocol):
    """One image to one vector; frames are independent of each other, so vectors can be cached."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def image_px(self) -> int:
        """Side S of the square input in pixels."""

    def prepare(self, rgb: UInt8Image) -> UInt8Image:
        """Full-size RGB (H, W, 3) to (S, S, 3), exactly as in training; thread-safe."""

    def encode(self, images: NDArray[np.uint8]) -> Float32:
        """(B, S, S, 3) RGB uint8 to (B, dim) float32, not normalised, deterministic."""


class SmallBranch(Protocol):
    """Scores a segment against the workflow so far."""

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Pure: the same views give the same score."""


@runtime_checkable
class FollowingBranch(SmallBranch, Protocol):
    """Judges a segment by all frames of its stream before it."""

    def follow(self, *, cycles: bool = True) -> StreamBranch:
        """A branch of its own for one stream, which has seen nothing yet.

        Args:
            cycles: the work begins anew by itself once it is done and its first step comes back.
        """


class StreamBranch(SmallBranch, Protocol):
    """Follows one stream; the same frames in the same order give the same scores.

    It stands for the out-of-domain detector too: what is foreign inside of a known workflow is
    its own to tell.
    """

    @property
    def state(self) -> Literal["unknown", "in_domain", "out_of_domain"]:
        """Whether the place is that of the recordings."""

    @property
    def distance(self) -> float | None:
        """Of the place, 1 = the limit; None before it is known."""


@runtime_checkable
class CorrectableBranch(Protocol):
    """Learns while it watches from what people say of its alerts."""

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Use these from the next frame on; what was seen so far is kept."""


class LargeBranch(Protocol):
    """Scores a segment by its pixels alone."""

    def score(self, segment: Segment) -> BranchScore:
        """May be slow; raises on failure."""


@runtime_checkable
class RemoteLargeBranch(LargeBranch, Protocol):
    """A large branch on another machine: it waits, so several calls may be under way at a time."""

    @property
    def in_flight(self) -> int:
        """Most calls at a time, each in a thread of its own."""

    def connect(self) -> object:
        """Compare the far model with the bundle's; raises an EgomonError on any failure."""

    def score_within(self, segment: Segment, seconds: float | None) -> BranchScore:
        """Score within so many seconds, None = no deadline; raises on failure."""

    def close(self) -> None:
        """Close all connections."""


class Gate(Protocol):
    """Weighs the two branches: z = a_s z_s + a_l z_l (paper, gate equations)."""

    def fuse(self, small: BranchScore, large: BranchScore) -> tuple[Float32, Float32]:
        """Give the fused logits (2,) and the weights (2,): small, large; the weights sum to 1."""


class DomainGuard(Protocol):
    """Measures how far frames are from those that the bundle was trained on."""

    @property
    def limit(self) -> float:
        """Distances above this are out of domain."""

    def distance(self, vectors: Float32) -> float:
        """Distance of the clip (T, D) to the training distribution."""


class ActivityModel(Protocol):
    """Estimates for each frame whether hands are at work, for activity boundaries."""

    def probability(self, vectors: Float32) -> Float32:
        """(T, D) consecutive frame vectors to (T,) probabilities."""
