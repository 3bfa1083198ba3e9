"""The gated recurrent unit, in the reset-after form of cuDNN and PyTorch.

    r, z = σ(x W_xh + h W_hh + b_h)                       reset and update gate
    n    = tanh(x W_xh + b_h + r ⊙ (h W_hh + b_n))        candidate
    h′   = (1 − z) ⊙ n + z ⊙ h

Cho et al. 2014, arXiv 1406.1078, who reset before the product: n = tanh(x W + (r ⊙ h) U), and whose
z has the other sign, as in char-rnn and makemore. Resetting after lets one product serve all gates.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charrnn.nn.cells.base import Cell
from charrnn.nn.ops import sigmoid, sigmoid_slope, tanh_slope
from charrnn.types import Array, Shapes


class GRUCell(Cell):
    """h′ = (1 − z) ⊙ n + z ⊙ h."""

    gates: ClassVar = ("r", "z", "n")
    keep_gate: ClassVar = "z"
    input_init: ClassVar = "normal:1"
    lr_scale: ClassVar = 0.5

    @classmethod
    def shapes(cls, D: int, H: int) -> Shapes:
        """Add `b_n`, the bias inside the reset."""
        return {**super().shapes(D, H), "b_n": (H,)}

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Add buffers for q = h W_hh + b_n, which the reset gate scales, and derivatives."""
        super().__init__(weights, gradients, T, B)
        self.b_n = weights["b_n"]
        self.q = np.zeros_like(self.h[1:])
        if gradients is not None:
            self.slope = np.zeros_like(self.a)
            self.du = np.zeros_like(self.da)  # da for r and z, r ⊙ da for the candidate
        self.scratch = np.zeros_like(self.h[0])

    def step(self, t: int) -> None:
        """n = tanh(a_n + r ⊙ q);  h′ = n + z ⊙ (h − n)."""
        a, u, h_next = self.a[:, t], self.recurrent_projection(t), self.h[t + 1]
        a[:2] += u[:2]
        r, z = sigmoid(a[:2], out=a[:2])
        n = a[2]
        q = np.add(u[2], self.b_n, out=self.q[t])
        n += np.multiply(r, q, out=self.scratch)
        np.tanh(n, out=n)
        np.subtract(self.h[t], n, out=h_next)
        h_next *= z
        h_next += n

    def begin_backward(self) -> None:
        """Compute the derivatives of h′ by a_z and a_n, and of a_n by a_r, of all steps at once.

        ∂h′/∂a_z = (h − n) z(1−z);  ∂h′/∂a_n = (1−z)(1−n²);  ∂a_n/∂a_r = q r(1−r).
        """
        super().begin_backward()
        _, z, n = self.a
        sigmoid_slope(self.a[:2], out=self.slope[:2])
        tanh_slope(n, out=self.slope[2])
        self.slope[0] *= self.q
        # da[1] and da[2] are scratch space here: `step_backward` overwrites them step by step.
        self.slope[1] *= np.subtract(self.h[:-1], n, out=self.da[1])
        self.slope[2] *= np.subtract(1, z, out=self.da[2])

    def step_backward(self, t: int) -> None:
        """da_n = dh′ ⊙ ∂h′/∂a_n;  da_r = da_n ⊙ ∂a_n/∂a_r;  dh = dh′ ⊙ z + Σ du W_hhᵀ."""
        da, du = self.da[:, t], self.du[:, t]
        r, z, _ = self.a[:, t]
        np.multiply(self.dh, self.slope[1:, t], out=da[1:])
        np.multiply(da[2], self.slope[0, t], out=da[0])
        du[:2] = da[:2]
        np.multiply(da[2], r, out=du[2])
        direct = np.multiply(self.dh, z, out=self.scratch)
        self.recurrent_projection_backward(t, self.dh)
        self.dh += direct

    def backward(self, dh: Array) -> None:
        """Also overwrite db_n = Σ r ⊙ da_n."""
        super().backward(dh)
        assert self.gradients is not None
        np.sum(self.du[2], axis=(0, 1), out=self.gradients["b_n"])
