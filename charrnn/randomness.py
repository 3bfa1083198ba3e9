"""Random number generators: one for each seed, purpose and step.

There is no global generator, so results do not depend on the order of calls: a resumed run draws
the numbers that the uninterrupted run would have drawn, and monitoring or evaluating a run does not
change its training.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from charrnn.types import Array


class Purpose(IntEnum):
    """What random numbers are used for. The values are part of the seed: they must not change."""

    WEIGHTS = 0
    EPOCH = 1
    RESETS = 2
    DROPOUT = 3
    SAMPLING = 4
    SPLIT = 5
    SEARCH = 6
    GENERATED = 7


def generator(seed: int, purpose: Purpose, *when: int) -> np.random.Generator:
    """Return the generator for a purpose, and a step, an epoch or the number of a sample.

    Example:
        >>> one, other = (generator(1, Purpose.DROPOUT, 5) for _ in range(2))
        >>> one.random() == other.random()
        True
    """
    return np.random.default_rng((seed, purpose, *when))


@dataclass(frozen=True)
class DropoutDraws:
    """Random numbers of the dropout masks of one step, the same however its rows are shared.

    Those of the outputs of a layer are one stream, row after row: whoever computes some rows of a
    batch moves on to the first of them (`PCG64.advance`). Those of weights concern all rows.

    Args:
        seed: the seed of the run.
        step: the number of the step, from 0.
        first_row: the number of the first row that is computed, in the whole batch.

    Example:
        >>> whole, part = DropoutDraws(1, step=5), DropoutDraws(1, step=5, first_row=2)
        >>> bool((part.outputs(0, 4, 3, 8) == whole.outputs(0, 4, 5, 8)[:, 2:]).all())
        True
    """

    seed: int
    step: int = 0
    first_row: int = 0

    def outputs(self, layer: int, T: int, B: int, H: int) -> Array:
        """Return uniform numbers from 0 to below 1, (T, B, H) in float32, for a layer's outputs."""
        bits = np.random.PCG64((self.seed, Purpose.DROPOUT, self.step, 0, layer))
        rng, before = np.random.Generator(bits), self.first_row * T * H
        bits.advance(before // 2)  # a draw of 64 bits makes two numbers in float32
        rng.random(before % 2, dtype=np.float32)
        return rng.random((B, T, H), dtype=np.float32).transpose(1, 0, 2)

    def weights(self, number: int, shape: tuple[int, ...]) -> Array:
        """Return uniform numbers from 0 to below 1, in float32, for a matrix of weights."""
        rng = generator(self.seed, Purpose.DROPOUT, self.step, 1, number)
        return rng.random(shape, dtype=np.float32)


def new_seed() -> int:
    """Return a seed from 0 to 2³² − 1, drawn from the operating system's randomness."""
    import secrets

    return secrets.randbits(32)
