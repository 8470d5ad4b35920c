"""Names and addresses of sources and sinks, as they stand on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from egomon.errors import UsageError
from egomon.stream.redact import redact
from egomon.stream.source import topic_name

# Of the first line of a file.
_LONGEST_BYTES = 64 << 10


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


def dereference(text: str, *, option: str) -> str:
    """Read `@FILE` (its first line) or `env:NAME`; any other text is the address itself.

    The command line is seen by every user of the machine, passwords in it too.

    Raises:
        UsageError: there is no such file or variable, or it is empty.
    """
    if text.startswith("@"):
        found = _first_line(Path(text[1:]), option)
    elif text.startswith("env:"):
        found = os.environ.get(text[4:], "").strip()
    else:
        return text
    if not found:
        raise UsageError(f"{option} {text}: nothing is in there; write the address into it")
    return found


def _first_line(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(_LONGEST_BYTES).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{option} @{path} cannot be read ({why}); give a text file") from error
