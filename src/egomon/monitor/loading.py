"""Loading: models load in a thread of their own while this one serves the bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import zmq

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.threads import choose_threads, set_torch_threads
from egomon.config_sections import ModelSettings
from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.messages.types import StatusData
from egomon.fusion.transport.server import EventServer
from egomon.monitor.run_plan import RunPlan
from egomon.stream.channel import WakeUp
from egomon.stream.worker import Worker

# Requests are answered while models load: a supervisor sees that it lives.
POLL_MS = 250


def load_serving(load: Callable[[], RunPlan], bus: EventServer, wake: WakeUp) -> RunPlan:
    """Call `load` in another thread and serve the bus in this one until it returns.

    Raises:
        BaseException: whatever `load` raised.
    """
    found: list[RunPlan] = []

    def body(worker: Worker) -> None:
        found.append(load())
        wake.notify()

    worker = Worker("load", body, on_crash=lambda _: wake.notify())
    worker.start()
    poller = zmq.Poller()
    poller.register(wake.fileno(), zmq.POLLIN)
    for socket, flags in bus.sockets_to_poll:
        poller.register(socket, flags)
    while not found and worker.crash is None:
        poller.poll(POLL_MS)
        wake.clear()
        bus.serve()
    wake.notify()  # others may have called meanwhile: whoever serves next looks at once
    if worker.crash is not None:
        raise worker.crash
    return found[0]


@contextmanager
def announced(attacher: EvidenceAttacher, sources: Sequence[str]) -> Iterator[None]:
    """Publish that sources are connecting; if loading fails, publish that they have ended.

    The same after a signal: subscribers must not wait for a monitor that has ended.
    """
    for source in sources:
        attacher.emit(source, StatusData(source_state="connecting"))
    try:
        yield
    except BaseException:
        for source in sources:
            attacher.emit(source, StatusData(source_state="ended"))
        raise


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
