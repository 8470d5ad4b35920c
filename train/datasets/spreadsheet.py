"""CSV as spreadsheets write it: any of their encodings, separators and ways to write a time."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from egomon.errors import DataError

_SEPARATORS = ",;\t"
_EMPTY_ROWS = re.compile(r"\A(?:[,;\t ]*[\r\n])*")


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Columns in small letters, and `(number of the row, cell by column)`; empty rows are skipped.

    Raises:
        DataError: the file cannot be read; while iterating, the CSV is broken.
    """
    try:
        text = decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; save it as CSV (UTF-8)") from error
    text = _EMPTY_ROWS.sub("", text, count=1)
    head = next(iter(text.splitlines(keepends=True)), "")
    if head[:4].lower() == "sep=":  # Excel's own first line; not part of the table
        text = text[len(head) :]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=head.count))
    columns = [name.strip().lower() for name in next(table, [])]
    return columns, _rows(path, columns, table)


def _rows(
    path: Path, columns: list[str], table: Iterator[list[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for number, cells in enumerate(table, start=1):
            if any(cell.strip() for cell in cells):
                filled = itertools.zip_longest(columns, cells[: len(columns)], fillvalue="")
                yield number, {name: cell.strip() for name, cell in filled}
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}; save it anew from the spreadsheet") from error


def decoded(body: bytes) -> str:
    """Text as editors and spreadsheets save it: UTF-8 or UTF-16 with their marks, or cp1252.

    Raises:
        UnicodeDecodeError: it begins like UTF-16 and is none.
    """
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")  # "CSV" of a Western Windows


def seconds(text: str) -> float:
    """Read a time: seconds with point or comma, or `minutes:seconds`, or with hours before.

    >>> seconds("8,1"), seconds("00:04"), seconds("1:00:04.5")
    (8.1, 4.0, 3604.5)
    """
    total = 0.0
    for part in text.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return total
