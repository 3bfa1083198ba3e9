"""The vanilla recurrent cell.

    h′ = tanh(x W_xh + h W_hh + b_h)

Elman 1990, Cognitive Science 14(2); with tanh as in Karpathy's min-char-rnn (2015).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from charrnn.nn.cells.base import Cell
from charrnn.nn.ops import tanh_slope
from charrnn.types import Array

if TYPE_CHECKING:
    from charrnn.nn.model_config import ModelConfig


class RNNCell(Cell):
    """h′ = tanh(x W_xh + h W_hh + b_h)."""

    gates: ClassVar = ("h",)
    # Rows of length 1 would saturate tanh, so that its gradient vanishes; small ones do not.
    input_init: ClassVar = "uniform"
    lr_scale: ClassVar = 0.125  # ungated cells diverge at larger learning rates

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Make views of every step once: at B = 1 making one takes as long as using it."""
        super().__init__(weights, gradients, T, B)
        self.h_at, self.a_at = list(self.h), list(self.a[0])
        if gradients is not None:
            self.da_at = list(self.da[0])

    def step(self, t: int) -> None:
        """h′ = tanh(a + h W_hh)."""
        a = self.a_at[t]
        a += self.recurrent.multiply_single(self.h_at[t])
        np.tanh(a, out=self.h_at[t + 1])

    def begin_backward(self) -> None:
        """Compute tanh′ = 1 − h′² of all steps at once; it replaces the pre-activations."""
        super().begin_backward()
        tanh_slope(self.h[1:], out=self.a[0])

    def step_backward(self, t: int) -> None:
        """da = dh′ ⊙ (1 − h′²);  dh = da W_hhᵀ."""
        da = np.multiply(self.dh, self.a_at[t], out=self.da_at[t])
        self.dh = self.recurrent_T.multiply_single(da)

    def jacobian_bounds(self) -> Array:
        """max(1 − h′²) σ_max(W_hh): the Jacobian is W_hh with its columns times 1 − h′²."""
        slopes = np.max(1 - self.h[1:] ** 2, axis=(1, 2))
        bounds: Array = slopes * np.linalg.norm(self.W_hh[0], 2)
        return bounds

    @classmethod
    def memory_remedies(cls, config: "ModelConfig", gap: int | None = None) -> list[str]:
        """Advise a cell with gates; other initialisations did not lower the loss."""
        return ["--cell lstm"]
