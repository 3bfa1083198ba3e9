"""Batches of ids (T, B), and the protocols of what makes them: texts and pairs alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of one training step, for all rows or for some of them."""

    inputs: Ids  # (T, B)
    """What the network reads."""
    targets: Ids  # (T, B)
    """What it should predict; in a text, the inputs one character later."""
    reset_mask: Array  # (B,), bool
    """Rows that start from the zero state."""
    weights: Array | float  # (T, B)
    """Weight of each prediction in the loss; 0 for padding."""
    num_targets: int
    """Predictions that count, in all rows of the step."""
    num_inputs: int
    """Characters read in all rows of the step, without padding."""
    lengths: Ids | None = None  # (B,)
    """Positions of each row without padding; None if all have T."""
    first_targets: Ids | None = None  # (B,)
    """First position of each row that has a target; None if it is 0 in all."""
    probabilities: Array | None = None  # (T, B, V)
    """Target distributions in place of the one-hot targets, for distillation; None without."""


class Batcher(Protocol):
    """Source of batches, as a function of the step alone."""

    steps_per_epoch: int
    """Steps that read all of the data once."""
    characters_per_step: float
    """Characters that a step reads, on average."""
    buffered: int
    """Positions T × B of all batches of different length: what buffers are needed for."""

    def at(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return the batch of a step, with all of its rows or some."""

    def positions(self, step: int) -> int:
        """Return T × B of a step with its padding: its time is proportional to that."""


class BatchConfig(Protocol):
    """Shape and seed of batches, as a plain value that worker processes receive."""

    @property
    def B(self) -> int:  # noqa: N802  # the letter of this axis
        """Rows of a batch."""

    @property
    def seed(self) -> int:
        """Seed of everything random in a step."""

    @property
    def label_smoothing(self) -> float:
        """Share of each target that goes to all symbols alike, from 0 to below 1."""

    def batcher(self, arrays: Mapping[str, Array]) -> Batcher:
        """Return the batches over these arrays."""
