"""Files of pairs: one example a line, an input and an output.

    .tsv           input<TAB>output       also any other ending, and standard input
    .csv           a header with the columns input and output
    .jsonl .ndjson {"input": …, "output": …}

Each may be packed with gzip. A line ends with LF, CRLF or CR; a blank one is nothing. A .tsv has no
quotes, those of a .csv are what Python's csv module understands. What cannot be a pair is an error
that names its line.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from charrnn.data.decoding import SURROGATES
from charrnn.data.file_discovery import shown
from charrnn.errors import TextError

COLUMNS = ("input", "output")


class Pair(NamedTuple):
    """An example as it was written, and where."""

    input: str
    output: str
    where: str


def parse(text: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one file, whose name says how to read it."""
    reader = {"csv": _csv, "jsonl": _jsonl, "ndjson": _jsonl}.get(_kind(source), _tsv)
    number = 0
    name = shown(source)
    for line, left, right in reader(text, name):
        number += 1
        where = f"{name} line {line}"
        for column, value in zip(COLUMNS, (left, right), strict=True):
            if not value:
                raise TextError(
                    f"{where}: the {column} is empty", "to fill it in", "to drop the line"
                )
        yield Pair(left, right, where)
    if not number:
        raise TextError(f"{name} holds no pairs", "lines of input, a tab, and output")


def doubtful_header(pairs: Sequence[Pair], text: str, source: str) -> list[str]:
    """Return a note if line 1 of a .tsv was taken for a header, or may be one."""
    if _kind(source) in ("csv", "jsonl", "ndjson"):
        return []
    name = shown(source)
    first = LINE_END.split(text, 1)[0]
    if _is_header(first.split("\t")):
        return [f"{name} line 1 is a header, skipped: {', '.join(first.split(chr(9)))}"]
    if pairs[0].where != f"{name} line 1":
        return []
    for column, side in enumerate(COLUMNS):
        counts = Counter(pair[column] for pair in pairs)
        mine = pairs[0][column]
        if counts.pop(mine) == 1 and counts and min(counts.values()) > 1:
            return [
                f"{name} line 1 may be a header, and is read as a pair: its {side} {mine[:40]!r} "
                "occurs once, all others more often"
            ]
    return []


def _kind(source: str) -> str:
    """Return the ending that says how to read a file."""
    return source.lower().removesuffix(".gz").rpartition(".")[2]


def _is_header(fields: Sequence[str]) -> bool:
    return tuple(field.strip().lower() for field in fields) == COLUMNS


Row = tuple[int, str, str]
"""Line number, input, output."""

LINE_END = re.compile(r"\r\n|\n|\r")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, each with its number."""
    begin, number = 0, 0
    while begin < len(text):
        found = LINE_END.search(text, begin)
        end, after = found.span() if found else (len(text), len(text))
        number += 1
        line = text[begin:end]
        if line.strip() or "\t" in line:
            yield number, line
        begin = after


def _tsv(text: str, name: str) -> Iterator[Row]:
    for number, line in _lines(text):
        row = line.split("\t")
        if len(row) != 2:
            what = "has no tab" if len(row) == 1 else f"has {len(row) - 1} tabs"
            raise TextError(f"{name} line {number} {what}", "input, one tab, output")
        if not _is_header(row) or number > 1:
            yield number, row[0], row[1]


def _csv(text: str, name: str) -> Iterator[Row]:
    rows = _rows(text, name)
    _, header = next(rows, (1, []))
    columns = [column.strip().lower() for column in header]
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        seen = ", ".join(header)[:60] or "nothing"
        raise TextError(
            f"{name} line 1 names the columns {seen}, and not {missing[0]}",
            "the header input,output",
        )
    left, right = map(columns.index, COLUMNS)
    for line, row in rows:
        if len(row) != len(header):
            raise TextError(
                f"{name} line {line} has {len(row)} columns and the header {len(header)}",
                "quotes around a text with commas",
            )
        yield line, row[left], row[right]


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a .csv that are not blank, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    while True:
        limit = csv.field_size_limit(len(text) + 1)
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TextError(
                f"{name} line {line} cannot be read ({error})",
                'doubled quotes ("") for one inside a quoted field',
            ) from error
        finally:
            csv.field_size_limit(limit)
        if row:
            yield line, row
        line = reader.line_num + 1


def _jsonl(text: str, name: str) -> Iterator[Row]:
    for line, content in _lines(text):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise TextError(f"{name} line {line} is not JSON", "one object a line") from error
        if not isinstance(row, dict):
            row = {}
        left, right = map(row.get, COLUMNS)
        if not (isinstance(left, str) and isinstance(right, str)):
            raise TextError(
                f'{name} line {line} has no texts "input" and "output"',
                '{"input": "…", "output": "…"}',
            )
        if SURROGATES.search(left + right):
            raise TextError(
                f"{name} line {line} has half a surrogate pair", "both halves of its escapes"
            )
        yield line, left, right
