"""Text dataset: a text as ids, one part to train on, one to validate on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from charrnn.data.batch import BatchConfig
from charrnn.data.text_batches import TextBatchConfig
from charrnn.evaluation.text import VALIDATION_BATCH_SIZE, stream_loss
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS, ValidationResult
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, Ids, StopFlag


def nothing() -> Ids:
    """Return a text of no characters."""
    return np.zeros(0, np.uint8)


@dataclass(frozen=True)
class TextDataset:
    """A text as ids: a training and a validation part."""

    train: Ids  # (N,)
    validation: Ids = field(default_factory=nothing)

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The text to learn."""
        return {"ids": self.train}

    @property
    def validation_size(self) -> int:
        """Characters that a validation reads, if `TrainingConfig.val_limit` is 0."""
        count = len(self.validated())
        return count if count >= 2 else 0

    @property
    def best_by_exact_match(self) -> bool:
        """A text has no answers: False."""
        return False

    def validated(self, limit: int = 0) -> Ids:
        """Return the text that a validation reads: the beginning, if it is very long.

        `limit` is `TrainingConfig.val_limit`.
        """
        return self.validation[: min(limit or MAX_VALIDATION_CHARACTERS, MAX_VALIDATION_CHARACTERS)]

    def beginning(self, characters: int) -> Ids:
        """Return the first ids of the training text, at most so many."""
        return self.train[:characters]

    def batch_config(self, config: TrainingConfig) -> BatchConfig:
        """Return the shape and seed of batches of the text."""
        count = config.batch_size * (config.seq_length if config.loss == "mean" else 1)
        return TextBatchConfig(
            config.seq_length,
            config.batch_size,
            config.seed,
            config.state_reset_prob,
            1 / count,
            config.label_smoothing,
        )

    def validate(
        self,
        config: ModelConfig,
        parameters: Parameters,
        stop: StopFlag | None = None,
        cells: Mapping[str, type[Cell]] = CELLS,
        limit: int = 0,
    ) -> ValidationResult | None:
        """Score the validation text as parallel streams."""
        ids = self.validated(limit)
        found = stream_loss(config, parameters, ids, VALIDATION_BATCH_SIZE, stop, cells=cells)
        if found is None:
            return None
        nats = found.nats_per_char
        return ValidationResult(nats, {"nats_per_char": nats}, is_one_stream=found.is_one_stream)


@dataclass(frozen=True, kw_only=True)
class DistilledText(TextDataset):
    """A text whose batches are of a longer one: itself and a generated one, with probabilities.

    Validation and baselines are of the text itself.
    """

    ids: Ids  # (N + G,)
    """The training part of the text, and behind it what teachers generated."""
    probabilities: Array  # (N + G, V)
    """Those of the teachers for each character, given those before."""

    @property
    def num_generated(self) -> int:
        """Characters that teachers generated."""
        return len(self.ids) - len(self.train)

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Both texts, and the probabilities of their characters."""
        return {"ids": self.ids, "probabilities": self.probabilities}
