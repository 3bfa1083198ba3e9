"""Batches (T, B) of a text: B streams of equal length, T characters of each at a time.

Batch number k of an epoch holds the k-th T characters of every stream, so that the state carried
over from the batch before it belongs to the preceding characters. Which batch comes at which step
is a function of the step alone: an exact resume needs no position.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.data.batch import Batch
from charrnn.errors import TextError
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class TextBatchConfig:
    """Shape, seed and weights of the batches of a text."""

    T: int
    B: int
    seed: int
    state_reset_prob: float
    loss_weight: float
    label_smoothing: float = 0.0

    def batcher(self, arrays: Mapping[str, Array]) -> "TextBatches":
        """Return the windows of the text `ids` (N,), with `probabilities` (N, V) if there are."""
        return TextBatches(
            arrays["ids"],
            self.T,
            self.B,
            self.seed,
            self.state_reset_prob,
            self.loss_weight,
            arrays.get("probabilities"),
        )


class TextBatches:
    """Endless batches of a text; each epoch starts at a random offset.

    The state of a row is reset at the first batch of an epoch, and at any other with probability
    `state_reset_prob`: a model trained without resets cannot be sampled from the zero state. At a
    probability of zero every epoch has the same batches, as in min-char-rnn.
    """

    def __init__(
        self,
        ids: Ids,
        T: int,
        B: int,
        seed: int,
        state_reset_prob: float,
        loss_weight: float = 1.0,
        probabilities: Array | None = None,
    ) -> None:
        """Lay B streams of whole batches over `ids` (N,); `TextError` if not even one fits."""
        self.ids = ids
        self.probabilities = probabilities
        self.T, self.B = T, B
        self.seed = seed
        self.state_reset_prob = state_reset_prob
        self.loss_weight = loss_weight
        self.characters_per_step = float(T * B)
        self.buffered = T * B
        predictions = len(ids) - 1
        self.steps_per_epoch = predictions // (T * B)
        if self.steps_per_epoch < 1:
            raise TextError(
                f"{len(ids):,} characters are too few for {B} sequences of {T}; "
                "try a smaller --batch-size or --seq-length"
            )
        row_length = self.steps_per_epoch * T
        self._row_starts = np.arange(B, dtype=np.int64) * row_length
        self._slack = predictions - B * row_length
        self._offsets = np.arange(T + 1, dtype=np.int64)[:, None]

    def at(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return the batch of a step, all of its rows or some."""
        epoch, number = divmod(step, self.steps_per_epoch)
        starts = self._row_starts[rows] + number * self.T + self._shift(epoch)
        places = starts + self._offsets
        text = self.ids[places]
        targets = None if self.probabilities is None else self.probabilities[places[1:]]
        reset_mask = np.full(self.B, number == 0)
        if number and self.state_reset_prob:
            draws = generator(self.seed, Purpose.RESETS, step).random(self.B)
            reset_mask = draws < self.state_reset_prob
        count = self.T * self.B
        return Batch(
            text[:-1],
            text[1:],
            reset_mask[rows],
            self.loss_weight,
            count,
            count,
            probabilities=targets,
        )

    def positions(self, step: int) -> int:
        """Return T × B."""
        return self.T * self.B

    def _shift(self, epoch: int) -> int:
        """Return the offset of an epoch, from the characters that fill no batch."""
        if not self.state_reset_prob:
            return 0
        return int(generator(self.seed, Purpose.EPOCH, epoch).integers(self._slack + 1))


MIN_BATCHES_PER_ROW = 4
"""Batches that each row should have, so that a carried state is used."""


def shrink_batch_shape(characters: int, T: int, B: int) -> tuple[int, int]:
    """Shrink B, then T, until a text has at least `MIN_BATCHES_PER_ROW` batches in each row."""
    room = max(1, (characters - 1) // MIN_BATCHES_PER_ROW)
    B = max(1, min(B, room // T))
    return min(T, room // B), B
