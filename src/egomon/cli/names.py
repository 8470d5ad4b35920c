"""Topic names for sources."""

from __future__ import annotations

from pathlib import Path

from egomon.stream.redact import redact
from egomon.stream.source import topic_name


def default_name(reference: str, taken: set[str], *, live: bool = False) -> str:
    """Choose a topic name for a source: the file's stem or `camN`, made unique.

    The path of a live stream's address names its server's business, no camera.

    >>> default_name("My Video.mp4", set())
    'my-video'
    >>> default_name("0", {"cam0"})
    'cam0-2'
    >>> default_name("rtsp://10.0.0.5/stream1", set(), live=True)
    'camera'
    """
    if reference.isdigit():
        stem = f"cam{reference}"
    elif live and "://" in reference:
        stem = "camera"
    else:
        stem = Path(redact(reference)).stem
    name = topic_name(stem)
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
