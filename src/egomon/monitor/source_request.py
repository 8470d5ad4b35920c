"""A source to monitor as the user gave it, and how it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from egomon.config_sections import SourceSettings
from egomon.stream.frame import SourceKind
from egomon.stream.source import Source
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.open import examine
from egomon.stream.sources.reference import local_path


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A source to monitor, as the user gave it."""

    name: str
    reference: str
    """Camera number, device path, URL or file."""
    is_live: bool
    source: Source | None = None
    """An open source of the caller's own; None opens `reference`."""
    opened: object = None
    """See `SourceOptions`."""

    @classmethod
    def of(
        cls,
        name: str,
        reference: str,
        kind: SourceKind | None = None,
        settings: SourceSettings | None = None,
    ) -> SourceRequest:
        """Decide whether it is live, unless `kind` or the settings say so.

        Raises:
            SourceOpenError: an HTTP address, which only opening can tell, cannot be opened.
        """
        settings = settings or SourceSettings()
        kind, opened = kind or settings.kind, None
        if kind is None:
            kind, opened = examine(reference, source_options(settings))
        return cls(name, local_path(reference) or reference, kind == "live", opened=opened)


def source_options(settings: SourceSettings) -> SourceOptions:
    """Settings as `open_source` wants them."""
    return SourceOptions(
        open_timeout_seconds=settings.open_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
        rtsp_transport=settings.rtsp_transport,
        wait_source=settings.wait,
        give_up_seconds=settings.give_up_seconds,
        size=settings.camera_size,
        fps=settings.fps,
        certificate=settings.certificate,
        private_key=settings.private_key,
        gaze=settings.gaze,
    )
