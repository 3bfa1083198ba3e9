"""Numba backend: cells and optimisers compiled by Numba, an optional dependency.

NumPy reads and writes memory once for every operation of a formula. Here all elementwise operations
of a step are one loop, which the compiler turns into vector instructions; for a vanilla RNN with
B = 1 the whole loop over time is compiled, products included. Results agree with `charrnn.nn.cells`
to rounding error, not bit for bit, so a resumed run keeps its backend.

Float32 only: `ONE` is written where 1 would make a formula float64.
"""

from typing import Any, ClassVar

import numpy as np

from charrnn.nn.cells import Cell, GRUCell, LSTMCell, MLSTMCell, RNNCell
from charrnn.optim.optimisers import Adagrad, DampedAdagrad, Muon, Optimiser
from charrnn.training.numba_compile import compiled
from charrnn.training.numba_products import CompiledProducts
from charrnn.types import Array

ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


LN_2 = np.float32(np.log(2))
LN_2_HIGH = np.float32(0.693359375)  # has few digits, so its small multiples are exact
LN_2_LOW = np.float32(np.log(2) - 0.693359375)
SERIES = tuple(np.float32(1 / n) for n in range(2, 8))
MAX_EXPONENT = np.float32(87)  # e⁸⁸·⁷ is the largest in float32
BIAS, MANTISSA = np.int32(127), np.int32(23)  # of a float32's exponent


@compiled()
def expm1(x: Any) -> Any:
    """eˣ − 1 for |x| ≤ 87: x = n ln 2 + r, Taylor's series for r, and 2ⁿ by its bits.

    For |r| ≤ ln(2)/2 the terms after the seventh are 5e-9 of it. Numba calls scalar functions of
    the C library for np.exp and np.tanh unless Intel's SVML is installed; these formulas become
    vector instructions on every processor.
    """
    n = np.rint(x / LN_2)
    r = (x - n * LN_2_HIGH) - n * LN_2_LOW
    series = ONE + r * SERIES[5]
    for k in (4, 3, 2, 1, 0):
        series = ONE + series * r * SERIES[k]
    power = np.int32((np.int32(n) + BIAS) << MANTISSA).view(np.float32)
    return power * (series * r) + (power - ONE)


@compiled()
def clipped(x: Any) -> Any:
    """Return x limited to ±87; NaN stays NaN, so that training notices it."""
    x = MAX_EXPONENT if x > MAX_EXPONENT else x
    return -MAX_EXPONENT if x < -MAX_EXPONENT else x


@compiled()
def sigmoid32(x: Any) -> Any:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return ONE / (TWO + expm1(clipped(-x)))


@compiled()
def tanh32(x: Any) -> Any:
    """Tanh x = (e²ˣ − 1) / (e²ˣ + 1), exact to rounding for small x too."""
    m = expm1(clipped(x + x))
    return m / (m + TWO)


@compiled()
def lstm_step(t: int, a: Array, u: Array, c: Array, tanh_c: Array, h: Array) -> None:
    """Turn pre-activations a[:, t], with u = h W_hh still to be added, into gates and new state."""
    _, _, B, H = a.shape
    for b in range(B):
        for j in range(H):
            i = sigmoid32(a[0, t, b, j] + u[0, b, j])
            f = sigmoid32(a[1, t, b, j] + u[1, b, j])
            o = sigmoid32(a[2, t, b, j] + u[2, b, j])
            g = tanh32(a[3, t, b, j] + u[3, b, j])
            a[0, t, b, j], a[1, t, b, j], a[2, t, b, j], a[3, t, b, j] = i, f, o, g
            c_next = f * c[t, b, j] + i * g
            squashed = tanh32(c_next)
            c[t + 1, b, j], tanh_c[t, b, j] = c_next, squashed
            h[t + 1, b, j] = o * squashed


@compiled()
def lstm_step_backward(
    t: int, a: Array, c: Array, tanh_c: Array, dh: Array, dc: Array, da: Array
) -> None:
    """Fill da[:, t] from dh and dc, the gradients of slot t + 1; leave that of c in slot t."""
    _, _, B, H = a.shape
    for b in range(B):
        for j in range(H):
            i, f, o, g = a[0, t, b, j], a[1, t, b, j], a[2, t, b, j], a[3, t, b, j]
            squashed, d = tanh_c[t, b, j], dh[b, j]
            dc_next = dc[b, j] + d * o * (ONE - squashed * squashed)
            da[0, t, b, j] = dc_next * g * i * (ONE - i)
            da[1, t, b, j] = dc_next * c[t, b, j] * f * (ONE - f)
            da[2, t, b, j] = d * squashed * o * (ONE - o)
            da[3, t, b, j] = dc_next * i * (ONE - g * g)
            dc[b, j] = dc_next * f


