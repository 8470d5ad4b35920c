"""What `teach` is given: recordings of one workflow, or a folder of recordings for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egomon.errors import UsageError
from egomon.train.extraction.find_videos import VIDEO_SUFFIXES

MOST_WORKFLOWS = 8
"""Each costs a filter beside the encoder."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A correct recording."""

    path: Path
    workflow: str = ""
    """Name of the folder that it was given by; empty where all show one workflow."""


def find_demonstrations(
    paths: Sequence[Path], known: Sequence[str] | None = None
) -> list[Demonstration]:
    """Recordings of files, or of folders: several folders are a workflow each, called like them.

    Args:
        paths: video files, or folders with video files in them.
        known: workflows of the bundle to which these are added; empty = it has one, None = there
            is no bundle.

    Raises:
        UsageError: a path is missing or holds no video, files and folders are mixed, two folders
            or two recordings have one name, or it is not said which workflow is added to.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"no such recording: {missing[0]}")
    folders = [path.resolve() for path in paths if path.is_dir()]
    if folders and len(folders) < len(paths):
        raise UsageError(
            "give recordings of one workflow as files, or one folder of recordings for each "
            "workflow; not both"
        )
    if not folders:
        if known:
            raise UsageError(
                f"the bundle knows {len(known)} workflows; give a folder of recordings that is "
                f"called like one of them: {', '.join(known)}"
            )
        return [Demonstration(path) for path in paths]
    several = len(folders) > 1 or bool(known)
    if known is not None and not known and several:
        raise UsageError(
            "the bundle has one workflow, without a name; teach again from a folder for each"
        )
    names = [folder.name for folder in folders]
    _unique(names, "folders")
    many = len({*names, *(known or ())})
    if many > MOST_WORKFLOWS:
        raise UsageError(
            f"{many} workflows, and a bundle holds {MOST_WORKFLOWS}; teach two bundles"
        )
    found = [
        Demonstration(path, folder.name if several else "")
        for folder in folders
        for path in _videos(folder)
    ]
    _unique([demonstration.path.name for demonstration in found], "recordings")
    return found


def _videos(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise UsageError(f"{folder.name} holds no recording ({', '.join(VIDEO_SUFFIXES)})")
    return found


def _unique(names: Sequence[str], what: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two {what} are called {twice}; give each a name of its own")
