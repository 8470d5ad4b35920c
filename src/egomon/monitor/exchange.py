"""Another bundle for a run that watches already: sources go on, alerts and workflow begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from egomon.branches.load_bundle import Bundle
from egomon.config import Settings
from egomon.errors import BundleError, UsageError
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.monitor.build import AlertEngines, build_scorer
from egomon.monitor.messages import InOrder
from egomon.monitor.run_plan import RunPlan, make_plan
from egomon.monitor.services import add_sources
from egomon.monitor.workers.alert_worker import AlertWorker
from egomon.monitor.workers.inference_worker import InferenceWorker
from egomon.monitor.workers.model_loader import warm_up
from egomon.monitor.workers.source_worker import SourceWorker


class BundleExchange:
    """Turns each thread of a pipeline to another bundle, in its own time.

    The source threads resize for the new encoder from their next frame on, in a new epoch; the
    inference thread takes the new encoder and scorers over before its next batch; the emit thread
    closes the alerts of the old bundle once all that it scored is out.
    """

    def __init__(
        self,
        parts: AlertEngines,
        scoring: InferenceWorker,
        alert_worker: AlertWorker,
        inputs: Sequence[SourceWorker],
        attacher: EvidenceAttacher,
        *,
        boot: str,
    ) -> None:
        self._parts, self._scoring, self._alert_worker = parts, scoring, alert_worker
        self._inputs, self._attacher = inputs, attacher
        self._boot, self._count = boot, 0

    def __call__(self, bundle: Bundle, settings: Settings) -> None:
        """Begin; callable from any thread, which waits for the new encoder's first frame.

        Raises:
            BundleError: it cannot be used live, or has a large branch.
            ConfigError: the settings do not fit it.
        """
        plan = make_plan(bundle, settings)
        if plan.use_large:
            raise BundleError(
                f"bundle {bundle.card.name!r} has a large branch, which cannot be loaded while "
                "watching; restart egomon with --model"
            )
        warm_up(bundle)
        assert bundle.encoder is not None
        self._count += 1
        run = f"{self._boot}.{self._count}"
        for item in self._inputs:
            item.prepare_with(plan)
        scorers = {
            item.name: build_scorer(plan, item, item.buffer, settings) for item in self._inputs
        }
        done = InOrder(lambda: self._turn_to(plan, settings, run))
        self._scoring.exchange(bundle.encoder, scorers, done)

    def _turn_to(self, plan: RunPlan, settings: Settings, run: str) -> None:
        """In the emit thread."""
        for name in self._parts.engines:
            self._alert_worker.close(name, "context_reset")
        self._parts.exchange(plan, self._inputs, settings, run=run)
        add_sources(self._attacher, self._parts.engines, self._inputs)


class _Exchanging(Protocol):
    exchange: BundleExchange


def exchange_in(pipeline: _Exchanging | None, bundle: Bundle, settings: Settings) -> None:
    """Exchange the bundle of a live run.

    Args:
        pipeline: of the run; None while its models load, and in a replay.
        bundle: loaded.
        settings: of the run.

    Raises:
        UsageError: there is no pipeline yet.
        BundleError: the bundle cannot be used live, or has a large branch.
        ConfigError: the settings do not fit it.
    """
    if pipeline is None:
        raise UsageError("only a live run that watches can change its bundle; wait, or restart")
    pipeline.exchange(bundle, settings)
