"""Pupil Labs glasses: found by their announcement, asked where their scene camera and gaze are.

The phone that carries the glasses announces `PI monitor:<phone>:<hardware>` over mDNS and answers
`GET /api/status` with one object for the phone and one for each sensor (Pupil Labs' Real-Time
API). No more of that API is needed to find the streams, so only `zeroconf` is: the vendor's own
package sets FFmpeg's log level when imported, which can hang a frame-threaded decoder.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from egomon.errors import MissingExtraError, SourceOpenError

SERVICE = "_http._tcp.local."
ANNOUNCED = "PI monitor"
DEFAULT_PORT = 8080
# Real ones have a few KB; the other end may be anything that listens there.
MOST_STATUS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Glasses:
    """One phone with glasses."""

    phone: str
    """Name that its owner gave the phone."""
    host: str
    port: int

    @property
    def reference(self) -> str:
        """Reference for `--device`."""
        return f"pupil://{self.host}:{self.port}"


def require_discovery() -> None:
    """Check that announcements can be received.

    Raises:
        MissingExtraError: the package for it is not installed.
    """
    try:
        import zeroconf  # noqa: F401
    except ImportError:
        feature = "looking for Pupil Labs glasses (pupil:// without an address)"
        raise MissingExtraError(feature, "pupil") from None


def find_glasses(
    timeout_seconds: float, *, first: bool = False, interfaces: Sequence[str] | None = None
) -> list[Glasses]:
    """Listen for announcements.

    Args:
        timeout_seconds: how long.
        first: stop at the first glasses.
        interfaces: own addresses to listen at; None = all.

    Raises:
        MissingExtraError: the package for it is not installed.
        SourceOpenError: this machine has no network to listen at.
    """
    require_discovery()
    from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, ServiceStateChange, Zeroconf

    found: dict[str, Glasses] = {}
    lock, enough = threading.Lock(), threading.Event()

    def heard(
        zeroconf: Any, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if name.split(":")[0] != ANNOUNCED or state_change is ServiceStateChange.Removed:
            return
        info = zeroconf.get_service_info(service_type, name, int(timeout_seconds * 1000))
        addresses = info.parsed_addresses(IPVersion.V4Only) if info is not None else []
        if not addresses or not info.port:
            return
        with lock:
            found[name] = Glasses(_phone(name), addresses[0], info.port)
        if first:
            enough.set()

    choice = InterfaceChoice.All if interfaces is None else list(interfaces)
    try:
        network = Zeroconf(interfaces=choice, ip_version=IPVersion.V4Only)
    except OSError as error:
        text = f"cannot look for glasses: {error.strerror or error}; give pupil://ADDRESS"
        raise SourceOpenError(text, code="DEVICE_NOT_FOUND") from None
    try:
        browser = ServiceBrowser(network, SERVICE, handlers=[heard])
        enough.wait(timeout_seconds)
        browser.cancel()
    finally:
        network.close()
    with lock:
        return sorted(found.values(), key=lambda glasses: (glasses.phone, glasses.host))


def scene_url(host: str, port: int, timeout_seconds: float) -> str:
    """RTSP address of the scene camera, as the phone says.

    Raises:
        SourceOpenError: no glasses answer there, or their scene camera is off.
    """
    url = _sensor_url("world", host, port, timeout_seconds)
    if url is None:
        text = f"the scene camera of {_shown(host, port)} is off; plug the glasses into the phone"
        raise SourceOpenError(text, code="DEVICE_NOT_FOUND")
    return url


def gaze_url(host: str, port: int, timeout_seconds: float) -> str:
    """RTSP address of the gaze, as the phone says.

    Raises:
        SourceOpenError: no glasses answer there, or they give no gaze.
    """
    url = _sensor_url("gaze", host, port, timeout_seconds)
    if url is None:
        text = f"{_shown(host, port)} gives no gaze; is it on in the Companion app?"
        raise SourceOpenError(text, code="DEVICE_NOT_FOUND")
    return url


def _shown(host: str, port: int) -> str:
    return f"pupil://{host}:{port}"


def _sensor_url(name: str, host: str, port: int, timeout_seconds: float) -> str | None:
    for component in _status(host, port, _shown(host, port), timeout_seconds):
        match component:
            case {
                "model": "Sensor",
                "data": {
                    "sensor": sensor_name,
                    "conn_type": "DIRECT",
                    "connected": True,
                    "ip": str(address),
                    "port": int(rtsp_port),
                } as sensor,
            } if sensor_name == name:
                return f"rtsp://{address}:{rtsp_port}/?{sensor.get('params') or ''}"
    return None


def _status(host: str, port: int, shown: str, timeout_seconds: float) -> list[Any]:
    # A proxy of this machine knows nothing of a phone in this network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{port}/api/status", timeout=timeout_seconds) as answer:
            components = json.loads(answer.read(MOST_STATUS_BYTES))["result"]
    except TimeoutError:
        raise _silent(shown) from None
    except urllib.error.HTTPError as error:
        error.close()
        raise _others(shown) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _silent(shown) from None
        text = f"nothing listens at {shown}; is the Companion app open, in this network?"
        raise SourceOpenError(text, code="STREAM_NOT_FOUND") from None
    except OSError:
        text = f"{shown} hung up; is the Companion app still open?"
        raise SourceOpenError(text, code="STREAM_NOT_FOUND") from None
    except (ValueError, KeyError, TypeError):
        raise _others(shown) from None
    if not isinstance(components, list):
        raise _others(shown)
    return components


def _silent(shown: str) -> SourceOpenError:
    text = f"{shown} did not answer in time; is it the right address?"
    return SourceOpenError(text, code="STREAM_TIMEOUT")


def _others(shown: str) -> SourceOpenError:
    text = f"{shown} does not answer like Pupil Labs glasses; is it the phone's address?"
    return SourceOpenError(text, code="STREAM_NOT_FOUND")


def _phone(name: str) -> str:
    return name.removesuffix(f".{SERVICE}").split(":")[1] if ":" in name else name
