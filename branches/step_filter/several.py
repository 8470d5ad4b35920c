"""Several taught workflows watched at once: the one that explains the stream best speaks.

A hidden Markov model over workflows. Each is followed by a filter of its own; a window's evidence
is what its filter predicted of it, and foreign work is none. A mistake is told once the posterior
of its workflow times its own passes the threshold, so a beginning that workflows share decides
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import BranchScore, ClipView, ContextView
from egomon.branches.out_of_domain.detector import DomainState
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.taught.corrections import Correction

P_SWITCH = 0.01
"""Probability that another workflow is being done from a window on."""
WAITING_SHARE = 0.05
"""A workflow below this is not being done; it waits for its beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class SeveralWorkflowsBranch:
    """`SmallBranch` over workflows that were taught together."""

    workflows: tuple[StepFilterBranch, ...]

    def follow(self, *, cycles: bool = True) -> SeveralFollower:
        """See `FollowingBranch`."""
        return SeveralFollower(self.workflows, cycles=cycles)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """The clip as if it were the beginning of a stream."""
        return self.follow().score(clip, context)


class SeveralFollower:
    """Follows one stream with all workflows; see `StreamBranch`."""

    def __init__(self, workflows: Sequence[StepFilterBranch], *, cycles: bool = True) -> None:
        self._followers = [branch.follow(cycles=cycles) for branch in workflows]
        self._seen = -np.inf
        self._begin()

    def _begin(self) -> None:
        self.shares = np.full(len(self._followers), 1.0 / len(self._followers))
        """Posterior of each workflow."""

    @property
    def state(self) -> DomainState:
        """See `StreamBranch`; out of domain once the place is that of no workflow."""
        return self._followers[self._best].state

    @property
    def distance(self) -> float | None:
        """See `StreamBranch`."""
        return self._followers[self._best].distance

    @property
    def _best(self) -> int:
        return int(self.shares.argmax())

    def correct(self, corrections: Sequence[Correction]) -> None:
        """See `CorrectableBranch`."""
        for follower in self._followers:
            follower.correct(corrections)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """The score of the workflow that is being done, see `StreamFollower.score`."""
        if context.t_start > self._seen:
            self._begin()
        self._seen = max(self._seen, clip.t_end)
        evidence = np.array([follower.look(clip, context) for follower in self._followers])
        shares = self.shares * np.exp(evidence - evidence.max())
        shares /= shares.sum()
        self.shares = (1.0 - P_SWITCH) * shares + P_SWITCH / len(shares)
        scores = []
        for follower, share in zip(self._followers, self.shares.tolist(), strict=True):
            scores.append(follower.judge(share))
            if share < WAITING_SHARE:
                follower.wait()
        told = next((score for score in scores if score.log_odds >= 0), None)
        return told or scores[self._best]
