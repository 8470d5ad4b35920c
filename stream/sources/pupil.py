"""Pupil Labs glasses: their phone says where its RTSP stream is, the network source reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from egomon.errors import MissingExtraError, SourceOpenError
from egomon.stream.options import SourceOptions
from egomon.stream.source import Source, SourceListener
from egomon.stream.sources.network import open_stream

DEFAULT_PORT = 8080


def open_pupil(
    reference: str,
    name: str,
    options: SourceOptions,
    listener: SourceListener,
    clock: Callable[[], float],
    stop: threading.Event | None = None,
) -> Source:
    """Open the scene camera of the glasses at `pupil://host[:port]`, or of the first ones found.

    Raises:
        MissingExtraError: the package is not installed.
        SourceOpenError: no glasses answer, or their scene camera is off.
    """
    url = scene_url(reference, options.open_timeout_seconds)
    return open_stream(url, name, "live", options, listener, clock, stop)


def scene_url(reference: str, timeout_seconds: float) -> str:
    """RTSP address of the scene camera."""
    try:
        from pupil_labs.realtime_api.simple import Device, discover_one_device
    except ImportError:
        raise MissingExtraError("pupil:// (Pupil Labs glasses)", "pupil") from None
    parts = urlsplit(reference)
    if parts.hostname:
        device = Device(parts.hostname, parts.port or DEFAULT_PORT)
    else:
        device = discover_one_device(max_search_duration_seconds=timeout_seconds)
    if device is None:
        text = "no Pupil glasses found; is the phone in this network? try pupil://ADDRESS"
        raise SourceOpenError(text, code="DEVICE_NOT_FOUND")
    try:
        sensor = device.world_sensor()
        if sensor is None or not sensor.connected or sensor.url is None:
            text = "the Pupil scene camera is off; plug the glasses into the phone"
            raise SourceOpenError(text, code="DEVICE_NOT_FOUND")
        return str(sensor.url)
    finally:
        device.close()
