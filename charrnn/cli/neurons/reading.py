"""Texts that `charrnn neurons` reads, and spans of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from charrnn.analysis.unit_features import MIN_CHARACTERS
from charrnn.cli.options import Unknown
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label, stdin_is_terminal
from charrnn.cli.runs.load_text import find_text_again
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import STDIN
from charrnn.data.text_files import read_corpus, validation_start
from charrnn.errors import TextError, UsageError
from charrnn.inference.model import Model
from charrnn.types import Ids

POSITIONS = re.compile(r"([0-9]{1,18}):([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class ReadText:
    """A text that the model has read.

    Attributes:
        name: name of the text, and which part of it.
        ids: its ids (N,).
        text: its N characters, or bytes as U+0000 to U+00FF.
        skipped: characters left out because the model does not know them.
    """

    name: str
    ids: Ids
    text: str
    skipped: int


@dataclass(frozen=True)
class TextChoice:
    """The options --encoding, --on-unknown and --length."""

    encoding: str
    encoding_given: bool
    on_unknown: Unknown
    length: int


def read_text(model: Model, path: Path, files: Sequence[str], choice: TextChoice) -> ReadText:
    """Return the beginning of some files, or of the validation part of the text of the run.

    Raises `TextError` if there are no files and the text of the run cannot be found again, or if
    the model knows no character.
    """
    vocabulary = model.vocabulary
    if choice.encoding_given and vocabulary.as_bytes:
        raise UsageError(
            "--encoding is not for a model of bytes, which reads them as they are", "without it"
        )
    if choice.encoding_given and not files:
        raise UsageError("--encoding is for a FILE, and none is named", "a FILE", "without it")
    if files:
        name, text = given_text(model, files, choice)
    else:
        name, text = validation_text(model, path, choice.length)
    ids = vocabulary.encode(text, choice.on_unknown.value if files else "skip")
    if not len(ids):
        raise TextError(f"the model knows no character of {label(name)}", "another text")
    return ReadText(name, ids, vocabulary.decode(ids), len(text) - len(ids))


def given_text(model: Model, files: Sequence[str], choice: TextChoice) -> tuple[str, str]:
    """Return the name and the beginning of the text of some files; notes go to stderr."""
    if STDIN in files and stdin_is_terminal():
        say("charrnn: reading the text from the terminal; end it with Ctrl-D")
    normalise = model.checkpoint.corpus.normalise
    corpus = read_corpus(files, TextOptions(choice.encoding, model.vocabulary.as_bytes, normalise))
    for note in corpus.notes:
        warn(note)
    return corpus.name, corpus.text[: choice.length]


def validation_text(model: Model, path: Path, length: int) -> tuple[str, str]:
    """Return the name and the beginning of the validation part of the text of a run.

    Where that part is too short for correlations, the end of the text is returned; of a run without
    validation, the beginning.
    """
    record = model.checkpoint.corpus
    try:
        corpus = find_text_again(record, path.parent, say=warn)
    except TextError as error:
        raise TextError(error.problem, "a text: charrnn neurons CHECKPOINT FILE") from error
    if not record.val_fraction:
        return f"{corpus.name}, beginning", corpus.part(0, length)
    begin = validation_start(record.characters, record.val_fraction)
    end, part = record.characters, "validation part"
    if end - begin < MIN_CHARACTERS:
        begin, part = max(0, end - MIN_CHARACTERS), "end"
    return f"{corpus.name}, {part}", corpus.part(begin, begin + length)


def span_of(span: str, text: str, model: Model) -> tuple[int, int]:
    """Return the positions that --span means; `UsageError` if its text does not occur."""
    if match := POSITIONS.fullmatch(span):
        return int(match[1]), int(match[2])
    wanted = model.typed(span)
    begin = text.find(wanted) if wanted else -1
    if begin < 0:
        raise UsageError(
            f"--span {label(span)!r} does not occur in the {len(text):,} characters read",
            "positions such as --span 20:30",
            "a greater --length",
        )
    return begin, begin + len(wanted)
