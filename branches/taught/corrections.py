"""What people said of a taught bundle's alerts, as a file beside its card (`feedback.toml`).

Each row moves the odds of one kind of mistake, most at the step that it was about. Taking a row
away undoes it.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

from egomon.branches.taught.workflow_file import toml_string
from egomon.errors import BundleError

FEEDBACK_FILE = "feedback.toml"
MistakeName = Literal["missing", "repeated", "stopped", "foreign", "long"]
Said = Literal["right", "wrong", "missed"]

PRIOR_WORDS = 0.5
"""Words for and against that count as said before any was."""
ELSEWHERE = 0.25
"""Weight of words about other steps."""
MOST_ROWS = 10_000

_HEADER = """\
# What was said of alerts. Each row makes its kind of mistake more or less likely, most at its step.
# Delete a row, or this file, to undo it.
"""


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row."""

    said: Said
    kind: MistakeName
    step: str = ""
    """Id of the step at which it was told or missed; empty = any."""
    alert: str = ""
    """Id of the alert; empty for one that was missed."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    row: tuple[Correction, ...] = ()


def read_corrections(folder: Path) -> tuple[Correction, ...]:
    """Rows of a bundle's file; none where there is no file.

    Raises:
        BundleError: the file breaks the format.
    """
    path = folder / FEEDBACK_FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = msgspec.convert(data, type=_File).row
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BundleError(f"{path}: {error}; correct or delete it") from error
    return rows


def write_corrections(folder: Path, rows: Sequence[Correction]) -> None:
    """Replace a bundle's file, the newest rows where there are too many; no rows, no file.

    Raises:
        BundleError: it cannot be written.
    """
    path = folder / FEEDBACK_FILE
    lines = [_HEADER]
    for row in rows[-MOST_ROWS:]:
        fields = ("said", "kind", "step", "alert")
        lines.append("[[row]]")
        lines += [f"{name} = {toml_string(getattr(row, name))}" for name in fields]
        lines.append("")
    scratch = path.with_suffix(f".{os.getpid()}.part")
    try:
        if not rows:
            path.unlink(missing_ok=True)
            return
        scratch.write_text("\n".join(lines), encoding="utf-8")
        os.replace(scratch, path)
    except OSError as error:
        raise BundleError(f"{path} cannot be written ({error.strerror})") from error


def with_row(rows: Sequence[Correction], new: Correction) -> tuple[Correction, ...]:
    """Rows and a new one, in the place of an older one about the same alert."""
    return (*without_alert(rows, new.alert), new)


def without_alert(rows: Sequence[Correction], alert: str) -> tuple[Correction, ...]:
    """Rows that are not about this alert."""
    return tuple(row for row in rows if not alert or row.alert != alert)


def without_last_missed(rows: Sequence[Correction], kind: str, step: str) -> tuple[Correction, ...]:
    """Rows without the newest one that says such a mistake was missed."""
    at = [i for i, r in enumerate(rows) if (r.said, r.kind, r.step) == ("missed", kind, step)]
    return tuple(row for i, row in enumerate(rows) if i not in at[-1:])


def log_odds_of(rows: Sequence[Correction], kind: str, step: str) -> float:
    """By how much the odds of a mistake are moved at a step, natural logarithm.

    The mistakes that there were over those that were told: ln((right + missed) / (right + wrong)),
    each with `PRIOR_WORDS`. Steady sums of words would grow without end: a person who judges many
    runs says many words.

    >>> wrong = Correction(said="wrong", kind="missing", step="step-2")
    >>> round(log_odds_of([wrong], "missing", "step-2"), 2)
    -1.1
    >>> round(log_odds_of([wrong], "missing", "step-3"), 2)
    -0.41
    >>> log_odds_of([wrong], "repeated", "step-2")
    0.0
    """
    count = {"right": PRIOR_WORDS, "wrong": 0.0, "missed": 0.0}
    for row in rows:
        if row.kind == kind:
            count[row.said] += 1.0 if row.step in ("", step) else ELSEWHERE
    there, told = count["right"] + count["missed"], count["right"] + count["wrong"]
    return math.log(there / told)


def kind_of(sentence: str) -> MistakeName | None:
    """Kind of the mistake that a taught bundle's alert tells; None for another sentence.

    >>> kind_of("step 3 started, step 2 has not been seen")
    'missing'
    """
    for part, kind in _WORDS.items():
        if part in sentence:
            return kind
    return None


_WORDS: Mapping[str, MistakeName] = {
    "does not look like any step": "foreign",
    "the work begins again": "stopped",
    "is done again": "repeated",
    "goes on for": "long",
    "not been seen": "missing",
}


def as_kind(name: str) -> MistakeName | None:
    """The kind of this name."""
    return cast(MistakeName, name) if name in get_args(MistakeName) else None
