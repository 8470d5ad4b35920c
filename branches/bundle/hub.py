"""Access to the model hub that fails in seconds, not minutes, where there is no network.

The hub clients retry each of several files for a long time when no connection is possible: 20 to
140 seconds before an error. A short probe decides once; where it fails, the clients are put in
their offline mode for the call, so that cached files are still found and missing ones fail at
once. Nothing changes where the hub answers, nor where the user set HF_HUB_OFFLINE.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from egomon.errors import BundleError
from egomon.extras import needs_extra

# The hub's own client waits much longer where a firewall swallows packets.
PROBE_SECONDS = 3.0
# One command asks for several files: they need not each wait for the probe.
_MEMORY_SECONDS = 60.0

_lock = threading.RLock()
_last: tuple[float, str, bool] | None = None


def hub_reachable(timeout_seconds: float = PROBE_SECONDS) -> bool:
    """Return whether a TCP connection to the hub (or to the proxy before it) opens in time.

    The answer is remembered for a minute.
    """
    global _last
    host, port = _hub_address()
    key = f"{host}:{port}"
    with _lock:
        if _last and _last[1] == key and time.monotonic() - _last[0] < _MEMORY_SECONDS:
            return _last[2]
        reachable = _connects(host, port, timeout_seconds)
        _last = (time.monotonic(), key, reachable)
        return reachable


def _hub_address() -> tuple[str, int]:
    from huggingface_hub import constants

    url = urllib.parse.urlsplit(constants.ENDPOINT)
    host = url.hostname or "huggingface.co"
    port = url.port or (80 if url.scheme == "http" else 443)
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname or host, parts.port or 80
    return host, port


def _connects(host: str, port: int, timeout_seconds: float) -> bool:
    # Name resolution ignores socket time-outs, hence a thread that may be left behind.
    done: list[bool] = []

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_seconds).close()
            done.append(True)
        except OSError:
            done.append(False)

    thread = threading.Thread(target=attempt, name="hub-probe", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return bool(done and done[0])


@contextmanager
def hub_access() -> Iterator[None]:
    """Context in which hub clients work as usual, or offline if the hub cannot be reached."""
    from huggingface_hub import constants

    with _lock:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = before or not hub_reachable()
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def offline_hint() -> str:
    """End of an error message about a download, saying whether the network was missing."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so nothing was downloaded"
    if not hub_reachable():
        return f"the hub ({constants.ENDPOINT}) cannot be reached from here"
    return "check the name and your access to it"


def download_folder(hub_id: str, patterns: list[str]) -> Path:
    """Download (or find in the cache) those files of a hub repository.

    Raises:
        BundleError: if that fails, within seconds where there is no network.
    """
    with needs_extra("a bundle of the model hub", "hub"):
        from huggingface_hub import snapshot_download

    if os.sep != "/" and os.sep in hub_id:
        raise BundleError(f"{hub_id!r} is not a hub id owner/name")
    try:
        with hub_access():
            return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"{hub_id!r} is no folder here and could not be fetched from the model hub: "
            f"{offline_hint()}, or give a local folder instead"
        ) from error
