"""Prepared data: a text or pairs as symbols, dataset and corpus record, ready to train on."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.large_text_files import AnyCorpus
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_files import PairCorpus, build_examples, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.data.text_files import validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.training.dataset import Dataset
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.text_dataset import TextDataset


@dataclass(frozen=True)
class PreparedText:
    """A text, ready to train on."""

    symbols: Vocabulary
    dataset: TextDataset
    record: CorpusRecord

    planned_validations: ClassVar[int] = 10
    has_baselines: ClassVar[bool] = True
    layout: ClassVar[None] = None

    @property
    def train_characters(self) -> int:
        """Characters of the training text."""
        return len(self.dataset.train)


@dataclass(frozen=True)
class PreparedPairs:
    """Pairs, ready to train on; `examined` are the first ones of the validation set."""

    symbols: PairVocabulary
    dataset: PairDataset
    record: CorpusRecord
    examined: tuple[Pair, ...]
    notes: tuple[str, ...]

    planned_validations: ClassVar[int] = 24
    has_baselines: ClassVar[bool] = False

    @property
    def layout(self) -> str:
        """The layout of the pairs."""
        return self.symbols.layout

    @property
    def shown(self) -> tuple[Pair, ...]:
        """The first few of the validation set."""
        return self.examined[:SHOWN]

    @property
    def train_characters(self) -> int:
        """Positions of the training examples."""
        return int(self.dataset.train.starts[-1])


class PreparedData(Protocol):
    """What a run is trained on: symbols, dataset and record, and how such runs are planned."""

    planned_validations: ClassVar[int]
    """Number of validations in a run, unless `--eval-every` says otherwise."""
    has_baselines: ClassVar[bool]
    """Whether the result is compared with count tables and compressors, which takes time."""

    @property
    def symbols(self) -> Vocabulary | PairVocabulary:
        """The symbols of the model."""

    @property
    def dataset(self) -> Dataset:
        """Training and validation data."""

    @property
    def record(self) -> CorpusRecord:
        """Which text or pairs it is."""

    @property
    def layout(self) -> str | None:
        """The layout of pairs; None for a text."""

    @property
    def train_characters(self) -> int:
        """Characters to train on."""


SHOWN = 3
"""Examples whose answers are shown at each validation."""

EXAMINED = 200
"""Examples among which wrong answers are looked for at the end."""


def prepare_text(
    corpus: AnyCorpus, vocabulary: Vocabulary, record: CorpusRecord, where: Path
) -> PreparedText:
    """Make ids of a text and hold out its end; characters outside the vocabulary are left out.

    Those of a large text are written to `where`.
    """
    ids = corpus.encode(vocabulary, where)
    begin = validation_start(len(ids), record.val_fraction)
    return PreparedText(vocabulary, TextDataset(ids[:begin], ids[begin:]), record)


def prepare_pairs(
    corpus: PairCorpus,
    layout: str,
    record: CorpusRecord,
    seed: int,
    known: PairVocabulary | None = None,
) -> PreparedPairs:
    """Hold some pairs out and lay all of them out for training, in `known` symbols if given."""
    split = split_pairs(corpus, layout, record.val_fraction, seed, known)
    dataset = PairDataset(
        split.pairing,
        build_examples(split.pairing, split.train),
        build_examples(split.pairing, split.validation),
    )
    return PreparedPairs(split.pairing, dataset, record, split.validation[:EXAMINED], split.notes)
