"""Checks of the values in a checkpoint: ranges, names, and values that must agree.

A checksum does not prove who wrote a file, so a value is not trusted because its type is right.
Every check raises `CheckpointError`, which names the field and shows its value bounded and without
control characters. Values that charrnn writes always pass.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.builtin_pairs import DEMONSTRATIONS
from charrnn.data.builtin_texts import BUILT_IN, MAX_GAP_CHARS, MIN_GAP_CHARS
from charrnn.data.decoding import TextOptions
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, UsageError
from charrnn.limits import (
    CORPUS_LIMITS,
    FRACTION,
    LONGEST_ANSWER,
    LOSS,
    METRIC,
    PROGRESS_LIMITS,
    Limits,
    format_value,
)
from charrnn.training_config import Progress, TrainingConfig

MAX_NAME_CHARACTERS = 255
"""Characters of the name of a corpus: those of the longest name of a file."""

MAX_MESSAGE_CHARACTERS = 115
"""Characters of a message, before the name of the file is added."""

MAX_METRICS = 100

SHA256 = re.compile(r"[0-9a-f]{64}")
PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
GAP = re.compile(r"france:([1-9][0-9]{0,4})")

WINDOWS_ENCODINGS = frozenset({"ansi", "dbcs", "mbcs", "oem"})
"""Encodings that Python has on Windows only: a model of such a text can be used elsewhere."""

ACCURACIES = frozenset({"exact_match", "symbol_accuracy"})


def one_line_problem(problem: str) -> str:
    """Return a message on one line without invisible characters, its middle cut if it is long.

    Example:
        >>> one_line_problem("no cell called a\\nb")
        'no cell called a\\\\nb'
    """
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in problem)
    if len(shown) <= MAX_MESSAGE_CHARACTERS:
        return shown
    half = MAX_MESSAGE_CHARACTERS // 2
    return f"{shown[: half - 1]}…{shown[-half:]}"


def field_name(name: str) -> str:
    """Return the name of a field in a file as a message shows it."""
    return name if PLAIN_NAME.fullmatch(name) else format_value(name)


def check_names(found: Iterable[str], expected: Iterable[str], where: str = "") -> None:
    """Check that an object has the fields `expected` and no others; `where` ends in a dot."""
    odd = sorted(set(found) ^ set(expected))
    if odd:
        raise CheckpointError(f"{where}{field_name(odd[0])} is missing or unknown")


def check_range(limits: Limits, name: str, value: float | None) -> None:
    """Check that a number is in its range; None passes."""
    if value is None:
        return
    try:
        limits.check(name, value)
    except UsageError as error:
        raise CheckpointError(error.problem) from error


def check_settings(stored: Mapping[str, Any], limits: Mapping[str, Limits], where: str) -> None:
    """Check the names, types and ranges of numbers of an object; `where` ends in a dot.

    Whole numbers are wanted where the usual value of the limits is one.
    """
    check_names(stored, limits, where)
    for name, allowed in limits.items():
        kinds = (int,) if isinstance(allowed.usual, int) else (int, float)
        if type(stored[name]) not in kinds:
            raise CheckpointError(f"{where}{name} has a value of the wrong type")
        check_range(allowed, f"{where}{name}", stored[name])


def check_version(version: object) -> None:
    """Check `charrnn`, the version that wrote the file."""
    if not isinstance(version, str) or not PLAIN_NAME.fullmatch(f"v{version}"):
        raise CheckpointError(f"charrnn is {format_value(version)}, which is no version")


def check_symbols(symbols: Vocabulary | PairVocabulary) -> None:
    """Check the symbols of pairs, beyond what their class does."""
    if isinstance(symbols, Vocabulary):
        return
    check_range(LONGEST_ANSWER, "pairs.longest", symbols.longest)
    for side, texts in (("sources", symbols.sources), ("answers", symbols.answers)):
        if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            raise CheckpointError(f"pairs.{side} holds half of a surrogate pair")


def check_bidirectional(use: str | None, symbols: Vocabulary | PairVocabulary) -> None:
    """Check that backward states are used, if at all, as the layout of the pairs says."""
    fits = None if isinstance(symbols, Vocabulary) else symbols.layout_spec.backward_use
    if use not in (None, fits):
        raise CheckpointError(f"model.bidirectional is {use}, which does not fit the symbols")


def check_corpus(record: CorpusRecord, symbols: Vocabulary | PairVocabulary) -> None:
    """Check `corpus`."""
    if not 0 < len(record.name) <= MAX_NAME_CHARACTERS:
        raise CheckpointError(f"corpus.name has {len(record.name):,} characters")
    if record.imported is not None and not 0 < len(record.imported) <= MAX_NAME_CHARACTERS:
        raise CheckpointError(f"corpus.imported has {len(record.imported):,} characters")
    for name, digest in (("sha256", record.sha256), ("generated", record.generated)):
        if digest is None or SHA256.fullmatch(digest):
            continue
        raise CheckpointError(f"corpus.{name} is {format_value(digest)}, not 64 hexadecimal digits")
    for name, limits in CORPUS_LIMITS.items():
        check_range(limits, f"corpus.{name}", getattr(record, name))
    check_decoding(record)
    if record.as_bytes != symbols.as_bytes:
        raise CheckpointError("corpus.as_bytes is not that of the symbols")
    if record.built_in is not None and not is_built_in(record.built_in, symbols):
        raise CheckpointError(
            f"corpus.built_in is {format_value(record.built_in)}, which is not built in"
        )


def check_decoding(record: CorpusRecord) -> None:
    """Check how a corpus was decoded."""
    encoding = record.encoding
    if not PLAIN_NAME.fullmatch(encoding):
        raise CheckpointError(f"corpus.encoding is {format_value(encoding)}, which is no encoding")
    if encoding.lower() in WINDOWS_ENCODINGS:
        encoding = "utf-8"
    try:
        TextOptions(encoding, record.as_bytes, record.normalise)
    except UsageError as error:
        raise CheckpointError(f"corpus.encoding or corpus.normalise: {error.problem}") from error


def is_built_in(name: str, symbols: Vocabulary | PairVocabulary) -> bool:
    """Return whether there is a built-in text, or there are built-in pairs, of this name."""
    france = isinstance(symbols, Vocabulary) or symbols.layout == "many-to-one"
    if match := GAP.fullmatch(name):
        return france and MIN_GAP_CHARS <= int(match[1]) <= MAX_GAP_CHARS
    if isinstance(symbols, Vocabulary):
        return name in BUILT_IN
    return (france and name == "france") or symbols.layout in DEMONSTRATIONS.get(name, {})


def check_metrics(stored: Mapping[str, Any]) -> dict[str, float]:
    """Check `validation`, and return its numbers as floats."""
    if len(stored) > MAX_METRICS:
        raise CheckpointError(f"validation has {len(stored):,} metrics")
    for name, value in stored.items():
        if not METRIC_NAME.fullmatch(name):
            raise CheckpointError(f"validation has a metric called {format_value(name)}")
        if type(value) not in (int, float):
            raise CheckpointError(f"validation.{name} is not a number")
        limits = FRACTION if name in ACCURACIES else LOSS if name.startswith("nats") else METRIC
        check_range(limits, f"validation.{name}", float(value))
    return {name: float(value) for name, value in stored.items()}


def check_training(config: TrainingConfig, progress: Progress, updates: int, step: int) -> None:
    """Check that the settings of a run, its progress and the step of the checkpoint agree."""
    for name, limits in PROGRESS_LIMITS.items():
        check_range(limits, f"training.progress.{name}", getattr(progress, name))
    if progress.step != step:
        raise CheckpointError("training.progress.step is not the step")
    if step > config.steps:
        raise CheckpointError(f"training.config.steps is {config.steps}, below the step {step}")
    for name in ("best_step", "evaluated"):
        if getattr(progress, name) > step:
            raise CheckpointError(f"training.progress.{name} is above the step {step}")
    if progress.skipped > step:
        raise CheckpointError(f"training.progress.skipped is above the step {step}")
    most = step - progress.skipped
    rolled_back = progress.lr_scale < 1  # each rollback lowers it, and restores earlier updates
    if not (0 if rolled_back else most) <= updates <= most:
        raise CheckpointError(f"training.updates is {format_value(updates)}, at step {step}")
