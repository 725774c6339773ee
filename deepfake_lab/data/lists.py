"""The lists of a release: one utterance a line, fields parted by a delimiter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import reader
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from deepfake_lab.types import LabError

Value = TypeVar("Value", str, int)


def read_list(
    path: Path, columns: Sequence[str] | None = None, *, delimiter: str = " ", quoting: bool = False
) -> pa.Table:
    """Reads a list as columns of text, without a Python object a line.

    Args:
        path: of the list.
        columns: names of its fields; None takes them from its first line.
        delimiter: what parts the fields.
        quoting: whether a field in double quotes may hold the delimiter.

    Raises:
        LabError: the list is missing, empty, no text, or a line has another number of fields; it names file, line and
            text.
    """
    if not path.is_file():
        raise LabError(f"{path}: no such file. Complete the download, or check data.root.")
    names = list(columns) if columns is not None else _fields(first_line(path), delimiter, quoting)
    content = path.read_bytes()
    try:
        content.decode("utf-8-sig")  # now: Arrow tells people of a strange line, and cannot if it is no text
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not text in UTF-8 ({error}). Download it again.") from error
    wrong: list[csv.InvalidRow] = []

    def refuse(row: csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    try:
        return csv.read_csv(
            pa.BufferReader(content),
            csv.ReadOptions(column_names=names, skip_rows=0 if columns is not None else 1),
            csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoting else False, invalid_row_handler=refuse),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if wrong:
            raise wrong_fields(path, wrong[0].text or "", wrong[0].actual_columns, [len(names)]) from error
        raise LabError(f"{path}: cannot be read ({error}). Download it again.") from error


def translate(column: pa.ChunkedArray, words: Mapping[str, Value], path: Path, *, first: int = 1) -> pa.ChunkedArray:
    """Replaces every word of a column by what it stands for.

    Args:
        column: of a list.
        words: what each word stands for.
        path: of the list.
        first: number of the list's line that the column begins with: 2 after a header.

    Raises:
        LabError: a word is none of `words`; it names file, line and word.
    """
    index = pc.index_in(column, pa.array(list(words)))
    if index.null_count:
        row = pc.index(pc.is_null(index), True).as_py()
        known = ", ".join(words)
        raise LabError(f"{path}, line {row + first}: {column[row].as_py()!r} is none of {known}. Mend the file.")
    return pa.chunked_array([pa.array(list(words.values()))]).take(index)


def first_line(path: Path) -> str:
    """First line of a list.

    Raises:
        LabError: the list is missing, empty or no text.
    """
    if not path.is_file():
        raise LabError(f"{path}: no such file. Complete the download, or check data.root.")
    try:
        with path.open(encoding="utf-8-sig") as lines:
            line = next(lines, "").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not text in UTF-8 ({error}). Download it again.") from error
    if not line:
        raise LabError(f"{path}: its first line is empty. Download it again.")
    return line


def _fields(line: str, delimiter: str, quoting: bool) -> list[str]:
    return next(reader([line], delimiter=delimiter)) if quoting else line.split(delimiter)


def wrong_fields(path: Path, text: str, found: int, expected: Sequence[int]) -> LabError:
    """The error to raise for a line with a wrong number of fields; it finds the line's number."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        number = next((number for number, line in enumerate(lines, start=1) if line.rstrip("\r\n") == text), 0)
    known = " or ".join(map(str, expected))
    return LabError(f"{path}, line {number}: {found} fields, expected {known}: {text!r}. Mend or replace the file.")
