"""Backpropagation one character at a time, through all layers, from an arbitrary gradient.

Training adds up the gradients of all positions. Here a single gradient enters at the top layer, its
norm can be read at every time step in every layer, and it neither underflows nor overflows.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.nn.cells import Cell
from charrnn.nn.network import Network
from charrnn.types import Array, Ids

Logs: TypeAlias = NDArray[np.float64]
"""Natural logarithms: −inf for zero, NaN or +inf for a number that is not finite."""

ZERO_EXPONENT = -1e9
"""The exponent of a gradient of zero: below that of any other gradient."""


class LayerBackprop:
    """Backward steps of several layers through one window, after `forward_layers`.

    Every row of the batch is scaled by powers of two to stay near 1, which changes no digit: the
    true gradient is `dh` (and `dc`) times 2 to the power `exponents[layer]` (B,).

    Args:
        layers: consecutive layers of one network, from the lowest, with gradient buffers; these
            buffers are overwritten.
    """

    def __init__(self, layers: Sequence[Cell]) -> None:
        self.layers = layers
        for layer in layers:
            layer.begin_backward()
        self.exponents = np.zeros((len(layers), layers[0].B))
        self.gradient_from_above: tuple[Array, Array] | None = (
            None  # dx for the layer below, its exponents
        )

    def begin(self, dh: Array) -> None:
        """Set the gradient of the top layer's output to `dh` (B, H), and all others to zero."""
        for layer in self.layers:
            for gradient in state_gradients(layer):
                gradient.fill(0)
        self.exponents.fill(ZERO_EXPONENT)
        self.exponents[-1] = 0
        self.gradient_from_above = None
        self.layers[-1].dh += dh

    def add_gradient_from_above(self, number: int) -> None:
        """Add the gradient from the layer above to `dh` of layer `number`, which completes it."""
        if self.gradient_from_above is None:
            return
        dx, exponents = self.gradient_from_above
        common = np.maximum(exponents, self.exponents[number])
        for gradient in state_gradients(self.layers[number]):
            gradient *= np.exp2(self.exponents[number] - common)[:, None]
        dx *= np.exp2(exponents - common)[:, None]
        self.layers[number].dh += dx
        self.exponents[number] = common

    def step_layer_back(self, number: int, t: int) -> Array:
        """Step one layer back from slot t + 1 to slot t, and rescale its rows.

        The gradient of its input, dx = Σ da W_xhᵀ, is kept for the layer below. Returns the
        exponents (B,) that belong to `da[:, t]`.
        """
        layer = self.layers[number]
        exponents: Array = self.exponents[number].copy()
        layer.step_backward(t)
        self.gradient_from_above = (input_gradient(layer, t), exponents) if number else None
        gradients = state_gradients(layer)
        largest = np.max([np.max(np.abs(gradient), axis=-1) for gradient in gradients], axis=0)
        shift = np.frexp(largest)[1].astype(np.float64)
        for gradient in gradients:
            gradient *= np.exp2(-shift)[:, None]
        self.exponents[number] = np.where(largest > 0, exponents + shift, ZERO_EXPONENT)
        return exponents

    def step_back(self, t: int) -> Array:
        """Step all layers back from slot t + 1 to slot t, from the top layer down.

        Returns the exponents (B,) that belong to `da[:, t]` of the lowest layer.
        """
        exponents: Array = self.exponents[0]
        for number in reversed(range(len(self.layers))):
            self.add_gradient_from_above(number)
            exponents = self.step_layer_back(number, t)
        return exponents

    def step_back_with_norms(self, t: int) -> list[Logs]:
        """Step all layers back as `step_back` does.

        Returns ln ‖∂ℓ/∂s‖ (B,) in slot t + 1 for each layer, from the lowest, and reported state.
        """
        found: list[Logs] = []
        for number in reversed(range(len(self.layers))):
            self.add_gradient_from_above(number)
            found[:0] = self.log_norms(number, t)
            self.step_layer_back(number, t)
        return found

    def log_norms(self, number: int, t: int) -> list[Logs]:
        """Return ln ‖∂ℓ/∂s‖ (B,) in slot t + 1 for each reported state of one layer.

        To be called between `add_gradient_from_above` and `step_layer_back`.
        """
        gradients = self.layers[number].total_state_gradients(t)
        scale = self.exponents[number] * math.log(2)
        return [np.log(row_norms(gradient)) + scale for gradient in gradients]


def state_gradients(layer: Cell) -> list[Array]:
    """Return the gradient buffers of a layer's states, `dh` first, each (B, H); not copies."""
    return [getattr(layer, f"d{state}") for state in layer.states]


def input_gradient(layer: Cell, t: int) -> Array:
    """Return dx = Σ da W_xhᵀ (B, D), the gradient of a layer's input at step t."""
    dx: Array = np.matmul(layer.da[:, t], layer.W_xh.transpose(0, 2, 1)).sum(axis=0)
    return dx


def row_norms(rows: Array) -> Array:
    """Return ‖·‖₂ of each row of `rows` (B, H)."""
    lengths: Array = np.sqrt(np.einsum("bh,bh->b", rows, rows))
    return lengths


def forward_layers(network: Network, inputs: Ids | Array) -> None:
    """Run all layers over ids (T, B) or vectors (T, B, D), without the readout.

    The states and activations of all steps stay in the layers of `network`.
    """
    for number, layer in enumerate(network.layers):
        if number:
            layer.project_inputs(network.layers[number - 1].h[1:])
        elif inputs.ndim == 2:
            layer.embed_ids(inputs)
        else:
            layer.project_inputs(inputs)
        layer.forward()


def burn_in_state(network: Network, inputs: Ids) -> None:
    """Set the first state of `network` to the one that ids (T, B) lead to from the zero state."""
    warm = Network(network.config, network.parameters, *inputs.shape)
    forward_layers(warm, inputs)
    warm.carry_state()
    network.load_states(warm.states())
