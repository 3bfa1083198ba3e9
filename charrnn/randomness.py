"""Random numbers as a function of the seed, what they are for, and when.

No generator walks along with training: each purpose at each step has its own. So the seed and the
step are the whole state of the generator, an interrupted run draws what the uninterrupted one
would have drawn, and watching or evaluating cannot change what training sees.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for; the numbers are part of what a seed means."""

    WEIGHTS = 0
    EPOCH = 1
    RESETS = 2
    DROPOUT = 3
    SAMPLING = 4
    SPLIT = 5


def generator(seed: int, purpose: Purpose, *when: int) -> np.random.Generator:
    """Return the generator for this purpose at this step (and lane, or epoch)."""
    return np.random.default_rng((seed, purpose, *when))


def new_seed() -> int:
    """Draw a seed from the system's own randomness."""
    import secrets

    return secrets.randbits(32)
