"""Fixed-point networks: recurrent layers and readout in integers, the same on every machine.

Float32 results differ between processors, versions of NumPy and shapes of a batch, because a BLAS
adds in its own order, and because exp and tanh are approximated differently. An arithmetic decoder
needs exactly the encoder's probabilities. So here

- weights, states and sums are integers: multiples of 2⁻ᵇ for the numbers b of bits below;
- a matrix product is a product of float64 matrices that hold integers. Every product of two of them
  and every partial sum, in any order, is an integer below 2⁵³, which float64 represents exactly, as
  `FixedMatrix` proves from the weights: the result is exact with any BLAS, number of threads,
  processor and shape of the batch, with fused multiplication or without;
- all else is done on int64: additions, multiplications, shifts, and tables of tanh and 2⁻ˣ that are
  computed with Python's integers.

The rounding of weights to powers of two times integers (`ldexp`, `rint`) is exact, too.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import StorageError, UsageError
from charrnn.nn.cells import CELLS, Cell, GRUCell, LSTMCell, MLSTMCell, RNNCell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

Integers = NDArray[np.int64]

STATE_BITS = 16
"""Binary places of h and of tanh: 1 is 2¹⁶."""

GATE_BITS = 17
"""Binary places of σ(x) = ½ + ½ tanh(x/2): with one more than tanh, no rounding is needed."""

SUM_BITS = 24
"""Binary places of pre-activations, of the state c of an LSTM, and of logits."""

MAX_WEIGHT_BITS = 20
"""Binary places of weights; fewer if the weights are so large that sums could exceed 2⁵²."""

MAX_SUM = 2**52
"""Bound of sums in a matrix product; half of what float64 represents exactly."""

MAX_ACTIVATION = 2**38
"""Bound of pre-activations and c, 16,384 in units of 1; larger ones are set to it."""

TANH_STEP_BITS, TANH_RANGE = 13, 7
"""The table of tanh has steps of 2⁻¹³ from −7 to 7; beyond, tanh rounds to ±1."""

POWER_STEP_BITS, POWER_BITS = 12, 30
"""The table of 2⁻ˣ has steps of 2⁻¹² and 30 binary places."""

LOG2_E = 1.4426950408889634


@cache
def tanh_table() -> Integers:
    """Return 2¹⁶ tanh(x), rounded, in the middle of each step from −7 to 7.

    Integers of Python with 96 binary places, from e^(2x) = e^(2⁻¹³) · (e^(2⁻¹²))ᵏ.
    """
    places = 96
    one = 1 << places
    step = exp_of_power(TANH_STEP_BITS - 1, places)
    power = exp_of_power(TANH_STEP_BITS, places)  # e^(2x) for x in the middle of the first step
    positive = []
    for _ in range(TANH_RANGE << TANH_STEP_BITS):
        numerator, denominator = power - one, power + one
        positive.append(((numerator << STATE_BITS + 1) + denominator) // (2 * denominator))
        power = power * step >> places
    return np.array([-value for value in reversed(positive)] + positive, np.int64)


def exp_of_power(shift: int, places: int) -> int:
    """Return e^(2⁻ˢʰⁱᶠᵗ) with binary `places`, by the Taylor series.

    Example:
        >>> round(exp_of_power(0, 60) / 2**60, 12)
        2.718281828459
    """
    total = term = 1 << places
    number = 0
    while term:
        number += 1
        term = (term >> shift) // number
        total += term
    return total


@cache
def power_table() -> Integers:
    """Return 2³⁰ · 2⁻ˣ, rounded down, in the middle of each step from x = 0 to 1.

    The root of ½ is taken repeatedly, with 128 binary places.
    """
    places = 128
    root = 1 << places - 1  # ½
    for _ in range(POWER_STEP_BITS):
        root = math.isqrt(root << places)
    power = math.isqrt(root << places)  # 2⁻ˣ in the middle of the first step
    values = []
    for _ in range(1 << POWER_STEP_BITS):
        values.append(power >> places - POWER_BITS)
        power = power * root >> places
    return np.array(values, np.int64)


def tanh(x: Integers, halvings: int = 0) -> Integers:
    """Return tanh of x, or of x/2 with one halving; x has `SUM_BITS` places."""
    index = (x >> SUM_BITS - TANH_STEP_BITS + halvings) + (TANH_RANGE << TANH_STEP_BITS)
    found: Integers = tanh_table().take(index, mode="clip")
    return found


def sigmoid(x: Integers) -> Integers:
    """Return σ(x) with `GATE_BITS` places; x has `SUM_BITS`."""
    return tanh(x, halvings=1) + (1 << STATE_BITS)


def negative_power(x: Integers) -> Integers:
    """Return 2⁻ˣ with `POWER_BITS` places, rounded down; x ≥ 0 has `SUM_BITS`."""
    steps = x >> SUM_BITS - POWER_STEP_BITS
    whole: Integers = np.minimum(steps >> POWER_STEP_BITS, 62)
    fraction: Integers = power_table().take(steps & (1 << POWER_STEP_BITS) - 1)
    found: Integers = fraction >> whole
    return found


def shifted(x: Integers, bits: int) -> Integers:
    """Return x / 2ᵇⁱᵗˢ, rounded to the nearest integer, halves upwards."""
    return x if not bits else (x + (1 << bits - 1)) >> bits


def in_sum_units(x: Array) -> Integers:
    """Return numbers with `SUM_BITS` places, limited to `MAX_ACTIVATION`."""
    rounded = np.rint(np.ldexp(x.astype(np.float64), SUM_BITS))
    return np.clip(rounded, -MAX_ACTIVATION, MAX_ACTIVATION).astype(np.int64)


def limited(x: Integers) -> Integers:
    """Return sums limited to `MAX_ACTIVATION`."""
    return np.clip(x, -MAX_ACTIVATION, MAX_ACTIVATION)


class FixedMatrix:
    """A matrix of integers whose product with states is exact.

    Args:
        W: the weights (K, N).
        name: what they are called in an error.
        largest: the largest absolute value of the states.

    Raises `UsageError` if the weights are so large that `MAX_SUM` leaves too few binary places, and
    `StorageError` if a product of this machine is not exact.
    """

    def __init__(self, W: Array, name: str, largest: int = 1) -> None:
        self.largest = largest
        for bits in range(MAX_WEIGHT_BITS, SUM_BITS - STATE_BITS - 1, -1):
            integers = np.rint(np.ldexp(W.astype(np.float64), bits))
            # |Σ w h| ≤ largest · Σ |w| for |h| ≤ largest, in every part of the sum too
            if float(np.abs(integers).sum(axis=0).max()) * (largest << STATE_BITS) <= MAX_SUM:
                break
        else:
            raise UsageError(
                f"the weights {name} are too large to compress with", "another checkpoint"
            )
        self.integers = np.ascontiguousarray(integers)
        self.shift = bits + STATE_BITS - SUM_BITS
        self._check_exact(name)

    def multiply(self, h: Integers) -> Integers:
        """Return h W (S, N) with `SUM_BITS` places, for states h (S, K), |h| ≤ `largest`."""
        product = h.astype(np.float64) @ self.integers
        return shifted(product.astype(np.int64), self.shift)

    def _check_exact(self, name: str) -> None:
        """Compare one product with that of int64, which no BLAS computes."""
        K = len(self.integers)
        one = self.largest << STATE_BITS
        h = (np.arange(K) * 40503 % (2 * one + 1) - one)[None]
        product = h.astype(np.float64) @ self.integers
        if (product.astype(np.int64) != h @ self.integers.astype(np.int64)).any():
            raise StorageError(
                f"a product of integers with {name} is not exact on this machine",
                "another build of NumPy",
            )


class FixedLayer(ABC):
    """One recurrent layer of S sequences in integers.

    Args:
        weights: the layer's weights by name, as its cell declares them.
        first: whether the layer reads ids, not the states of a layer below.
        name: of the layer, for errors.
    """

    largest_input: ClassVar = 1
    """The largest absolute value of what W_hh multiplies."""

    def __init__(self, weights: Mapping[str, Array], name: str, *, first: bool) -> None:
        self.W_hh = FixedMatrix(joined(weights["W_hh"]), f"{name}.W_hh", self.largest_input)
        self.bias = in_sum_units(weights["b_h"]).ravel()  # (G H,)
        W_xh = joined(weights["W_xh"])
        self.H = weights["W_hh"].shape[-1]
        self.table = limited(in_sum_units(W_xh) + self.bias) if first else None  # (V, G H)
        self.W_xh = None if first else FixedMatrix(W_xh, f"{name}.W_xh")

    def begin(self, S: int) -> None:
        """Set the states of S sequences to zero."""
        self.h: Integers = np.zeros((S, self.H), np.int64)

    def project(self, x: Integers) -> Integers:
        """Return x W_xh + b_h (S, G H): for ids (S,), or for states (S, D) of the layer below."""
        if self.W_xh is None:
            if self.table is None:
                raise ValueError("a layer has a table or a matrix")
            return self.table[x]
        return self.W_xh.multiply(x) + self.bias

    @abstractmethod
    def step(self, a: Integers) -> Integers:
        """Take one step of the first n sequences from x W_xh + b_h (n, G H); return h (n, H)."""


class FixedRNN(FixedLayer):
    """h′ = tanh(a + h W_hh)."""

    def step(self, a: Integers) -> Integers:
        """Take one step."""
        n = len(a)
        self.h[:n] = tanh(a + self.W_hh.multiply(self.h[:n]))
        return self.h[:n]


class FixedLSTM(FixedLayer):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    def begin(self, S: int) -> None:
        """Set h and c to zero."""
        super().begin(S)
        self.c: Integers = np.zeros((S, self.H), np.int64)

    def recurrent_inputs(self, a: Integers) -> Integers:
        """Return what W_hh multiplies (n, H): the state."""
        return self.h[: len(a)]

    def step(self, a: Integers) -> Integers:
        """Take one step; c has `SUM_BITS` places."""
        n, H = len(a), self.H
        a = a[:, : 4 * H] + self.W_hh.multiply(self.recurrent_inputs(a))
        gates, g = sigmoid(a[:, : 3 * H]), tanh(a[:, 3 * H :])
        i, f, o = gates[:, :H], gates[:, H : 2 * H], gates[:, 2 * H :]
        c = f * self.c[:n] + (i * g << SUM_BITS - STATE_BITS)
        self.c[:n] = limited(shifted(c, GATE_BITS))
        self.h[:n] = shifted(o * tanh(self.c[:n]), GATE_BITS)
        return self.h[:n]


class FixedMLSTM(FixedLSTM):
    """m = s ⊙ h;  c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    largest_input: ClassVar = 8

    def recurrent_inputs(self, a: Integers) -> Integers:
        """Return m, limited to ± `largest_input`."""
        m = shifted(self.h[: len(a)] * a[:, 4 * self.H :], SUM_BITS)
        limit = self.largest_input << STATE_BITS
        return np.clip(m, -limit, limit)


