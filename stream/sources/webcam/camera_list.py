"""Lists the cameras of this machine from Linux's own folders, without opening them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """One camera. Its modes are not listed: asking for them means opening it."""

    index: int
    """Number of `/dev/videoN`; changes when cameras are plugged in another order."""
    path: str
    """`/dev/v4l/by-id/...` where there is one: the same camera after a reboot; else /dev/videoN."""
    name: str
    """Name that the driver gives it."""


def list_devices(
    *, sys_root: Path = Path("/sys/class/video4linux"), dev_root: Path = Path("/dev")
) -> list[CameraDevice]:
    """List cameras by number; empty without cameras or without Video4Linux."""
    stable = _stable_paths(dev_root)
    found = []
    for entry in sys_root.glob("video*") if sys_root.is_dir() else ():
        number = entry.name.removeprefix("video")
        # One camera makes several nodes; all but the first carry metadata, not pictures.
        if not number.isdigit() or _text(entry / "index", "0") != "0":
            continue
        path = stable.get(entry.name, str(dev_root / entry.name))
        found.append(CameraDevice(int(number), path, _text(entry / "name", entry.name)))
    return sorted(found, key=lambda device: device.index)


def _stable_paths(dev_root: Path) -> dict[str, str]:
    folder = dev_root / "v4l" / "by-id"
    if not folder.is_dir():
        return {}
    return {link.resolve().name: str(link) for link in sorted(folder.iterdir(), reverse=True)}


def _text(path: Path, default: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or default
    except OSError:
        return default


def describe_devices(devices: list[CameraDevice]) -> str:
    """Describe the cameras that exist, for messages."""
    if not devices:
        return "none is plugged in; give --device URL, or try `egomon replay FILE`"
    return "there is " + ", ".join(f"{device.index} ({device.name})" for device in devices)
