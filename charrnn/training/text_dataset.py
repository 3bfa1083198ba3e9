"""What a run learns from and is judged by: a text here, pairs in `pair_lessons`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from charrnn.analysis.gradient_profile import Profile, profile
from charrnn.data.text_batches import Reading
from charrnn.evaluation.text import VALIDATION_LANES, evaluate
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, Ids

LONGEST_VALIDATION = 1_000_000
"""Characters that one validation reads at most."""

LONGEST_PROFILE = 1_000_000
"""Characters from which the places are chosen that the gradient is followed back from."""


@dataclass(frozen=True)
class Scores:
    """What a model is worth on what is held out."""

    nats: float
    """What decides which model is best: nats per character, or per symbol of an answer."""
    figures: Mapping[str, float]
    """All that is to be logged and stored, units in the names."""
    solved: bool = False
    """Whether there is nothing left to learn."""


class Lessons(Protocol):
    """What a trainer needs to know of its material."""

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays that are read, to be seen by worker processes too."""

    @property
    def held_out(self) -> int:
        """Characters that a validation reads; 0 if nothing can be scored."""

    def reading(self, config: TrainingConfig) -> Reading:
        """Return how steps read these arrays."""

    def validate(
        self, config: ModelConfig, parameters: Parameters, stop: Callable[[], bool] | None = None
    ) -> Scores | None:
        """Score what is held out; None if `stop` said so on the way."""

    def gradient_profile(
        self, config: ModelConfig, parameters: Parameters, *, lags: int, windows: int, seed: int = 0
    ) -> Profile:
        """Follow the gradient back from guesses in what is trained on."""


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
        return config.lanes

    def validate(
        self, config: ModelConfig, parameters: Parameters, stop: Callable[[], bool] | None = None
    ) -> Scores | None:
        """Score the held-out part on some lanes side by side."""
        held = self.held[:LONGEST_VALIDATION]
        nats = evaluate(config, parameters, held, VALIDATION_LANES, stop)
        return None if nats is None else Scores(nats, {"nats_per_char": nats})

    def gradient_profile(
        self, config: ModelConfig, parameters: Parameters, *, lags: int, windows: int, seed: int = 0
    ) -> Profile:
        """Follow the gradient back from places in the text."""
        text = self.train[:LONGEST_PROFILE]
        return profile(config, parameters, text, lags=lags, windows=windows, seed=seed)
