"""Writes the report of a run."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from egomon.errors import DataError
from egomon.fusion.messages.types import Data
from egomon.report.html import build_page
from egomon.report.page import PageModel

EMBED_BYTES = 8_000_000
"""Smaller videos are embedded in the page, bytes."""
# A report goes by mail.
MOST_PICTURE_BYTES = 2_000_000
VIDEO_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
"""Containers that browsers play and that may be embedded."""
PICTURE_STARTS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"RIFF": "image/webp",
}


def write_report(
    events: Iterable[tuple[str, Data]],
    out: Path,
    *,
    title: str,
    video: Path | None = None,
    bundle: Mapping[str, Any] | None = None,
    media: Mapping[str, bytes | Path] | None = None,
) -> Path:
    """Write one self-contained HTML page about a run.

    Args:
        events: source name and wire data, oldest first.
        out: the page; replaced as a whole.
        title: heading of the page.
        video: the recording, shown beside the timeline: inside the page below 8 MB, else as a
            link relative to the page.
        bundle: facts about the model, shown as they are.
        media: picture (JPEG, PNG or WebP) of an alert by its id.

    Returns:
        `out`.

    Raises:
        DataError: the page cannot be written, or a picture cannot be read.
    """
    title = _utf8(title)
    model = PageModel()
    for source, data in events:
        model.apply(source, data)
    pictures = {key: _picture(key, value) for key, value in (media or {}).items()}
    page = build_page(
        model.as_data(
            title=title,
            live=False,
            bundle={key: _utf8(str(value)) for key, value in (bundle or {}).items()},
            video=None if video is None else _video(video, out),
            pictures=pictures,
        ),
        title=title,
    )
    _replace(out, page)
    return out


def _picture(alert_id: str, value: bytes | Path) -> str:
    try:
        body = value if isinstance(value, bytes) else value.read_bytes()
    except OSError as error:
        raise DataError(f"the picture of alert {alert_id} cannot be read: {error}") from error
    kind = next((name for start, name in PICTURE_STARTS.items() if body.startswith(start)), None)
    if kind is None or len(body) > MOST_PICTURE_BYTES:
        raise DataError(
            f"the picture of alert {alert_id} is no JPEG, PNG or WebP below "
            f"{MOST_PICTURE_BYTES // 1_000_000} MB; give another or none"
        )
    return _data_uri(kind, body)


def _video(video: Path, out: Path) -> dict[str, str]:
    kind = VIDEO_TYPES.get(video.suffix.lower())
    try:
        if kind is not None and video.stat().st_size < EMBED_BYTES:
            return {"src": _data_uri(kind, video.read_bytes()), "name": _utf8(video.name)}
        relative = os.path.relpath(video.resolve(), out.resolve().parent)
    except OSError as error:
        raise DataError(f"the video {video} cannot be read: {error.strerror}") from error
    return {"src": quote(os.fsencode(Path(relative).as_posix())), "name": _utf8(video.name)}


def _data_uri(kind: str, body: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


def _replace(out: Path, page: str) -> None:
    """Replace the page at once: readers never see half of one."""
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        # For its owner only: it shows pictures of a person at work.
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(file, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(page)
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(f"cannot write the report {out}: {error.strerror}") from error


def _utf8(text: str) -> str:
    """Bytes of a file name that are no UTF-8 become question marks; nothing else changes."""
    return text.encode(errors="replace").decode()
