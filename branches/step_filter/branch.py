"""The small branch of a bundle whose steps are followed by one filter.

`small.` holds the model's arrays, the card its numbers, and `workflow.toml` beside the card the
graph, which the user may edit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.interfaces import (
    BranchScore,
    ClipView,
    ContextView,
    Float32,
    StepGuess,
)
from egomon.branches.out_of_domain.detector import DomainState
from egomon.branches.step_filter.descriptor import (
    RunningMean,
    window_numbers,
    window_of,
)
from egomon.branches.step_filter.explanation import explain
from egomon.branches.step_filter.filter import StepBelief, StepFilter
from egomon.branches.step_filter.model import StepModel, StreamSteps
from egomon.branches.taught.corrections import Correction
from egomon.branches.taught.transitions import Rules, bits
from egomon.branches.taught.workflow_graph import WorkflowGraph

SCENE_WINDOWS = 10
"""Windows that are seen before the scene is judged."""
SCENE_LEAVE = 0.9
"""Share of the limit below which another place is the recordings' place again."""
STILL = 1e-3
"""Cosine distance of windows that show the same picture: black, covered, or frozen. No work is
seen then, and none is expected to have gone on."""
GAP_SECONDS = 2.0
"""A longer hole in the stream may hide the end of a step."""
MOST_LOG_ODDS = 8.0
LIKELY_LOG_ODDS = -2.0
"""Below this nothing looks wrong, so there is no reason to give."""


@dataclass(frozen=True, slots=True, eq=False)
class StepFilterBranch:
    """`SmallBranch` over taught steps; `follow` gives one that remembers its stream."""

    model: StepModel
    graphs: tuple[WorkflowGraph, ...]
    corrections: tuple[Correction, ...] = ()
    """What was said of alerts."""

    def follow(self, *, cycles: bool = True) -> StreamFollower:
        """See `FollowingBranch`."""
        return StreamFollower(self.model, self.graphs, corrections=self.corrections, cycles=cycles)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """The clip as if it were the beginning of a stream."""
        return self.follow().score(clip, context)


