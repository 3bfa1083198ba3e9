"""How much of the loss at one character reaches the state k characters earlier.

    g_k = ∂ℓ_T / ∂s_{T−k}        R(k) = mean ‖g_k‖ / mean ‖g_0‖        over windows

ℓ_T is the loss at one position alone: a sum over positions grows on its way back whatever happens
to its parts (Hochreiter 1991; Bengio et al. 1994; the itemised form is that of Aicher, Foti & Fox
2019, UAI). s is h for a plain RNN and a GRU. For an LSTM it is c, with h = o ⊙ tanh(c) taken as a
function of it, so that a constant forget gate f gives exactly fᵏ; h stands on a second line.

Everything is float64 and walks through the cells that training uses. Norms are kept as logarithms:
×0.1 a character is below the smallest float64 after 324 characters. Nothing here changes the
parameters or the state of any generator.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Array, Ids
from charrnn.cells import Cell, LSTMCell
from charrnn.errors import TextError
from charrnn.functions import cross_entropy, cross_entropy_backward
from charrnn.network import ModelConfig, Network
from charrnn.parameters import Parameters

LAGS = 200
WINDOWS = 128
HORIZON = 0.01
"""The share of the gradient below which a character is beyond the horizon."""

FIRST_FITTED_LAG = 5
LEAST_FITTED_LOG = -50.0
"""The rate is fitted from that lag on, while ln G is above this."""

LANES = 16
ENDS = 8
STRIDE = 25
"""Lanes walked at once, and loss positions in a lane with the characters between them: they share
one way forward, which is the dearer half."""

Logs: TypeAlias = NDArray[np.float64]
"""Natural logarithms: −inf for a zero, NaN or +inf for what is not a finite number."""

Numbers: TypeAlias = tuple[float | None, ...]

EMPTY = -1e9
"""The exponent of a gradient that is zero: below that of any other."""


class WalkBack:
    """Layers walked back through one window after `read_forward`, all of them at each step.

    What a lane holds is kept near 1 by powers of two, which change no digit: the true gradient is
    `dh` (and `dc`) times 2 to the power `exponents[layer]` (B,).
    """

    def __init__(self, layers: Sequence[Cell]) -> None:
        self.layers = layers
        for layer in layers:
            np.copyto(layer.W_hh_T, layer.W_hh.transpose(0, 2, 1))
            layer.begin_backward()
        self.exponents = np.zeros((len(layers), layers[0].B))
        self.passed: tuple[Array, Array] | None = None  # dx for the layer below, its exponents

    def begin(self, dh: Array) -> None:
        """Start anew from the gradient (B, H) of the top layer's output."""
        for layer in self.layers:
            for gradient in state_gradients(layer):
                gradient.fill(0)
        self.exponents.fill(0)
        self.passed = None
        self.layers[-1].dh += dh

    def receive(self, number: int) -> None:
        """Add what the layer above passed down: now `dh` of this layer is complete in its slot."""
        if self.passed is None:
            return
        dx, exponents = self.passed
        common = np.maximum(exponents, self.exponents[number])
        for gradient in state_gradients(self.layers[number]):
            gradient *= np.exp2(self.exponents[number] - common)[:, None]
        dx *= np.exp2(exponents - common)[:, None]
        self.layers[number].dh += dx
        self.exponents[number] = common

    def leave(self, number: int, t: int) -> None:
        """Walk from slot t + 1 to slot t, pass dx = Σ da W_xhᵀ down, bring the lanes near 1."""
        layer = self.layers[number]
        exponents = self.exponents[number].copy()
        layer.step_backward(t)
        self.passed = (input_gradient(layer, t), exponents) if number else None
        gradients = state_gradients(layer)
        largest = np.max([np.max(np.abs(gradient), axis=-1) for gradient in gradients], axis=0)
        shift = np.frexp(largest)[1].astype(np.float64)
        for gradient in gradients:
            gradient *= np.exp2(-shift)[:, None]
        self.exponents[number] = np.where(largest > 0, exponents + shift, EMPTY)

    def step(self, t: int) -> None:
        """Walk all layers, the top one first, from slot t + 1 to slot t."""
        for number in reversed(range(len(self.layers))):
            self.receive(number)
            self.leave(number, t)

    def log_norms(self, number: int, t: int) -> list[Logs]:
        """Return ln ‖∂ℓ/∂s‖ (B,) in slot t + 1, between `receive` and `leave`: see `lines_of`."""
        layer = self.layers[number]
        gradients = [layer.dh]
        if isinstance(layer, LSTMCell):
            gradients = [layer.dc + layer.dh * layer.dc_dh[t], layer.dh]
        scale = self.exponents[number] * math.log(2)
        return [np.log(norms(gradient)) + scale for gradient in gradients]


def lines_of(cell: type[Cell]) -> tuple[str, ...]:
    """Name the states whose gradient is shown, the one that carries the memory first."""
    return tuple(reversed(cell.states))


def state_gradients(layer: Cell) -> list[Array]:
    """Return the gradients of a layer's states, `dh` first, each (B, H), to be changed in place."""
    return [getattr(layer, f"d{state}") for state in layer.states]


def input_gradient(layer: Cell, t: int) -> Array:
    """dx = Σ da W_xhᵀ (B, D): what step t of a layer, just walked back, says to its input."""
    dx: Array = np.matmul(layer.da[:, t], layer.W_xh.transpose(0, 2, 1)).sum(axis=0)
    return dx


def norms(rows: Array) -> Array:
    """‖·‖₂ of each row."""
    return np.sqrt(np.einsum("bh,bh->b", rows, rows))


def read_forward(network: Network, inputs: Ids | Array) -> None:
    """Walk all layers through `inputs` (T, B) or (T, B, D), without the readout."""
    for number, layer in enumerate(network.layers):
        if number:
            layer.read(network.layers[number - 1].h[1:])
        elif inputs.ndim == 2:
            layer.read_ids(inputs)
        else:
            layer.read(inputs)
        layer.forward()


def settle(config: ModelConfig, parameters: Parameters, inputs: Ids, network: Network) -> None:
    """Let `network` begin in the state that `inputs` (T, B) lead to from zero."""
    if not len(inputs):
        return
    warm = Network(config, parameters, *inputs.shape)
    read_forward(warm, inputs)
    for (_, state), (_, begin) in zip(end_states(warm), network.states(), strict=True):
        begin[...] = state


def end_states(network: Network) -> list[tuple[str, Array]]:
    """Return the last slot of every state by name, as `Network.states` does the first."""
    return [
        (f"layers.{number}.{name}", slots[-1])
        for number, layer in enumerate(network.layers)
        for name, slots in layer.slots.items()
    ]
