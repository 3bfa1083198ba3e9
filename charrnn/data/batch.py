"""Batches of ids (T, B), and the protocols of what makes them: texts and pairs alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Batch:
    """What a network reads, what it should guess, and which lanes begin from the zero state."""

    inputs: Ids  # (T, B)
    targets: Ids  # (T, B): in a text, the inputs one character later
    reset_mask: Array  # (B,), bool
    weights: Array | float  # (T, B): what the nats of each guess count in the loss
    scored: int  # guesses that count, those of the step's other lanes included
    read: int  # characters read, likewise: all positions but padding


class Batcher(Protocol):
    """Where windows come from, as a function of the step alone."""

    steps_per_epoch: int
    characters_per_step: float
    """Characters that a step reads, on average."""

    buffered: int
    """Positions T × B of all windows of different length: what buffers are needed for."""

    def at(self, step: int, lanes: slice = slice(None)) -> Batch:
        """Return the window of this step, of all lanes or of some."""

    def positions(self, step: int) -> int:
        """Return T × B of this step, padding included: what its time goes with."""


class BatchConfig(Protocol):
    """How steps read, as a plain value that worker processes receive."""

    @property
    def B(self) -> int:  # noqa: N802  # the letter of this axis
        """Lanes of a step."""

    @property
    def seed(self) -> int:
        """Seed of all that is random about a step."""

    def batcher(self, arrays: Mapping[str, Array]) -> Batcher:
        """Return the windows over these arrays."""
