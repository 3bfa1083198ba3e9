"""Pair dataset: examples of one layout, some to train on, some to validate on."""

from collections.abc import Mapping
from dataclasses import dataclass

from charrnn.data.batch import BatchConfig
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_batches import Examples, PairBatchConfig
from charrnn.evaluation.pairs import score
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS, ValidationResult
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, StopFlag

MIN_EXACTLY_MATCHED = 1_000
"""Validation examples from which the exact match of answers decides which model is best."""


@dataclass(frozen=True)
class PairDataset:
    """Examples of one layout: a training and a validation set."""

    pairing: PairVocabulary
    train: Examples
    validation: Examples

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The examples to learn."""
        return self.train.arrays

    @property
    def validation_size(self) -> int:
        """Characters that a validation reads."""
        return int(self.validated.starts[-1])

    @property
    def best_by_exact_match(self) -> bool:
        """Whether answers are searched for, which get better while the loss already rises.

        With few validation examples chance decides on exact matches, and the loss is the better
        choice.
        """
        enough = len(self.validated) >= MIN_EXACTLY_MATCHED
        return self.pairing.layout_spec.is_searched and enough

    @property
    def validated(self) -> Examples:
        """The examples that a validation reads: the first ones, if there are very many."""
        return self.validation.first(MAX_VALIDATION_CHARACTERS)

    def beginning(self, characters: int) -> Examples:
        """Return the first training examples, at most so many characters of them."""
        return self.train.first(characters)

    def batch_config(self, config: TrainingConfig) -> BatchConfig:
        """Return batches of like length."""
        return PairBatchConfig(
            config.batch_size, config.seed, config.balance, config.label_smoothing
        )

    def validate(
        self,
        config: ModelConfig,
        parameters: Parameters,
        stop: StopFlag | None = None,
        cells: Mapping[str, type[Cell]] = CELLS,
        limit: int = 0,
    ) -> ValidationResult | None:
        """Score the validation examples."""
        found = score(config, parameters, self.validated, stop, cells)
        if found is None:
            return None
        exact = not self.pairing.layout_spec.is_sampled
        all_right = exact and found.exact_match == 1
        return ValidationResult(found.nats_per_symbol, found.metrics(exact=exact), all_right)
