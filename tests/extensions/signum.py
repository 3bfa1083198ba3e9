"""Signum, an optimiser whose steps have one size, registered from outside the package."""

from typing import ClassVar

import numpy as np

from charrnn.optim.optimisers import OPTIMISERS, Optimiser
from charrnn.types import Array


class Signum(Optimiser):
    """m ← β m + (1 − β) g;  w ← w − lr · sign(m).

    Bernstein et al. 2018, arXiv 1802.04434.
    """

    slots: ClassVar = ("momentum",)
    default_lr: ClassVar = 1e-3
    beta: ClassVar = 0.9

    def step(self, w: Array, g: Array, lr: float) -> None:
        """Overwrite the average m and the weights w."""
        m = self.state["momentum"]
        m *= self.beta
        m += (1 - self.beta) * g
        w -= lr * np.sign(m)


OPTIMISERS["signum"] = Signum
