"""Loading: the bus is served and sources are announced while the models load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import zmq

from egomon.fusion.media.attach import EvidenceAttacher
from egomon.fusion.messages.types import StatusData
from egomon.fusion.transport.server import EventServer
from egomon.monitor.run_plan import RunPlan
from egomon.monitor.workers.model_loader import ModelLoader
from egomon.stream.channel import WakeUp

# Requests are answered while models load: a supervisor sees that it lives.
POLL_MS = 250


def wait_serving(models: ModelLoader, bus: EventServer, wake: WakeUp) -> RunPlan:
    """Serve the bus in this thread until the models of a plan are loaded.

    Raises:
        BaseException: whatever has ended the loading.
    """
    poller = zmq.Poller()
    poller.register(wake.fileno(), zmq.POLLIN)
    for socket, flags in bus.sockets_to_poll:
        poller.register(socket, flags)
    models.notify = wake.notify
    while (plan := models.plan) is None:
        poller.poll(POLL_MS)
        wake.clear()
        bus.serve()
    wake.notify()  # others may have called meanwhile: whoever serves next looks at once
    return plan


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
