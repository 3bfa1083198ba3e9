"""The vanilla recurrent cell.

    h′ = tanh(x W_xh + h W_hh + b_h)

Elman 1990, Cognitive Science 14(2); with tanh as in Karpathy's min-char-rnn (2015).
"""

from typing import ClassVar

import numpy as np

from charrnn.cells.base import Cell
from charrnn.functions import tanh_slope


class RNNCell(Cell):
    """h′ = tanh(x W_xh + h W_hh + b_h)."""

    gates: ClassVar = ("h",)
    # Rows of size 1 would saturate tanh, and the gradient with it: small ones let it travel.
    input_init: ClassVar = "uniform"
    rate_factor: ClassVar = 0.125  # without gates a large step throws the whole state about

    def step(self, t: int) -> None:
        """h′ = tanh(a + W_hh h)."""
        a = self.a[t]
        a += self.recur(t)
        np.tanh(a[0], out=self.h[t + 1])

    def begin_backward(self) -> None:
        """Take tanh′ of the whole window at once: at batch 1 a call costs more than its work."""
        super().begin_backward()
        tanh_slope(self.h[1:], out=self.a[:, 0])

    def step_backward(self, t: int) -> None:
        """da = dh′ ⊙ (1 − h′²);  dh = W_hhᵀ da."""
        np.multiply(self.dh, self.a[t, 0], out=self.da[t, 0])
        self.recur_backward(t, self.dh)
