"""Long short-term memory.

    i, f, o = σ(x W_xh + h W_hh + b_h)        input, forget and output gate
    g       = tanh(x W_xh + h W_hh + b_h)     candidate
    c′ = f ⊙ c + i ⊙ g
    h′ = o ⊙ tanh(c′)

Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et al. 2000
and without peepholes. Gates are stored in the order i, f, o, g (PyTorch's is i, f, g, o).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from charrnn.nn.cells.base import Cell, bias_for_gap
from charrnn.nn.ops import sigmoid, sigmoid_slope, tanh_slope
from charrnn.types import Array

if TYPE_CHECKING:
    from charrnn.nn.model_config import ModelConfig


class LSTMCell(Cell):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    gates: ClassVar = ("i", "f", "o", "g")
    states: ClassVar = ("h", "c")
    keep_gate: ClassVar = "f"
    forget_bias_gate: ClassVar = "f"
    input_init: ClassVar = "normal:1"

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Add the memory c, tanh(c), and buffers for the derivatives."""
        super().__init__(weights, gradients, T, B)
        self.c = np.zeros_like(self.h)
        self.tanh_c = np.zeros_like(self.h[1:])
        self.gate_a = self.a[: len(self.gates)]
        """The part of `a` that belongs to gates: all of it, unless a subclass has more."""
        if gradients is not None:
            self.slope = np.zeros_like(self.gate_a)
            self.dc = np.zeros_like(self.dh)
            self.dc_dh = np.zeros_like(self.tanh_c)
        self.scratch = np.zeros_like(self.h[0])

    def step(self, t: int) -> None:
        """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""
        a = self.gate_a[:, t]
        a += self.recurrent_projection(t)
        sigmoid(a[:3], out=a[:3])
        np.tanh(a[3], out=a[3])
        i, f, o, g = a
        c, c_next = self.c[t], self.c[t + 1]
        np.multiply(f, c, out=c_next)
        c_next += np.multiply(i, g, out=self.scratch)
        np.multiply(o, np.tanh(c_next, out=self.tanh_c[t]), out=self.h[t + 1])

    def begin_backward(self) -> None:
        """Compute the derivatives of c′, for o those of h′, by the gates, of all steps at once.

        ∂c′/∂a_i = g i(1−i);  ∂c′/∂a_f = c f(1−f);  ∂h′/∂a_o = tanh(c′) o(1−o);
        ∂c′/∂a_g = i (1−g²);  ∂h′/∂c′ = o (1 − tanh²(c′)).
        """
        super().begin_backward()
        self.dc.fill(0)
        i, _, o, g = self.gate_a
        sigmoid_slope(self.gate_a[:3], out=self.slope[:3])
        tanh_slope(g, out=self.slope[3])
        for slope, factor in zip(self.slope, (g, self.c[:-1], self.tanh_c, i), strict=True):
            slope *= factor
        tanh_slope(self.tanh_c, out=self.dc_dh)
        self.dc_dh *= o

    def step_backward(self, t: int) -> None:
        """dc += dh′ ⊙ ∂h′/∂c′;  da = dc ⊙ ∂c′/∂a, but dh′ ⊙ ∂h′/∂a_o for o;  dc ← dc ⊙ f."""
        self.dc += np.multiply(self.dh, self.dc_dh[t], out=self.scratch)
        np.multiply(self.dc, self.slope[:, t], out=self.du[:, t])
        np.multiply(self.dh, self.slope[2, t], out=self.du[2, t])
        self.dc *= self.a[1, t]
        self.recurrent_projection_backward(t, self.dh)

    def total_state_gradients(self, t: int) -> list[Array]:
        """∂ℓ/∂c′ with h′ = o ⊙ tanh(c′) as a function of c′, and ∂ℓ/∂h′."""
        return [self.dc + self.dh * self.dc_dh[t], self.dh]

    @classmethod
    def memory_remedies(cls, config: "ModelConfig", gap: int | None = None) -> list[str]:
        """Advise a forget bias for a known gap; on texts a larger one raised the loss."""
        bias = bias_for_gap(max(3, gap or 0))
        return [] if gap is None or config.forget_bias >= bias else [f"--forget-bias {bias:g}"]
