"""From what the user wrote to a sink: `file:PATH`, `https://...`, or a name of a package."""

from __future__ import annotations

from egomon.errors import UsageError
from egomon.fusion.sinks.sink import Sink
from egomon.plugins import Plugin, PluginRegistry
from egomon.stream.redact import redact

SINKS = PluginRegistry(
    "egomon.sinks",
    "sink",
    {
        "apprise": "egomon.fusion.sinks.notices.notify:AppriseSink",
        "exec": "egomon.fusion.sinks.command:CommandSink",
        "file": "egomon.fusion.sinks.file:FileSink",
        "http": "egomon.fusion.sinks.webhook:WebhookSink",
        "https": "egomon.fusion.sinks.webhook:WebhookSink",
        "mqtt": "egomon.fusion.sinks.mqtt:MqttSink",
        "mqtts": "egomon.fusion.sinks.mqtt:MqttSink",
        "say": "egomon.fusion.sinks.notices.speech:SpeechSink",
        "sound": "egomon.fusion.sinks.notices.speech:SoundSink",
    },
)
"""name -> function (reference) -> Sink; the name is what stands before the first colon."""


def find_sink(reference: str) -> Plugin:
    """Find the plug-in for the sink of a reference; nothing is made or imported.

    Raises:
        UsageError: no sink has this name.
        PluginError: several packages bring it.
    """
    name, colon, _ = reference.partition(":")
    plugin = SINKS.find(name.lower()) if colon else None
    if plugin is None:
        known = ", ".join(f"{each}:..." for each in SINKS.names())
        raise UsageError(f"{redact(reference)!r} is no sink; give one of: {known}")
    return plugin


def make_sink(reference: str) -> Sink:
    """The sink of a reference, not yet open.

    Raises:
        UsageError: no sink has this name, or it does not take this reference.
        PluginError: its plug-in cannot be used.
    """
    sink: Sink = SINKS.make(find_sink(reference), Sink, reference)
    return sink
