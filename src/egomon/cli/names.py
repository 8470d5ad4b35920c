"""Topic names for sources."""

from __future__ import annotations

from pathlib import Path

from egomon.stream.redact import redact
from egomon.stream.source import topic_name


def default_name(reference: str, taken: set[str]) -> str:
    """Choose a topic name for a source: the file's stem or `camN`, made unique.

    >>> default_name("My Video.mp4", set())
    'my-video'
    >>> default_name("0", {"cam0"})
    'cam0-2'
    """
    stem = f"cam{reference}" if reference.isdigit() else Path(redact(reference)).stem
    name = topic_name(stem)
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
