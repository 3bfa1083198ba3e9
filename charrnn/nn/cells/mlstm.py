"""Multiplicative long short-term memory: the input scales the state that the gates read.

    s       = 1 + x W_xs + b_s                the scale of each unit, by the input alone
    m       = s ⊙ h
    i, f, o = σ(x W_xh + m W_hh + b_h)        input, forget and output gate
    g       = tanh(x W_xh + m W_hh + b_h)     candidate
    c′ = f ⊙ c + i ⊙ g
    h′ = o ⊙ tanh(c′)

So each character has recurrent weights of its own, diag(s) W_hh, as in the multiplicative RNN of
Sutskever, Martens & Hinton 2011 (ICML). In the multiplicative LSTM of Krause et al. 2016 (arXiv
1609.07959) m is (x W_mx) ⊙ (h W_mh); here W_mh is the identity, so that a step takes no further
product, and s begins at 1, so that the cell begins as an LSTM. The same scale with σ instead of the
identity is one round of the Mogrifier LSTM (Melis, Kočiský & Blunsom 2020, arXiv 1909.01792).

W_xs and 1 + b_s are the last slice of `W_xh` (5, D, H) and of `b_h` (5, H), behind the four gates.
"""

from collections.abc import Mapping

import numpy as np

from charrnn.nn.cells.lstm import LSTMCell
from charrnn.types import Array, Shapes

SCALE = 4
"""Index of s behind the gates."""


class MLSTMCell(LSTMCell):
    """m = s ⊙ h;  c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    @classmethod
    def shapes(cls, D: int, H: int) -> Shapes:
        """Add the weights and the bias of s behind those of the gates."""
        return {**super().shapes(D, H), "W_xh": (SCALE + 1, D, H), "b_h": (SCALE + 1, H)}

    @classmethod
    def initialise_biases(cls, weights: Mapping[str, Array], forget_bias: float) -> None:
        """Set the bias of the forget gate, and s to 1 for every input."""
        super().initialise_biases(weights, forget_bias)
        weights["W_xh"][SCALE] = 0
        weights["b_h"][SCALE] = 1

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Add the buffer of m."""
        super().__init__(weights, gradients, T, B)
        self.m = np.zeros_like(self.h[1:])

    @property
    def recurrent_inputs(self) -> Array:
        """The m of each step (T, B, H)."""
        return self.m

    def recurrent_projection(self, t: int) -> Array:
        """u = m W_hh (G, B, H)."""
        np.multiply(self.h[t], self.a[SCALE, t], out=self.m[t])
        return self.recurrent.multiply(self.m[t])

    def recurrent_projection_backward(self, t: int, dh: Array) -> None:
        """dm = Σ du W_hhᵀ;  ds = dm ⊙ h;  dh = dm ⊙ s."""
        super().recurrent_projection_backward(t, dh)
        np.multiply(dh, self.h[t], out=self.da[SCALE, t])
        dh *= self.a[SCALE, t]
