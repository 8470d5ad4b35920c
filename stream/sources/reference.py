"""What the user wrote: a file that exists comes before any form that its name resembles."""

from __future__ import annotations

import os
import stat
from urllib.parse import unquote_to_bytes

STDIN = "-"
_STDIN_PATHS = {STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}


def local_path(reference: str) -> str | None:
    """The path of the file or pipe that a reference means; None if it is none.

    A name is a file where one exists, also one that looks like a camera number (`1`), an address
    (`10:30:15.mp4`) or a device (`/dev/shm/a.mp4`). `file:` addresses are always paths, with
    %-escapes or without; `-` is the standard input.

    >>> local_path("file:///tmp/My%20Video.mp4"), local_path("rtsp://camera/1")
    ('/tmp/My Video.mp4', None)
    """
    if reference in _STDIN_PATHS:
        mode = _mode("/dev/stdin")
        return "/dev/stdin" if mode is not None and stat.S_ISREG(mode) else STDIN
    if reference[:5].lower() == "file:":
        return _path_of(reference[5:])
    mode = _mode(reference)
    return None if mode is None or stat.S_ISCHR(mode) else reference


def is_pipe(path: str) -> bool:
    """Whether a path is the standard input or a named pipe: it cannot be read twice."""
    mode = None if path == STDIN else _mode(path)
    return path == STDIN or (mode is not None and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)))


def printable(path: str) -> str:
    """A path as text: names may hold bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _path_of(rest: str) -> str:
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path if host in ("", "localhost") else rest
    unescaped = os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
    return rest if _mode(unescaped) is None and _mode(rest) is not None else unescaped


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None
