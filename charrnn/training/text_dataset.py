"""Text dataset: a text as ids, one part to train on, one to validate on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from charrnn.data.batch import Reading
from charrnn.data.text_batches import Lanes
from charrnn.evaluation.text import VALIDATION_LANES, evaluate
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.dataset import LONGEST_VALIDATION, Scores
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, Ids


def nothing() -> Ids:
    """Return a text of no characters."""
    return np.zeros(0, np.uint8)


@dataclass(frozen=True)
class TextLessons:
    """A text as ids: one part to learn the next character from, one held out."""

    train: Ids  # (N,)
    held: Ids = field(default_factory=nothing)

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The text to learn."""
        return {"ids": self.train}

    @property
    def held_out(self) -> int:
        """Characters that a validation reads."""
        count = min(len(self.held), LONGEST_VALIDATION)
        return count if count >= 2 else 0

    def reading(self, config: TrainingConfig) -> Reading:
        """Return windows along lanes."""
        count = config.batch * (config.seq_length if config.loss == "mean" else 1)
        return Lanes(config.seq_length, config.batch, config.seed, config.reset_rate, 1 / count)

    def validate(
        self, config: ModelConfig, parameters: Parameters, stop: Callable[[], bool] | None = None
    ) -> Scores | None:
        """Score the held-out part on some lanes side by side."""
        held = self.held[:LONGEST_VALIDATION]
        nats = evaluate(config, parameters, held, VALIDATION_LANES, stop)
        return None if nats is None else Scores(nats, {"nats_per_char": nats})
