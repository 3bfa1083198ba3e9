"""Back through the layers of a network, a character at a time, with any gradient in hand.

Training needs only the sum over all positions. Here one gradient enters at the top, can be looked
at in every slot and layer, and neither under- nor overflows.
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
"""Natural logarithms: −inf for a zero, NaN or +inf for what is not a finite number."""

ZERO_EXPONENT = -1e9
"""The exponent of a gradient that is zero: below that of any other."""


class LayerBackprop:
    """Layers walked back through one window after `forward_layers`, all of them at each step.

    What a lane holds is kept near 1 by powers of two, which change no digit: the true gradient is
    `dh` (and `dc`) times 2 to the power `exponents[layer]` (B,).
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
        """Start anew from the gradient (B, H) of the top layer's output."""
        for layer in self.layers:
            for gradient in state_gradients(layer):
                gradient.fill(0)
        self.exponents.fill(ZERO_EXPONENT)
        self.exponents[-1] = 0
        self.gradient_from_above = None
        self.layers[-1].dh += dh

    def add_gradient_from_above(self, number: int) -> None:
        """Add what the layer above passed down: now `dh` of this layer is complete in its slot."""
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
        """Walk from slot t + 1 to slot t, pass dx = Σ da W_xhᵀ down, bring the lanes near 1.

        Returns the exponents (B,) that `da[:, t]` is to be taken with.
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
        """Walk all layers, the top one first, from slot t + 1 to slot t.

        Returns the exponents (B,) that `da[:, t]` of the lowest layer is to be taken with.
        """
        exponents: Array = self.exponents[0]
        for number in reversed(range(len(self.layers))):
            self.add_gradient_from_above(number)
            exponents = self.step_layer_back(number, t)
        return exponents

    def step_back_with_norms(self, t: int) -> list[Logs]:
        """As `step_back`, and return ln ‖∂ℓ/∂s‖ (B,) in slot t + 1 for every layer and line."""
        found: list[Logs] = []
        for number in reversed(range(len(self.layers))):
            self.add_gradient_from_above(number)
            found[:0] = self.log_norms(number, t)
            self.step_layer_back(number, t)
        return found

    def log_norms(self, number: int, t: int) -> list[Logs]:
        """Return ln ‖∂ℓ/∂s‖ (B,) of the states of one layer.

        To be called between `add_gradient_from_above` and `step_layer_back`.
        """
        gradients = self.layers[number].total_state_gradients(t)
        scale = self.exponents[number] * math.log(2)
        return [np.log(row_norms(gradient)) + scale for gradient in gradients]


def state_gradients(layer: Cell) -> list[Array]:
    """Return the gradients of a layer's states, `dh` first, each (B, H), to be changed in place."""
    return [getattr(layer, f"d{state}") for state in layer.states]


def input_gradient(layer: Cell, t: int) -> Array:
    """dx = Σ da W_xhᵀ (B, D): what step t of a layer, just walked back, says to its input."""
    dx: Array = np.matmul(layer.da[:, t], layer.W_xh.transpose(0, 2, 1)).sum(axis=0)
    return dx


def row_norms(rows: Array) -> Array:
    """‖·‖₂ of each row."""
    lengths: Array = np.sqrt(np.einsum("bh,bh->b", rows, rows))
    return lengths


def forward_layers(network: Network, inputs: Ids | Array) -> None:
    """Walk all layers through `inputs` (T, B) or (T, B, D), without the readout."""
    for number, layer in enumerate(network.layers):
        if number:
            layer.project_inputs(network.layers[number - 1].h[1:])
        elif inputs.ndim == 2:
            layer.embed_ids(inputs)
        else:
            layer.project_inputs(inputs)
        layer.forward()


def burn_in_state(network: Network, inputs: Ids) -> None:
    """Let `network` begin in the state that `inputs` (T, B) lead to from zero."""
    warm = Network(network.config, network.parameters, *inputs.shape)
    forward_layers(warm, inputs)
    warm.carry_state()
    network.load_states(warm.states())
