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

__version__ = "0.1.0"

_HOMES = {
    "AlertSubscriber": "egomon.fusion.transport.subscriber",
    "EgomonError": "egomon.errors",
    "Frame": "egomon.stream.frame",
    "Monitor": "egomon.monitor",
    "Segment": "egomon.stream.frame",
    "Source": "egomon.stream.source",
    "load_bundle": "egomon.branches.load_bundle",
    "open_source": "egomon.stream.sources.open",
}

if TYPE_CHECKING:
    from egomon.branches.load_bundle import load_bundle
    from egomon.errors import EgomonError
    from egomon.fusion.transport.subscriber import AlertSubscriber
    from egomon.monitor import Monitor
    from egomon.stream.frame import Frame, Segment
    from egomon.stream.source import Source
    from egomon.stream.sources.open import open_source

__all__ = [
    "AlertSubscriber",
    "EgomonError",
    "Frame",
    "Monitor",
    "Segment",
    "Source",
    "__version__",
    "load_bundle",
    "open_source",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'egomon' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
