"""A small picture of each alert, taken from recordings and clips on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from egomon.errors import SourceOpenError
from egomon.fusion.messages.types import AlertData, Data

logger = logging.getLogger(__name__)

WIDTH_PX = 240
MOST_STILLS = 300
MOST_STILLS_BYTES = 3_000_000
"""Most bytes of all pictures of a page; later alerts have none."""
SEEK_SECONDS = 10.0
"""Shorter jumps cost more than decoding on, seconds."""


def alert_stills(
    events: Iterable[tuple[str, Data]],
    videos: Mapping[str, Path],
    clips: Mapping[str, Path] | None = None,
) -> dict[str, bytes]:
    """Make JPEGs, at most 240 px wide, by alert id; bounded in number and bytes.

    Args:
        events: source name and event; the picture is of each alert's first segment.
        videos: recording by source name.
        clips: an alert's own clip by its id, used where there is no recording. Neither is ever
            taken from a message: an address in an alert is only text.

    A recording that cannot be read gives no pictures; that is logged.
    """
    moments: dict[str, dict[str, float]] = {}
    for source, data in events:
        if isinstance(data, AlertData):
            middle = (data.segment.media_start + data.segment.media_end) / 2
            moments.setdefault(source, {}).setdefault(data.alert_id, middle)
    found: dict[str, bytes] = {}
    left = MOST_STILLS_BYTES
    for alert_id, jpeg in _all_stills(moments, videos, clips or {}):
        left -= len(jpeg)
        if left < 0 or len(found) >= MOST_STILLS:
            logger.info("the page holds %d pictures; later alerts go without", len(found))
            break
        found[alert_id] = jpeg
    return found


def _all_stills(
    moments: Mapping[str, Mapping[str, float]],
    videos: Mapping[str, Path],
    clips: Mapping[str, Path],
) -> Iterator[tuple[str, bytes]]:
    for source, wanted in moments.items():
        if source in videos:
            order = sorted(wanted, key=wanted.__getitem__)
            jpegs = _stills(videos[source], [wanted[alert_id] for alert_id in order])
            yield from zip(order, jpegs, strict=False)
            continue
        for alert_id in wanted:
            if alert_id in clips:
                yield from ((alert_id, jpeg) for jpeg in _stills(clips[alert_id], [None]))


def _stills(video: Path, moments: Sequence[float | None]) -> Iterator[bytes]:
    """Yield one JPEG for each ascending time until the recording ends; None is its middle."""
    import av

    from egomon.stream.pictures.jpeg import jpeg_of
    from egomon.stream.pictures.scaling import shrunk
    from egomon.stream.sources.decoding.container import open_container, video_stream
    from egomon.stream.sources.decoding.decode import Converter

    try:
        # As `file:`, no part of a name is taken for a protocol.
        with open_container(f"file:{video}", options={}, again=True) as container:
            stream = video_stream(container, video.name)
            upright = Converter(stream.sample_aspect_ratio)
            middle = (container.duration or 0) / av.time_base / 2
            first = next(container.decode(stream), None)
            begin = first.time if first is not None and first.time is not None else 0.0
            last = 0.0  # as everywhere, seconds count from the first frame
            for wanted in moments:
                moment = middle if wanted is None else wanted
                if moment - last > SEEK_SECONDS:
                    container.seek(int((begin + moment) * av.time_base))
                shown = None
                for frame in container.decode(stream):
                    shown, last = frame, (frame.time or begin) - begin
                    if last >= moment:
                        break
                if shown is None:
                    return
                yield jpeg_of(shrunk(upright(shown), WIDTH_PX))
    except (OSError, SourceOpenError, av.FFmpegError) as error:
        logger.warning("no pictures from %s: %s", video.name, error)
