"""Contract of every sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from egomon.fusion.sinks.sink import Sink, SinkContext
from egomon.testing.expect import expect, in_thread
from egomon.testing.messages import sample_messages

SECONDS = 10.0


def check_sink(factory: Callable[[], Sink]) -> None:
    """Run a sink as the monitor does, twice, and compare with what `Sink` promises.

    Args:
        factory: makes the sink anew, not yet open; it must have somewhere to write.

    Raises:
        AssertionError: a promise is not kept.
    """
    unopened = factory()
    expect(
        isinstance(unopened, Sink),
        f"an object of type {type(unopened).__name__} is no sink: open, send or close is missing",
    )
    _in_one_thread([("close", unopened.close)])
    for _ in range(2):
        sink, context = factory(), SinkContext(sources=("cam0",), boot="test")
        sends = [("send", partial(sink.send, message)) for message in sample_messages()]
        closes = [("close", sink.close), ("a second close", sink.close)]
        _in_one_thread([("open", partial(sink.open, context)), *sends, *closes])


def _in_one_thread(steps: Sequence[tuple[str, Callable[[], None]]]) -> None:
    """As a sink is used: in a thread that did not make it, and always the same one."""

    def run() -> None:
        for name, step in steps:
            try:
                step()
            except Exception as error:
                told = f"{name} raises {type(error).__name__}: {error}"
                raise AssertionError(told) from error

    names = ", ".join(dict.fromkeys(name for name, _ in steps))
    in_thread(run, SECONDS, f"{names} together take more than {SECONDS:g} s")
