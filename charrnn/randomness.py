"""Random number generators: one for each seed, purpose and step.

There is no global generator, so results do not depend on the order of calls: a resumed run draws
the numbers that the uninterrupted run would have drawn, and monitoring or evaluating a run does not
change its training.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are used for. The values are part of the seed: they must not change."""

    WEIGHTS = 0
    EPOCH = 1
    RESETS = 2
    DROPOUT = 3
    SAMPLING = 4
    SPLIT = 5
    SEARCH = 6


def generator(seed: int, purpose: Purpose, *when: int) -> np.random.Generator:
    """Return the generator for a purpose, and a step, an epoch or the number of a sample.

    Example:
        >>> one, other = (generator(1, Purpose.DROPOUT, 5) for _ in range(2))
        >>> one.random() == other.random()
        True
    """
    return np.random.default_rng((seed, purpose, *when))


def new_seed() -> int:
    """Return a seed from 0 to 2³² − 1, drawn from the operating system's randomness."""
    import secrets

    return secrets.randbits(32)
