"""The vanilla recurrent cell.

    h′ = tanh(x W_xh + h W_hh + b_h)

Elman 1990, Cognitive Science 14(2); with tanh as in Karpathy's min-char-rnn (2015).
"""

from typing import ClassVar

import numpy as np

from charrnn.arrays import Array
from charrnn.cells.base import Cell
from charrnn.functions import tanh_slope


class RNNCell(Cell):
    """h′ = tanh(x W_xh + h W_hh + b_h)."""

    gates: ClassVar = ("h",)
    # Rows of size 1 would saturate tanh, and the gradient with it: small ones let it travel.
    input_init: ClassVar = "uniform"
    rate_factor: ClassVar = 0.125  # without gates a large step throws the whole state about

    def step(self, t: int) -> None:
        """h′ = tanh(a + h W_hh)."""
        a = self.a[0, t]
        a += self.recur(t)
        np.tanh(a, out=self.h[t + 1])

    def begin_backward(self) -> None:
        """Take tanh′ of the whole window at once."""
        super().begin_backward()
        tanh_slope(self.h[1:], out=self.a[0])

    def step_backward(self, t: int) -> None:
        """da = dh′ ⊙ (1 − h′²);  dh = da W_hhᵀ."""
        np.multiply(self.dh, self.a[0, t], out=self.da[0, t])
        self.recur_backward(t, self.dh)

    # One gate needs no batched product and no sum: at batch 1 their overhead is a third of a step.

    def recur(self, t: int) -> Array:
        """u = h W_hh (B, H)."""
        u: Array = np.dot(self.h[t], self.W_hh[0], out=self.u[0])
        return u

    def recur_backward(self, t: int, dh: Array) -> None:
        """dh = da W_hhᵀ."""
        np.dot(self.da[0, t], self.W_hh_T[0], out=dh)
