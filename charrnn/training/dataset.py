"""Datasets: the training and validation data of a run, and how a model is scored on them.

Texts are in `text_dataset`, pairs in `pair_dataset`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from charrnn.data.batch import BatchConfig
from charrnn.data.pair_batches import Examples
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, Ids, StopFlag

MAX_VALIDATION_CHARACTERS = 1_000_000
"""Characters that one validation reads at most."""


@dataclass(frozen=True)
class ValidationResult:
    """Loss and other metrics of a model on the validation set."""

    nats: float
    """Nats per character, or per symbol of an answer: what decides which model is best, unless
    `Dataset.best_by_exact_match`."""
    metrics: Mapping[str, float]
    """All that is to be logged and stored, units in the names."""
    all_right: bool = False
    """Whether every answer is exactly right."""
    is_one_stream: bool = False
    """Whether `nats` is the loss of a text that is read as one sequence, to rounding."""


class Dataset(Protocol):
    """What a trainer needs to know of its material."""

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays that are read, to be seen by worker processes too."""

    @property
    def validation_size(self) -> int:
        """Characters that a validation reads; 0 if nothing can be scored."""

    @property
    def best_by_exact_match(self) -> bool:
        """Whether the best model is that with most answers exactly right; the loss decides ties."""

    def beginning(self, characters: int) -> Ids | Examples:
        """Return the beginning of the training data, at most so many characters of it."""

    def batch_config(self, config: TrainingConfig) -> BatchConfig:
        """Return how steps read these arrays."""

    def validate(
        self,
        config: ModelConfig,
        parameters: Parameters,
        stop: StopFlag | None = None,
        cells: Mapping[str, type[Cell]] = CELLS,
        limit: int = 0,
    ) -> ValidationResult | None:
        """Score a model on the validation set; None if `stop()` became true.

        `cells` are the classes of the cells by name, those of a compute backend; `limit` is
        `TrainingConfig.val_limit`.
        """
