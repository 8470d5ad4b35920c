"""egomon: real-time monitoring of hands-on work from a first-person camera.

Importing this package loads nothing heavy; names are resolved on first use.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Spinning OpenMP workers cost up to five times the throughput when anything else runs on the
# machine; the variables count only if they are set before torch loads its OpenMP runtime.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# Likewise for NumPy's: its products are small here, and threads that wait for the next one took 30
# times the CPU of one thread (two busy cores, one segment: 234 ms for 6).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# ONNX Runtime 1.32 tells its maker that it was used, unless this is set before it is loaded.
# Nothing leaves this machine that its user did not ask for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_HOMES = {
    "AlertSubscriber": "egomon.fusion.transport.subscriber",
    "Bundle": "egomon.branches.load_bundle",
    "Discontinuity": "egomon.stream.source",
    "DeliveryError": "egomon.errors",
    "EgomonError": "egomon.errors",
    "EncoderContext": "egomon.branches.bundle.libraries",
    "EventListener": "egomon.fusion.event_publisher",
    "FeatureSet": "egomon.train.features.feature_set",
    "Frame": "egomon.stream.frame",
    "FrameEncoder": "egomon.branches.interfaces",
    "FrameEncoderCard": "egomon.branches.bundle.card",
    "Grab": "egomon.stream.frame",
    "Message": "egomon.fusion.messages.message",
    "Monitor": "egomon.monitor",
    "MqttSubscriber": "egomon.fusion.transport.mqtt_subscriber",
    "OpenContext": "egomon.stream.source_options",
    "RunSummary": "egomon.monitor",
    "Segment": "egomon.stream.frame",
    "Settings": "egomon.config",
    "Sink": "egomon.fusion.sinks.sink",
    "SinkContext": "egomon.fusion.sinks.sink",
    "Source": "egomon.stream.source",
    "SourceInfo": "egomon.stream.frame",
    "SourceListener": "egomon.stream.source",
    "SourceOptions": "egomon.stream.source_options",
    "SourceRequest": "egomon.monitor",
    "StateChange": "egomon.stream.source",
    "load_bundle": "egomon.branches.load_bundle",
    "load_settings": "egomon.config",
    "open_source": "egomon.stream.sources.open",
}

if TYPE_CHECKING:
    from egomon import train
    from egomon.branches.bundle.card import FrameEncoderCard
    from egomon.branches.bundle.libraries import EncoderContext
    from egomon.branches.interfaces import FrameEncoder
    from egomon.branches.load_bundle import Bundle, load_bundle
    from egomon.config import Settings, load_settings
    from egomon.errors import DeliveryError, EgomonError
    from egomon.fusion.event_publisher import EventListener
    from egomon.fusion.messages.message import Message
    from egomon.fusion.sinks.sink import Sink, SinkContext
    from egomon.fusion.transport.mqtt_subscriber import MqttSubscriber
    from egomon.fusion.transport.subscriber import AlertSubscriber
    from egomon.monitor import Monitor, RunSummary, SourceRequest
    from egomon.stream.frame import Frame, Grab, Segment, SourceInfo
    from egomon.stream.source import Discontinuity, Source, SourceListener, StateChange
    from egomon.stream.source_options import OpenContext, SourceOptions
    from egomon.stream.sources.open import open_source
    from egomon.train.features.feature_set import FeatureSet

__all__ = [
    "AlertSubscriber",
    "Bundle",
    "DeliveryError",
    "Discontinuity",
    "EgomonError",
    "EncoderContext",
    "EventListener",
    "FeatureSet",
    "Frame",
    "FrameEncoder",
    "FrameEncoderCard",
    "Grab",
    "Message",
    "Monitor",
    "MqttSubscriber",
    "OpenContext",
    "RunSummary",
    "Segment",
    "Settings",
    "Sink",
    "SinkContext",
    "Source",
    "SourceInfo",
    "SourceListener",
    "SourceOptions",
    "SourceRequest",
    "StateChange",
    "__version__",
    "load_bundle",
    "load_settings",
    "open_source",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "train":  # a package of its own, see there
        return importlib.import_module("egomon.train")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'egomon' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
