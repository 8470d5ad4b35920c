"""The thread that loads the models of a run."""

from __future__ import annotations

import atexit
from collections.abc import Callable

import numpy as np

from egomon.branches.interfaces import LargeBranch
from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.threads import choose_threads, set_torch_threads
from egomon.config import Settings
from egomon.config_sections import ModelSettings
from egomon.monitor.operations.large_endpoint import large_endpoint
from egomon.monitor.run_plan import RunPlan, make_plan
from egomon.monitor.workers.threads import EXIT_SECONDS
from egomon.stream.priority import lower_priority
from egomon.stream.worker import Worker

WAIT_SECONDS = 0.25


class ModelLoader:
    """Loads the models of a run in a thread of its own, from now on.

    First what a plan needs, then the large branch, if the plan uses it.

    Args:
        settings: of the run.
        live: of the run; then the encoder is warmed up too.
        bundle: a loaded bundle; None loads `settings.model.name`.
    """

    def __init__(self, settings: Settings, *, live: bool, bundle: Bundle | None = None) -> None:
        self._settings, self._live, self._bundle = settings, live, bundle
        self._plan: RunPlan | None = None
        self._large: LargeBranch | None = None
        self.notify: Callable[[], None] = lambda: None
        """Called in the loading thread once there is a plan, or none can be had."""
        self._worker = Worker("load", self._load, on_crash=lambda _: self.notify())
        self._worker.start()
        # Whatever ends Python: a thread that is inside a model would abort the process.
        atexit.register(self._worker.join, EXIT_SECONDS)

    @property
    def plan(self) -> RunPlan | None:
        """The plan; None while the models load.

        Raises:
            BaseException: whatever has ended the loading.
        """
        if self._plan is None and self._worker.crash is not None:
            raise self._worker.crash
        return self._plan

    def large(self) -> LargeBranch:
        """Wait for the large branch of a plan that uses one.

        Raises:
            BaseException: whatever has ended its loading.
        """
        while not self._worker.join(WAIT_SECONDS):
            pass
        if self._worker.crash is not None:
            raise self._worker.crash
        assert self._large is not None
        return self._large

    def abandon(self) -> None:
        """Begin with nothing more; Python waits at its end for what is under way."""
        self._worker.stop()
        if not self._worker.alive:
            atexit.unregister(self._worker.join)

    def _load(self, worker: Worker) -> None:
        bundle = self._bundle or load_models(self._settings.model, live=self._live)
        plan = make_plan(bundle, self._settings)
        if self._live:
            warm_up(bundle)
        self._plan = plan
        self.notify()
        if plan.use_large and not worker.stopping:
            if self._live:
                lower_priority()  # as the thread that uses it: it makes threads of its own
            self._large = plan.bundle.load_large(large_endpoint(self._settings.large))


def warm_up(bundle: Bundle) -> None:
    """Encode one blank frame, so that the first real frame does not pay for set-up."""
    encoder = bundle.encoder
    assert encoder is not None
    encoder.encode(np.zeros((1, encoder.image_px, encoder.image_px, 3), np.uint8))


def load_models(model: ModelSettings, *, live: bool) -> Bundle:
    """Load the bundle that the settings name, and set the number of threads.

    Raises:
        BundleError: it cannot be had or used.
    """
    threads = choose_threads(model.threads, live=live)
    bundle = load_bundle(
        model.name, device=model.device, dtype=model.dtype, engine=model.engine, threads=threads
    )
    set_torch_threads(threads)
    return bundle