class FixedGRU(FixedLayer):
    """n = tanh(a_n + r ⊙ (h W_hh + b_n));  h′ = n + z ⊙ (h − n)."""

    def __init__(self, weights: Mapping[str, Array], name: str, *, first: bool) -> None:
        super().__init__(weights, name, first=first)
        self.b_n = in_sum_units(weights["b_n"])

    def step(self, a: Integers) -> Integers:
        """Take one step."""
        n, H = len(a), self.H
        h = self.h[:n]
        u = self.W_hh.multiply(h)
        gates = sigmoid(a[:, : 2 * H] + u[:, : 2 * H])
        r, z = gates[:, :H], gates[:, H:]
        q = limited(u[:, 2 * H :] + self.b_n)
        candidate = tanh(a[:, 2 * H :] + shifted(r * q, GATE_BITS))
        self.h[:n] = candidate + shifted(z * (h - candidate), GATE_BITS)
        return self.h[:n]


FIXED_LAYERS: dict[type[Cell], type[FixedLayer]] = {
    RNNCell: FixedRNN,
    LSTMCell: FixedLSTM,
    MLSTMCell: FixedMLSTM,
    GRUCell: FixedGRU,
}
"""The fixed-point form of a cell. There is no general one: a cell without it is refused."""


class FixedNetwork:
    """A language model in integers.

    Args:
        config: the shape of the network.
        parameters: its weights, read once.

    Raises `UsageError` for a cell without a fixed-point form and for weights that are too large.

    Example:
        >>> from charrnn.nn.network import initialise
        >>> config = ModelConfig(inputs=5, outputs=5, cell="gru", hidden=4)
        >>> network = FixedNetwork(config, initialise(config, np.random.default_rng(0)))
        >>> network.begin(2)
        >>> network.read(np.array([0, 3])).shape
        (2, 5)
    """

    def __init__(self, config: ModelConfig, parameters: Parameters) -> None:
        form = FIXED_LAYERS.get(CELLS[config.cell])
        if form is None:
            known = [name for name, cell in CELLS.items() if cell in FIXED_LAYERS]
            raise UsageError(
                f"the cell {config.cell!r} has no fixed-point form to compress with",
                f"a model of {', '.join(known)}",
            )
        self.layers: Sequence[FixedLayer] = [
            form(parameters.subset(f"layers.{number}"), f"layers.{number}", first=number == 0)
            for number in range(config.layers)
        ]
        self.W_hy = FixedMatrix(parameters["W_hy"].astype(np.float64) * LOG2_E, "W_hy")
        self.b_y = in_sum_units(parameters["b_y"].astype(np.float64) * LOG2_E)

    def begin(self, S: int) -> None:
        """Set the states of S sequences to zero."""
        for layer in self.layers:
            layer.begin(S)

    def read(self, ids: Ids) -> Integers:
        """Read one character of each of the first n sequences, ids (n,); return logits (n, V).

        They are to the base 2, with `SUM_BITS` places: p is proportional to 2^logit.
        """
        x: Integers = ids.astype(np.int64)
        for layer in self.layers:
            x = layer.step(layer.project(x))
        return self.W_hy.multiply(x) + self.b_y


def joined(gates: Array) -> Array:
    """Return (G, D, H) as one matrix (D, G H)."""
    return np.ascontiguousarray(gates.transpose(1, 0, 2).reshape(gates.shape[1], -1))
