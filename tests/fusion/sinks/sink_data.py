"""Hands messages to the worker of a sink, as a run does."""

from __future__ import annotations

from egomon.fusion.messages.envelope import encode, kind_of
from egomon.fusion.messages.message import Message
from egomon.fusion.sinks.worker import SinkWorker
from egomon.fusion.store.tables import StoredEvent

SECONDS = 10.0


def stored(message: Message) -> StoredEvent:
    envelope = message.envelope
    return StoredEvent(
        *(envelope.boot, envelope.seq, envelope.tseq, message.topic),
        *(kind_of(message.data), 0, encode(envelope)),
    )


def hand_over(worker: SinkWorker, *messages: Message) -> None:
    for message in messages:
        worker.put(stored(message), message.data, message.attachments)


def end(worker: SinkWorker) -> None:
    worker.finish()
    worker.join(SECONDS)