class CompiledLSTM(LSTMCell):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    products: ClassVar = CompiledProducts()

    def step(self, t: int) -> None:
        """Run all operations after the recurrent product in one loop."""
        lstm_step(t, self.a, self.recurrent_projection(t), self.c, self.tanh_c, self.h)

    def begin_backward(self) -> None:
        """Only reset the gradients: derivatives are computed step by step."""
        Cell.begin_backward(self)
        self.dc.fill(0)

    def step_backward(self, t: int) -> None:
        """Run all operations before the recurrent product in one loop."""
        lstm_step_backward(t, self.a, self.c, self.tanh_c, self.dh, self.dc, self.da)
        self.recurrent_projection_backward(t, self.dh)


class CompiledMLSTM(CompiledLSTM, MLSTMCell):
    """m = s ⊙ h;  c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""


@compiled()
def gru_step(t: int, a: Array, u: Array, b_n: Array, q: Array, h: Array) -> None:
    """Turn pre-activations a[:, t], with u = h W_hh still to be added, into gates and new state."""
    _, _, B, H = a.shape
    for b in range(B):
        for j in range(H):
            r = sigmoid32(a[0, t, b, j] + u[0, b, j])
            z = sigmoid32(a[1, t, b, j] + u[1, b, j])
            inner = u[2, b, j] + b_n[j]
            n = tanh32(a[2, t, b, j] + r * inner)
            a[0, t, b, j], a[1, t, b, j], a[2, t, b, j] = r, z, n
            q[t, b, j] = inner
            h[t + 1, b, j] = n + z * (h[t, b, j] - n)


@compiled()
def gru_step_backward(
    t: int, a: Array, q: Array, h: Array, dh: Array, da: Array, du: Array, direct: Array
) -> None:
    """Fill da[:, t] and du[:, t] from dh, the gradient of slot t + 1, and `direct` with z ⊙ dh."""
    _, _, B, H = a.shape
    for b in range(B):
        for j in range(H):
            r, z, n, d = a[0, t, b, j], a[1, t, b, j], a[2, t, b, j], dh[b, j]
            da_n = d * (ONE - z) * (ONE - n * n)
            da_r = da_n * q[t, b, j] * r * (ONE - r)
            da_z = d * (h[t, b, j] - n) * z * (ONE - z)
            da[0, t, b, j], da[1, t, b, j], da[2, t, b, j] = da_r, da_z, da_n
            du[0, t, b, j], du[1, t, b, j], du[2, t, b, j] = da_r, da_z, da_n * r
            direct[b, j] = d * z


class CompiledGRU(GRUCell):
    """h′ = (1 − z) ⊙ n + z ⊙ h."""

    products: ClassVar = CompiledProducts()

    def step(self, t: int) -> None:
        """Run all operations after the recurrent product in one loop."""
        gru_step(t, self.a, self.recurrent_projection(t), self.b_n, self.q, self.h)

    def begin_backward(self) -> None:
        """Only reset the gradients: derivatives are computed step by step."""
        Cell.begin_backward(self)

    def step_backward(self, t: int) -> None:
        """Run all operations before the recurrent product in one loop."""
        gru_step_backward(t, self.a, self.q, self.h, self.dh, self.da, self.du, self.scratch)
        self.recurrent_projection_backward(t, self.dh)
        self.dh += self.scratch


@compiled()
def add_product(x: Array, W: Array, out: Array) -> None:
    """Add x W, x (K,) and W (K, N), to `out` (N,): four rows of W for each pass over `out`."""
    K, N = W.shape
    whole = K - K % 4
    for k in range(0, whole, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(N):
            out[j] += x0 * W[k, j] + x1 * W[k + 1, j] + x2 * W[k + 2, j] + x3 * W[k + 3, j]
    for k in range(whole, K):
        for j in range(N):
            out[j] += x[k] * W[k, j]


@compiled("reassoc")  # for sums in vectors
def product_transposed(x: Array, W: Array, out: Array) -> None:
    """Write x Wᵀ, x (N,) and W (K, N), to `out` (K,): four rows of W for each pass over x."""
    K, N = W.shape
    whole = K - K % 4
    for k in range(0, whole, 4):
        y0 = y1 = y2 = y3 = ZERO
        for j in range(N):
            y0 += x[j] * W[k, j]
            y1 += x[j] * W[k + 1, j]
            y2 += x[j] * W[k + 2, j]
            y3 += x[j] * W[k + 3, j]
        out[k], out[k + 1], out[k + 2], out[k + 3] = y0, y1, y2, y3
    for k in range(whole, K):
        y0 = ZERO
        for j in range(N):
            y0 += x[j] * W[k, j]
        out[k] = y0


@compiled()
def rnn_steps(a: Array, W_hh: Array, h: Array) -> None:
    """Run all steps of one sequence: adds h W_hh to a (T, H), fills h[1:] of h (T + 1, H)."""
    T, H = a.shape
    for t in range(T):
        add_product(h[t], W_hh, a[t])
        for j in range(H):
            h[t + 1, j] = tanh32(a[t, j])


@compiled()
def rnn_steps_backward(dh_above: Array, W_hh: Array, h: Array, dh: Array, da: Array) -> None:
    """Run all backward steps of one sequence.

    Fills da (T, H). `dh` (H,) is zero before; afterwards it is the gradient of the first state.
    """
    T, H = da.shape
    for t in range(T - 1, -1, -1):
        for j in range(H):
            da[t, j] = (dh_above[t, j] + dh[j]) * (ONE - h[t + 1, j] * h[t + 1, j])
        product_transposed(da[t], W_hh, dh)


class CompiledRNN(RNNCell):
    """h′ = tanh(a + h W_hh). For B > 1 as `RNNCell`: there are few operations to fuse."""

    products: ClassVar = CompiledProducts()

    def run_steps(self) -> None:
        """Run all steps in one loop if B is 1."""
        if self.B > 1:
            super().run_steps()
        else:
            rnn_steps(self.a[0, :, 0], self.W_hh[0], self.h[:, 0])

    def run_steps_backward(self, dh: Array) -> None:
        """Run all steps in one loop if B is 1."""
        if self.B > 1:
            super().run_steps_backward(dh)
        else:
            self.dh.fill(0)
            rnn_steps_backward(dh[:, 0], self.W_hh[0], self.h[:, 0], self.dh[0], self.da[0, :, 0])


@compiled()
def adagrad_step(w: Array, g: Array, s: Array, lr: float, outside: float, inside: float) -> None:
    """s ← s + g²;  w ← w − lr · g / (√(s + inside) + outside)."""
    for j in range(len(w)):
        s[j] += g[j] * g[j]
        w[j] -= lr * g[j] / (np.sqrt(s[j] + inside) + outside)


class CompiledAdagrad(Adagrad):
    """s ← s + g²;  w ← w − lr · g / (√s + ε)."""

    def step(self, w: Array, g: Array, lr: float) -> None:
        """Run all operations in one loop."""
        s = self.state["sum_of_squares"]
        adagrad_step(w, g, s, np.float32(lr), np.float32(self.epsilon), ZERO)


class CompiledDampedAdagrad(DampedAdagrad):
    """s ← s + g²;  w ← w − lr · g / √(s + ε)."""

    def step(self, w: Array, g: Array, lr: float) -> None:
        """Run all operations in one loop."""
        s = self.state["sum_of_squares"]
        adagrad_step(w, g, s, np.float32(lr), ZERO, np.float32(self.epsilon))


class CompiledMuon(Muon):
    """Muon whose Adagrad part is compiled."""

    def adagrad(self, w: Array, g: Array, s: Array, scratch: Array, lr: float) -> None:
        """Run all operations in one loop."""
        adagrad_step(w, g, s, np.float32(lr), np.float32(self.epsilon), ZERO)


COMPILED_CELLS: dict[type[Cell], type[Cell]] = {
    RNNCell: CompiledRNN,
    LSTMCell: CompiledLSTM,
    MLSTMCell: CompiledMLSTM,
    GRUCell: CompiledGRU,
}
"""The compiled form of a cell. Cells without one run in NumPy."""

COMPILED_OPTIMISERS: dict[type[Optimiser], type[Optimiser]] = {
    Adagrad: CompiledAdagrad,
    DampedAdagrad: CompiledDampedAdagrad,
    Muon: CompiledMuon,
}
"""The compiled form of an optimiser: of those that presets use. Others run in NumPy."""