class StreamFollower:
    """Scores one stream's windows in order of time; the same frames give the same scores.

    It also says whether the place is that of the recordings; foreign work inside of a workflow is
    an alert of the filter.
    """

    def __init__(
        self,
        model: StepModel,
        graphs: Sequence[WorkflowGraph],
        *,
        corrections: Sequence[Correction] = (),
        cycles: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._graphs = tuple(graphs)
        self._corrections, self._cycles = tuple(corrections), cycles
        self._clock = clock
        self._rules = [Rules.of(graph, model.ids) for graph in graphs]
        self.state: DomainState = "unknown"
        self.distance: float | None = None
        """Of the scene, as a share of the limit."""
        self._share = 1.0
        self._started = 0.0
        self._begin()

    def _begin(self) -> None:
        self._filter = self._new_filter()
        self._steps = StreamSteps(self._model)
        self._scene = self._new_scene()
        self._seen = -np.inf
        self._window: Float32 | None = None
        self._foreign = False
        self._beliefs: list[StepBelief] = []
        self._open: tuple[float, bool] | None = None
        """Begin of the window that is not judged yet, and whether anything moved in it."""
        self._step, self._step_began = -1, 0.0
        self._row = np.zeros(self._model.steps.shape[1], np.float32)

    def wait(self) -> None:
        """It is another work: keep nothing of its place, and nothing of what was foreign."""
        self._scene, self._steps = self._new_scene(), StreamSteps(self._model)
        if self._foreign:
            self._foreign = False
            self._filter = self._new_filter()

    def _new_filter(self) -> StepFilter:
        return StepFilter(self._model, self._rules, self._corrections, cycles=self._cycles)

    def _new_scene(self) -> RunningMean:
        return RunningMean(self._model.descriptor.prior, self._model.options.prior_windows)

    def correct(self, corrections: Sequence[Correction]) -> None:
        """See `CorrectableBranch`."""
        self._corrections = tuple(corrections)
        self._filter.correct(self._corrections)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Log odds are the mistake's distance to the threshold, so p = .5 is the threshold.

        Args:
            clip: frames since the last call, and perhaps some that were taken in before.
            context: its start tells whether a new workflow has begun.

        Raises:
            ValueError: if the clip has no frame vectors, or they are of another encoder.
        """
        self.look(clip, context)
        return self.judge()

    def look(self, clip: ClipView, context: ContextView) -> float:
        """The first half of `score`: take the clip in. `judge` must follow.

        Returns:
            Evidence of the clip's windows, see `StepFilter.advance`.
        """
        self._started = self._clock()
        dim = len(self._model.descriptor.prior)
        if not len(clip.vectors) or clip.vectors.shape[1] != dim:
            raise ValueError(
                f"expected frame vectors (T, {dim}) with T >= 1, got {clip.vectors.shape}"
            )
        if context.t_start > self._seen:
            self._begin()
        self._beliefs = []
        return self._take(clip)

    def judge(self, share: float = 1.0) -> BranchScore:
        """The second half of `score`.

        Args:
            share: probability that it is this workflow.
        """
        self._share = share
        self._settle()
        beliefs = self._beliefs
        told = next((b for b in beliefs if b.told), None)
        belief = told or (beliefs[-1] if beliefs else None)
        odds, step, reason = -MOST_LOG_ODDS, None, None
        missing: tuple[str, ...] = ()
        if belief is not None:
            odds = _logit(belief.p_mistake) - _logit(self._model.options.threshold)
            odds = float(np.clip(odds, -MOST_LOG_ODDS, MOST_LOG_ODDS))
            if told is None:
                odds = min(odds, -1e-3)
            step = self._guess(belief)
            if odds >= LIKELY_LOG_ODDS and belief.mistake is not None:
                missing = tuple(self._model.ids[k] for k in bits(belief.mistake.absent))
                began = self._step_began if belief.mistake.step == self._step else None
                reason = explain(
                    belief.mistake,
                    self._model.ids,
                    self._graphs,
                    began_seconds=began,
                    lasted_seconds=belief.lasted_seconds,
                    usual_seconds=self._model.usual_seconds(belief.mistake.step),
                )
        return BranchScore(
            branch="small",
            logits=np.array([-odds / 2, odds / 2], dtype=np.float32),
            feature=self._row,
            latency_ms=(self._clock() - self._started) * 1000,
            step=step,
            reason=reason,
            missing_steps=missing,
        )

    def _take(self, clip: ClipView) -> float:
        """Take in each window of frames that were not seen before; the last is left to `judge`."""
        new = clip.times > self._seen
        if not new.any():
            return 0.0
        times, vectors = clip.times[new], clip.vectors[new]
        hole = float(times[0] - self._seen)
        if np.isfinite(hole) and hole > GAP_SECONDS:
            self._filter.skip(hole)
        self._seen = float(times[-1])
        numbers = window_numbers(times, self._model.options.window_seconds)
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        evidence = 0.0
        for first, part in zip((0, *cuts), np.split(vectors, cuts), strict=True):
            window = window_of(part)
            moved = np.inf if self._window is None else _cosine_distance(window, self._window)
            if moved < STILL:
                continue
            self._settle()
            self._window = window
            self._row = self._model.descriptor.rows(self._scene.centre(window))
            evidence += self._filter.advance(self._steps.distances(self._row))
            self._open = (float(times[first]), bool(moved > self._model.options.moving))
        return evidence

    def _settle(self) -> None:
        """Judge the window that was taken in last, unless it is judged."""
        if self._open is None:
            return
        (began, moving), self._open = self._open, None
        belief = self._filter.belief(moving=moving, share=self._share)
        self._steps.see(self._row, belief.steps[:-1])
        self._beliefs.append(belief)
        self._foreign = bool(belief.steps[-1] > 0.5)
        if (step := int(belief.steps[:-1].argmax())) != self._step:
            self._step, self._step_began = step, began
        self._judge_scene()
        if belief.began and self._model.options.taught_windows:
            self._scene = self._new_scene()  # here the steps hold what is this person's
        elif belief.began:
            self._scene.begin_anew()

    def _judge_scene(self) -> None:
        if self._scene.windows < SCENE_WINDOWS:
            return
        self.distance = self._scene.offset / self._model.options.scene
        if self.distance > 1.0:
            self.state = "out_of_domain"
        elif self.state != "out_of_domain" or self.distance < SCENE_LEAVE:
            self.state = "in_domain"

    def _guess(self, belief: StepBelief) -> StepGuess:
        step = int(belief.steps[:-1].argmax())
        id_ = self._model.ids[step]
        own = self._graphs[belief.workflow]
        graph = next((g for g in (own, *self._graphs) if id_ in g.ids), None)
        name = id_ if graph is None else graph.named(id_)
        return StepGuess(id_, name, float(belief.steps[step]))


def _cosine_distance(a: Float32, b: Float32) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(a @ b) / lengths if lengths > 0 else 1.0


def _logit(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return float(np.log(p / (1 - p)))
