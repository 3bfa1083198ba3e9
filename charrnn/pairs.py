"""Files of pairs: one example a line, an input and an output.

    .tsv           input<TAB>output       also any other ending, and standard input
    .csv           a header with the columns input and output
    .jsonl .ndjson {"input": …, "output": …}

Each may be packed with gzip. Quoting is what Python's csv module understands; a blank line is
nothing. An identical pair is read once. What cannot be a pair is an error that names its line.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from charrnn.batches import Examples
from charrnn.decoding import STRICT_UTF_8, TextOptions
from charrnn.errors import TextError, UsageError
from charrnn.layouts import LAYOUTS, Pairing, pairing_of
from charrnn.randomness import Purpose, generator
from charrnn.text import Fingerprint, place, read_source, run_name, shown

COLUMNS = ("input", "output")


class Pair(NamedTuple):
    """An example as it was written, and where."""

    input: str
    output: str
    where: str


@dataclass(frozen=True)
class PairCorpus:
    """Different pairs, what their run is called, where they came from, remarks for stderr.

    Sources are as those of a `Corpus`.
    """

    pairs: tuple[Pair, ...]
    name: str
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The hash of all inputs and outputs, in order, and their length."""
        digest = hashlib.sha256()
        characters = 0
        for pair in self.pairs:
            digest.update(json.dumps(pair[:2]).encode("ascii") + b"\n")
            characters += len(pair.input) + len(pair.output)
        return {"sha256": digest.hexdigest(), "characters": characters}


def read_pairs(paths: Sequence[str], options: TextOptions = STRICT_UTF_8) -> PairCorpus:
    """Read files of pairs, sorted by absolute path.

    Raises TextError for what is missing, empty, undecodable or no pair, and StorageError where the
    operating system refuses.
    """
    if not paths or "" in paths:
        raise UsageError("the corpus has an empty path; try a file of pairs, or - for stdin")
    if options.as_bytes:
        raise UsageError("--bytes and --layout do not go together; try --encoding latin-1")
    found: dict[tuple[str, str], Pair] = {}
    notes: list[str] = []
    repeated = 0
    sources = sorted({place(path): path for path in paths}.items())
    for _, source in sources:
        text, remarks = read_source(source, options)
        notes += [remark for remark in remarks if "line ends" not in remark]
        for pair in parse(text, source):
            repeated += (key := pair[:2]) in found
            found.setdefault(key, pair)
    if repeated:
        notes.append(f"{repeated:,} pairs occur more than once and are read once")
    return PairCorpus(
        tuple(found.values()),
        run_name(sources[0][1]),
        tuple(name for name, _ in sources),
        tuple(notes),
    )


