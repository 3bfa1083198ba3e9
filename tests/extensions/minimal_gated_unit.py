"""Minimal gated unit, a cell with one gate, registered from outside the package.

    f  = σ(x W_xh + h W_hh + b_h)         forget gate
    n  = tanh(x W_xh + h W_hh + b_h)      candidate
    h′ = f ⊙ h + (1 − f) ⊙ n

After Zhou et al. 2016, arXiv 1603.09420, without their product f ⊙ h inside the candidate.
"""

from typing import ClassVar

import numpy as np

from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.ops import sigmoid


class MinimalGatedUnit(Cell):
    """h′ = f ⊙ h + (1 − f) ⊙ n."""

    gates: ClassVar = ("f", "n")
    keep_gate: ClassVar = "f"
    input_init: ClassVar = "normal:1"

    def step(self, t: int) -> None:
        """f = σ(a_f);  n = tanh(a_n);  h′ = f ⊙ h + (1 − f) ⊙ n."""
        a = self.a[:, t]
        a += self.recurrent_projection(t)
        f, n = sigmoid(a[0], out=a[0]), np.tanh(a[1], out=a[1])
        self.h[t + 1] = f * self.h[t] + (1 - f) * n

    def step_backward(self, t: int) -> None:
        """da_f = dh′ ⊙ (h − n) f(1−f);  da_n = dh′ ⊙ (1−f)(1−n²);  dh = dh′ ⊙ f + Σ da W_hhᵀ."""
        f, n = self.a[:, t]
        dh = self.dh.copy()
        self.da[0, t] = dh * (self.h[t] - n) * f * (1 - f)
        self.da[1, t] = dh * (1 - f) * (1 - n * n)
        self.recurrent_projection_backward(t, self.dh)
        self.dh += dh * f


CELLS["mgu"] = MinimalGatedUnit
