"""Pairs to train on or to score: read from files, split, and laid out as examples.

For training an identical pair is read once. `charrnn.data.pair_formats` tells how files are read.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from charrnn.data.decoding import STRICT_UTF_8, TextOptions
from charrnn.data.file_discovery import place, run_name, shown
from charrnn.data.file_notes import FileNotes
from charrnn.data.layouts import LAYOUTS, PairVocabulary, vocabulary_of_pairs
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_formats import Pair, doubtful_header, parse
from charrnn.data.rare_characters import with_unknown
from charrnn.data.text_files import Fingerprint, normalised, read_source
from charrnn.errors import TextError, UsageError
from charrnn.randomness import Purpose, generator
from charrnn.types import Ids


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


def read_pairs(
    paths: Sequence[str], options: TextOptions = STRICT_UTF_8, *, repeated: bool = False
) -> PairCorpus:
    """Read files of pairs, sorted by absolute path; with `repeated` an identical pair each time.

    Raises TextError for what is missing, empty, undecodable or no pair, and StorageError where the
    operating system refuses.
    """
    if not paths or "" in paths:
        raise UsageError("the corpus has an empty path; try a file of pairs, or - for stdin")
    refuse_bytes(options)
    rows: list[Pair] = []
    remarks, headers = FileNotes(), []
    sources = sorted({place(path): path for path in paths}.items())
    for _, source in sources:
        try:
            text, facts = read_source(source, options)
        except TextError as error:  # pairs have other options than texts
            advice = [text for text in error.advice if "--bytes" not in text]
            advice = [text for text in advice if "--builtin" not in text]
            raise TextError(error.problem, *advice) from error
        facts.cr = facts.crlf = 0  # line ends do not matter
        remarks.add(shown(source), *facts.remarks())
        found = list(parse(text, source))
        headers += doubtful_header(found, text, source)
        rows += found
    notes = [*remarks.lines(), *headers]
    if not repeated:
        pairs = distinct(rows)
        if count := len(rows) - len(pairs):
            notes.append(f"{count:,} pairs occur more than once and are read once")
        rows = pairs
    return PairCorpus(
        tuple(rows), run_name(sources[0][1]), tuple(name for name, _ in sources), tuple(notes)
    )


def distinct(rows: Sequence[Pair]) -> list[Pair]:
    """Return the pairs that differ in input or output, each where it occurs first."""
    found: dict[tuple[str, str], Pair] = {}
    for pair in rows:
        found.setdefault((pair.input, pair.output), pair)
    return list(found.values())


def normalised_pairs(corpus: PairCorpus, options: TextOptions) -> PairCorpus:
    """Return the pairs in the normal form that is asked for, if one is."""
    if options.normalise is None:
        return corpus
    pairs = distinct(
        [
            Pair(normalised(pair.input, options), normalised(pair.output, options), pair.where)
            for pair in corpus.pairs
        ]
    )
    return replace(corpus, pairs=tuple(pairs))


def refuse_bytes(options: TextOptions) -> None:
    """Raise UsageError for pairs of bytes, which there are not."""
    if options.as_bytes:
        raise UsageError("--bytes and --layout do not go together", "--encoding latin-1")


@dataclass(frozen=True)
class Split:
    """Pairs to learn from and pairs to validate on, and what a reader should know about it."""

    pairing: PairVocabulary
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    notes: tuple[str, ...] = field(default=())


def split_pairs(
    corpus: PairCorpus,
    layout: str,
    val_fraction: float,
    seed: int,
    known: PairVocabulary | None = None,
) -> Split:
    """Hold out a share of the inputs, drawn by seed, so that no input is on both sides.

    If inputs are labels, pairs are split instead; a table of labels to labels has no unseen inputs
    and is validated on its training pairs. Symbols are numbered as in `known` if it is given.
    Raises `TextError` for pairs that the layout cannot be trained on.
    """
    if known is not None and known.layout != layout:
        raise UsageError(f"the checkpoint's layout is {known.layout}", f"--layout {known.layout}")
    pairing = known or vocabulary_of_pairs(layout, (pair[:2] for pair in corpus.pairs))
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
        inputs = "1 input has" if doubtful == 1 else f"{doubtful:,} inputs have"
        notes.append(f"{inputs} more than one answer, so not all can be right")
    if kind.is_table:
        validation = corpus.pairs if val_fraction else ()
        return Split(pairing, corpus.pairs, validation, tuple(notes))
    count = max(1, round(len(groups) * val_fraction)) if val_fraction else 0
    if len(groups) - count < 1:
        raise TextError(
            f"{len(groups)} different input is too few to hold one out", "--val-fraction 0"
        )
    members = list(groups.values())
    order = generator(seed, Purpose.SPLIT).permutation(len(members))
    parts = [
        tuple(pair for number in sorted(part) for pair in members[number])
        for part in (order[count:], order[:count])
    ]
    if known is None:
        pairing = with_unknown(pairing, [pair.input for pair in parts[0]])
    if pairing.unknown is not None:
        count = sum(pairing.has_unknown(pair.input) for pair in parts[0])
        notes.append(
            "characters that stand in one training input only, or in none, are read as one unknown "
            f"symbol, in {count:,} of {len(parts[0]):,} training inputs"
        )
    return Split(pairing, parts[0], parts[1], tuple(notes))


def build_examples(pairing: PairVocabulary, pairs: Sequence[Pair]) -> Examples:
    """Lay pairs out; `TextError`, with a pair's place, if it does not fit its layout or symbols."""
    examples = []
    for pair in pairs:
        try:
            examples.append(pairing.example(pair.input, pair.output))
        except TextError as error:
            raise TextError(f"{pair.where}: {error.problem}", *error.advice) from error
    return Examples.of(examples, pairing.inputs, pairing.outputs)


