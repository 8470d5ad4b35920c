"""Folders of feature sets: a path here, or an address that fsspec knows, such as `s3://`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from egomon.errors import UsageError
from egomon.extras import needs_extra
from egomon.stream.redact import redact


def open_folder(text: str) -> Path:
    """The folder, which need not be there yet.

    An address gives an object with the methods of `Path` (universal_pathlib's `UPath`).

    Args:
        text: a path, or `PROTOCOL://...`; keys come from the protocol's own settings, for `s3://`
            `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_ENDPOINT_URL` or `~/.aws`.

    Raises:
        MissingExtraError: the packages for addresses are not installed.
        UsageError: the protocol is unknown, or the address does not answer or lets nobody in.
    """
    if "://" not in text:
        return Path(text)
    protocol, shown = text.partition("://")[0], redact(text)
    with needs_extra(f"{protocol}://", "s3"):
        from upath import UPath

        try:
            folder = UPath(text)
            # Whether it is there or not: the protocol, the far side and the keys are tried.
            folder.fs.exists(folder.path)
        except ModuleNotFoundError:
            raise
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"{shown}: {protocol}:// is no address of a folder: {error}"
            ) from error
        except Exception as error:  # each protocol has exceptions of its own
            raise UsageError(
                f"{shown} cannot be reached: {redact(str(error)) or type(error).__name__}; check "
                "address, keys and network"
            ) from error
    return cast(Path, folder)


def absolute(folder: Path) -> str:
    """A folder as text, for a process in another folder."""
    return str(folder.resolve() if isinstance(folder, Path) else folder)
