"""Prepared data: a text or pairs as symbols, dataset and corpus record, ready to train on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.large_text_files import AnyCorpus, LargeCorpus
from charrnn.data.layouts import Pairing
from charrnn.data.pair_files import PairCorpus, arranged, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.data.text_files import split
from charrnn.data.vocabulary import Vocabulary
from charrnn.training.pair_dataset import PairLessons
from charrnn.training.text_dataset import TextLessons


@dataclass(frozen=True)
class TextMaterial:
    """A text, ready to train on."""

    symbols: Vocabulary
    lessons: TextLessons
    record: CorpusRecord


@dataclass(frozen=True)
class PairMaterial:
    """Pairs, ready to train on; the first few of those held out, to be shown."""

    symbols: Pairing
    lessons: PairLessons
    record: CorpusRecord
    shown: tuple[Pair, ...]
    notes: tuple[str, ...]


Material: TypeAlias = TextMaterial | PairMaterial

SHOWN = 3
"""Examples whose answers are shown at each validation."""


def prepare_text(
    corpus: AnyCorpus, vocabulary: Vocabulary, record: CorpusRecord, where: Path
) -> TextMaterial:
    """Make ids of a text and hold out its end; characters outside the vocabulary are left out.

    Those of a large text are written to `where`.
    """
    if isinstance(corpus, LargeCorpus):
        ids = corpus.encode(vocabulary, where)
    else:
        ids = vocabulary.encode(corpus.text, "skip")
    begin = split(len(ids), record.val_fraction)
    return TextMaterial(vocabulary, TextLessons(ids[:begin], ids[begin:]), record)


def prepare_pairs(
    corpus: PairCorpus, layout: str, record: CorpusRecord, seed: int, known: Pairing | None = None
) -> PairMaterial:
    """Hold some pairs out and lay all of them out for training, in `known` symbols if given."""
    split = split_pairs(corpus, layout, record.val_fraction, seed, known)
    lessons = PairLessons(
        split.pairing, arranged(split.pairing, split.train), arranged(split.pairing, split.held)
    )
    return PairMaterial(split.pairing, lessons, record, split.held[:SHOWN], split.notes)