@dataclass(frozen=True)
class UnknownSymbols:
    """Pairs to score that hold symbols the model has never seen: wrong, whatever it answers."""

    inputs: int = 0
    """Pairs whose input cannot be read."""
    outputs: int = 0
    """Pairs that can be read, and whose output cannot be answered."""
    symbols: int = 0
    """Symbols of all these outputs, END included."""
    unread_labels: tuple[str, ...] = ()
    """In many-to-one: the known labels of the inputs that cannot be read, one for each."""
    first: str = ""
    """Where the first of these pairs is."""

    @property
    def pairs(self) -> int:
        """How many pairs these are."""
        return self.inputs + self.outputs

    def note(self) -> str:
        """Say how many there are and what becomes of them."""
        found = [(self.inputs, "input"), (self.outputs, "output")]
        parts = " and ".join(f"the {side} of {count:,}" for count, side in found if count)
        rows = "row, which counts" if self.pairs == 1 else "rows, which count"
        return (
            f"symbols that the model has never seen are in {parts} {rows} as wrong, and not in the "
            f"loss; the first is {self.first}"
        )


def build_known_examples(
    pairing: PairVocabulary, pairs: Sequence[Pair]
) -> tuple[Examples, UnknownSymbols]:
    """Lay out the pairs whose symbols are all known, and count the others.

    Raises `TextError` if no pair is known, or one does not fit its layout.
    """
    known: list[Pair] = []
    labels: list[str] = []
    inputs = outputs = symbols = 0
    first = ""
    for pair in pairs:
        read = _knows(pairing.source_ids, pair.input)
        answered = _knows(pairing.answer_ids, pair.output)
        if read and answered:
            known.append(pair)
            continue
        first = first or pair.where
        inputs += not read
        outputs += read
        one = not pairing.layout_spec.answer_is_text
        symbols += (1 if one else len(pair.output)) + pairing.layout_spec.feeds_back
        if one and answered:
            labels.append(pair.output)
    if not known:
        build_examples(pairing, pairs[:1])  # raises the error of the first
    return build_examples(pairing, known), UnknownSymbols(
        inputs, outputs, symbols, tuple(labels), first
    )


def _knows(ids: Callable[[str], Ids], field: str) -> bool:
    """Whether all symbols of a field have an id."""
    try:
        ids(field)
    except TextError:
        return False
    return True
