"""Training part of a text or of pairs: what the trials of a sweep read, without what is held out.

A sweep chooses settings by the validation loss of its trials. The end of the text that `charrnn
train` validates on by default is held out from all of them: trials train and validate on the part
before it. For pairs, the ones that `charrnn train` with the same seed would draw are held out.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from charrnn.checkpointing.checkpoint import check_storable
from charrnn.checkpointing.records import CorpusRecord
from charrnn.cli.runs import load_pairs, load_text
from charrnn.cli.trials.settings import CheckedSettings
from charrnn.data.decoding import TextOptions
from charrnn.data.large_text_files import AnyCorpus, LargeCorpus
from charrnn.data.pair_files import PairCorpus, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.data.text_files import validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.training.pair_presets import plan_pairs
from charrnn.training.prepared_data import prepare_pairs
from charrnn.training.presets import plan

CHUNK_CHARACTERS = 2**20


class TrainingPart(Protocol):
    """What trials read: written to a file of the sweep's folder."""

    @property
    def name(self) -> str:
        """The name of the corpus."""

    @property
    def file_name(self) -> str:
        """The name of the file to write."""

    @property
    def notes(self) -> Sequence[str]:
        """Remarks about the corpus for stderr."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of the file."""

    def check(self, settings: CheckedSettings) -> None:
        """Raise `CharRNNError` if a run on this part with these settings cannot be planned."""

    def described(self) -> str:
        """Say what the trials read and what is held out."""


@dataclass(frozen=True)
class TextPart:
    """The beginning of a text."""

    corpus: AnyCorpus
    end: int
    as_bytes: bool
    hold_out: float

    @property
    def name(self) -> str:
        """The name of the text."""
        return self.corpus.name

    @property
    def file_name(self) -> str:
        """The name of the file to write."""
        return "training-part.bin" if self.as_bytes else "training-part.txt"

    @property
    def notes(self) -> Sequence[str]:
        """Remarks about the files."""
        return self.corpus.notes

    def chunks(self) -> Iterator[bytes]:
        """Yield the text in UTF-8, or its bytes."""
        left = self.end
        for chunk in characters(self.corpus):
            yield chunk[:left].encode("latin-1" if self.as_bytes else "utf-8")
            left -= len(chunk)
            if left <= 0:
                return

    def check(self, settings: CheckedSettings) -> None:
        """Raise `CharRNNError` if a run on this part with these settings cannot be planned."""
        vocabulary = Vocabulary.from_counts(self.corpus.counts, 1, self.as_bytes)
        train = validation_start(self.end, settings.params["val_fraction"])
        preset = settings.params["preset"]
        planned = plan(preset, settings.given, len(vocabulary), train, settings.budget)
        check_storable(planned.model, planned.training, vocabulary)

    def described(self) -> str:
        """Say what the trials read and what is held out."""
        held = self.corpus.fingerprint["characters"] - self.end
        unit = "bytes" if self.as_bytes else "characters"
        if not held:
            return f"trials read the whole text ({self.end:,} {unit}): nothing is held out"
        return (
            f"trials read the first {self.end:,} {unit}; the last {held:,} are held out, "
            "and no trial reads them"
        )


def characters(corpus: AnyCorpus) -> Iterator[str]:
    """Yield the text of a corpus in parts."""
    if isinstance(corpus, LargeCorpus):
        yield from corpus.chunks()
        return
    for begin in range(0, len(corpus.text), CHUNK_CHARACTERS):
        yield corpus.text[begin : begin + CHUNK_CHARACTERS]


@dataclass(frozen=True)
class PairsPart:
    """Pairs without those that are held out."""

    corpus: PairCorpus
    pairs: tuple[Pair, ...]
    layout: str
    seed: int

    file_name = "training-part.jsonl"

    @property
    def name(self) -> str:
        """The name of the pairs."""
        return self.corpus.name

    @property
    def notes(self) -> Sequence[str]:
        """Remarks about the files."""
        return self.corpus.notes

    def chunks(self) -> Iterator[bytes]:
        """Yield the pairs as JSON, one a line."""
        for pair in self.pairs:
            yield json.dumps({"input": pair.input, "output": pair.output}).encode() + b"\n"

    def check(self, settings: CheckedSettings) -> None:
        """Raise `CharRNNError` if a run on this part with these settings cannot be planned."""
        part = PairCorpus(self.pairs, self.corpus.name)
        record = CorpusRecord(
            part.name, **part.fingerprint, val_fraction=settings.params["val_fraction"]
        )
        prepared = prepare_pairs(part, self.layout, record, self.seed)
        train = prepared.dataset.train
        preset = settings.params["preset"]
        planned = plan_pairs(preset, settings.given, prepared.symbols, train, settings.budget)
        check_storable(planned.model, planned.training, prepared.symbols)

    def described(self) -> str:
        """Say what the trials read and what is held out."""
        held = len(self.corpus.pairs) - len(self.pairs)
        if not held:
            return f"trials read all {len(self.pairs):,} pairs: nothing is held out"
        return (
            f"trials read {len(self.pairs):,} of {len(self.corpus.pairs):,} pairs; the other "
            f"{held:,} are held out, and no trial reads them"
        )


def read_training_part(
    paths: Sequence[str],
    built_in: str | None,
    layout: str | None,
    options: TextOptions,
    hold_out: float,
    seed: int,
) -> TrainingPart:
    """Read a corpus as `charrnn train` does, and hold out a fraction of it.

    Args:
        paths: files, as for `train`.
        built_in: the name of a built-in corpus.
        layout: the layout of pairs, or None for a text.
        options: how files are read.
        hold_out: the fraction held out.
        seed: the seed by which pairs are drawn.

    Raises `CharRNNError` for what `train` would not read.
    """
    if layout is None:
        corpus = load_text.read_text(paths, built_in, options)
        end = validation_start(corpus.fingerprint["characters"], hold_out)
        return TextPart(corpus, end, options.as_bytes, hold_out)
    pairs = load_pairs.read_given_pairs(paths, built_in, layout, options)
    return PairsPart(pairs, split_pairs(pairs, layout, hold_out, seed).train, layout, seed)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
