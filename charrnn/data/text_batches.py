"""From a text as ids to windows (T, B) along B lanes.

The text is cut into B lanes of equal length, and window number k of an epoch covers the k-th T
characters of every lane, so the state carried from the window before is the right one. Which
window comes at which step is a function of the step alone: an exact resume needs no cursor.
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
    """How a step reads a text: windows of T characters along B lanes."""

    T: int
    B: int
    seed: int
    state_reset_prob: float
    loss_weight: float

    def batcher(self, arrays: Mapping[str, Array]) -> "TextBatches":
        """Return the windows of the text `ids` (N,)."""
        return TextBatches(
            arrays["ids"], self.T, self.B, self.seed, self.state_reset_prob, self.loss_weight
        )


class TextBatches:
    """The windows of a text, for ever: epoch after epoch, each a little shifted.

    Lanes begin anew at the first window of an epoch, and at any other with probability
    `state_reset_prob`: a model that never meets the zero state cannot be sampled from it. At a
    probability of zero every epoch has the same windows, as in min-char-rnn.
    """

    def __init__(
        self, ids: Ids, T: int, B: int, seed: int, state_reset_prob: float, loss_weight: float = 1.0
    ) -> None:
        """Lay B lanes of whole windows over `ids` (N,); `TextError` if not even one fits."""
        self.ids = ids
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
        lane_length = self.steps_per_epoch * T
        self._lane_starts = np.arange(B, dtype=np.int64) * lane_length
        self._slack = predictions - B * lane_length
        self._offsets = np.arange(T + 1, dtype=np.int64)[:, None]

    def at(self, step: int, lanes: slice = slice(None)) -> Batch:
        """Return the window of this step, of all lanes or of some."""
        epoch, number = divmod(step, self.steps_per_epoch)
        starts = self._lane_starts[lanes] + number * self.T + self._shift(epoch)
        text = self.ids[starts + self._offsets]
        reset_mask = np.full(self.B, number == 0)
        if number and self.state_reset_prob:
            draws = generator(self.seed, Purpose.RESETS, step).random(self.B)
            reset_mask = draws < self.state_reset_prob
        count = self.T * self.B
        return Batch(text[:-1], text[1:], reset_mask[lanes], self.loss_weight, count, count)

    def positions(self, step: int) -> int:
        """Return T × B."""
        return self.T * self.B

    def _shift(self, epoch: int) -> int:
        """Return where this epoch's first lane begins: what fills no window is spare."""
        if not self.state_reset_prob:
            return 0
        return int(generator(self.seed, Purpose.EPOCH, epoch).integers(self._slack + 1))


FEWEST_WINDOWS = 4
"""Windows a lane should have, so that the carried state and the epochs mean something."""


def fit(characters: int, T: int, B: int) -> tuple[int, int]:
    """Shrink lanes, then the window, until every lane has at least `FEWEST_WINDOWS` windows."""
    room = max(1, (characters - 1) // FEWEST_WINDOWS)
    B = max(1, min(B, room // T))
    return min(T, room // B), B