def parse(text: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one file, whose name says how to read it."""
    kind = source.removesuffix(".gz").rpartition(".")[2].lower()
    reader = {"csv": _csv, "jsonl": _jsonl, "ndjson": _jsonl}.get(kind, _tsv)
    number = 0
    name = shown(source)
    for line, left, right in reader(text, name):
        number += 1
        where = f"{name} line {line}"
        for column, value in zip(COLUMNS, (left, right), strict=True):
            if not value:
                raise TextError(
                    f"{where}: the {column} is empty; try to fill it in or to drop the line"
                )
        yield Pair(left, right, where)
    if not number:
        raise TextError(f"{name} holds no pairs; try lines of input, a tab, and output")


Row = tuple[int, str, str]
"""Line number, input, output."""


def _tsv(text: str, name: str) -> Iterator[Row]:
    for line, row in _rows(text, name, "\t"):
        if len(row) != 2:
            what = "has no tab" if len(row) == 1 else f"has {len(row) - 1} tabs"
            raise TextError(f"{name} line {line} {what}; try input, one tab, output")
        if tuple(row) != COLUMNS or line > 1:  # a header may be there
            yield line, row[0], row[1]


def _csv(text: str, name: str) -> Iterator[Row]:
    rows = _rows(text, name, ",")
    _, header = next(rows, (1, []))
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        seen = ", ".join(header)[:60] or "nothing"
        raise TextError(
            f"{name} line 1 names the columns {seen}, and not {missing[0]}; "
            "try the header input,output"
        )
    left, right = map(header.index, COLUMNS)
    for line, row in rows:
        if len(row) != len(header):
            raise TextError(
                f"{name} line {line} has {len(row)} columns and the header {len(header)}; "
                "try quotes around a text with commas"
            )
        yield line, row[left], row[right]


def _rows(text: str, name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not blank, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TextError(
                f"{name} line {line} cannot be read ({error}); "
                'try doubled quotes ("") for one inside a quoted field'
            ) from error
        if row:
            yield line, row
        line = reader.line_num + 1


def _jsonl(text: str, name: str) -> Iterator[Row]:
    for line, content in enumerate(io.StringIO(text), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise TextError(f"{name} line {line} is not JSON; try one object a line") from error
        if not isinstance(row, dict):
            row = {}
        left, right = map(row.get, COLUMNS)
        if not (isinstance(left, str) and isinstance(right, str)):
            raise TextError(
                f'{name} line {line} has no texts "input" and "output"; '
                'try {"input": "…", "output": "…"}'
            )
        if any("\ud800" <= character <= "\udfff" for character in left + right):
            raise TextError(
                f"{name} line {line} has half a surrogate pair; try to mend its escapes"
            )
        yield line, left, right


@dataclass(frozen=True)
class Split:
    """Pairs to learn from and pairs to validate on, and what a reader should know about it."""

    pairing: Pairing
    train: tuple[Pair, ...]
    held: tuple[Pair, ...]
    notes: tuple[str, ...] = field(default=())


def split_pairs(
    corpus: PairCorpus, layout: str, val_fraction: float, seed: int, known: Pairing | None = None
) -> Split:
    """Hold out a share of the inputs, drawn by seed, so that no input is on both sides.

    In one-to-many the inputs are labels, and pairs are held out; a one-to-one table has nothing
    that could be guessed from the rest of it, and is validated on what it learns. Symbols are
    numbered as in `known`, or anew. Raises `TextError` for pairs the layout cannot learn from.
    """
    if known is not None and known.layout != layout:
        raise UsageError(f"the checkpoint's layout is {known.layout}; try --layout {known.layout}")
    pairing = known or pairing_of(layout, (pair[:2] for pair in corpus.pairs))
    kind = LAYOUTS[layout]
    if not 0 <= val_fraction <= 0.5:
        raise UsageError(f"--val-fraction {val_fraction} is not within 0 and 0.5; try 0.1")
    if not kind.answer_is_text and len(pairing.answers) < 2:
        label = pairing.answers[0][:40]
        raise TextError(
            f"all {len(corpus.pairs):,} pairs of {corpus.name} have the one answer {label!r}; "
            "try pairs with two or more different ones"
        )
    groups: dict[tuple[str, ...], list[Pair]] = {}
    for pair in corpus.pairs:
        key = (pair.input,) if kind.source_is_text else pair[:2]
        groups.setdefault(key, []).append(pair)
    notes = []
    if kind.source_is_text and (doubtful := sum(len(group) > 1 for group in groups.values())):
        notes.append(f"{doubtful:,} inputs have more than one answer, so not all can be right")
    if layout == "one-to-one":
        held = corpus.pairs if val_fraction else ()
        return Split(pairing, corpus.pairs, held, tuple(notes))
    count = max(1, round(len(groups) * val_fraction)) if val_fraction else 0
    if len(groups) - count < 1:
        raise TextError(
            f"{len(groups)} different input is too few to hold one out; try --val-fraction 0"
        )
    members = list(groups.values())
    order = generator(seed, Purpose.SPLIT).permutation(len(members))
    parts = [
        tuple(pair for number in sorted(part) for pair in members[number])
        for part in (order[count:], order[:count])
    ]
    return Split(pairing, parts[0], parts[1], tuple(notes))


def arranged(pairing: Pairing, pairs: Sequence[Pair]) -> Examples:
    """Lay pairs out; `TextError`, with a pair's place, if it does not fit its layout or symbols."""
    examples = []
    for pair in pairs:
        try:
            examples.append(pairing.example(pair.input, pair.output))
        except TextError as error:
            raise TextError(f"{pair.where}: {error}") from error
    return Examples.of(examples, pairing.inputs, pairing.outputs)
