"""Long short-term memory.

    i, f, o = σ(x W_xh + h W_hh + b_h)        what to write, what to keep, what to show
    g       = tanh(x W_xh + h W_hh + b_h)     what there is to write
    c′ = f ⊙ c + i ⊙ g
    h′ = o ⊙ tanh(c′)

Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et al. 2000
and without peepholes. Gates are stored in the order i, f, o, g (PyTorch's is i, f, g, o).
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array
from charrnn.cells.base import Cell
from charrnn.functions import sigmoid, sigmoid_slope, tanh_slope


class LSTMCell(Cell):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    gates: ClassVar = ("i", "f", "o", "g")
    states: ClassVar = ("h", "c")
    input_init: ClassVar = "normal:1"

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Add the memory, and what its way back needs."""
        super().__init__(weights, gradients, T, B)
        self.c = np.zeros_like(self.h)
        self.tanh_c = np.zeros_like(self.h[1:])
        self.scratch = np.zeros_like(self.h[0])
        if gradients is not None:
            self.dc = np.zeros_like(self.dh)

    def step(self, t: int) -> None:
        """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""
        a = self.a[t]
        a += self.recur(t)
        sigmoid(a[:3], out=a[:3])
        np.tanh(a[3], out=a[3])
        i, f, o, g = a
        c_next = np.multiply(f, self.c[t], out=self.c[t + 1])
        c_next += np.multiply(i, g, out=self.scratch)
        np.multiply(o, np.tanh(c_next, out=self.tanh_c[t]), out=self.h[t + 1])

    def begin_backward(self) -> None:
        """As every cell, and dc = 0."""
        super().begin_backward()
        self.dc.fill(0)

    def through_output(self, t: int) -> Array:
        """Return dh′ ⊙ o (1 − tanh²(c′)): what c′ receives by way of h′; a buffer (H, B)."""
        dc = tanh_slope(self.tanh_c[t], out=self.scratch)
        dc *= self.a[t, 2]
        dc *= self.dh
        return dc

    def step_backward(self, t: int) -> None:
        """dc += ∂h′/∂c′ dh′, then each gate through its slope; dc ← dc ⊙ f;  dh = W_hhᵀ da.

        da_i = dc g i(1−i);  da_f = dc c f(1−f);  da_o = dh′ tanh(c′) o(1−o);  da_g = dc i (1−g²).
        """
        gates, da = self.a[t], self.da[t]
        i, f, _, g = gates
        self.dc += self.through_output(t)
        sigmoid_slope(gates[:3], out=da[:3])
        tanh_slope(g, out=da[3])
        da[:2] *= self.dc
        da[3] *= self.dc
        da[0] *= g
        da[1] *= self.c[t]
        da[2] *= np.multiply(self.dh, self.tanh_c[t], out=self.scratch)
        da[3] *= i
        self.dc *= f
        self.recur_backward(t, self.dh)
