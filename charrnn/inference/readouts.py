"""Readouts of answers that are being written: from states of the top layer to logits.

One row for each answer. `LinearReadout` is that of plain networks, `AttentionReadout` attends to
the inputs first (`charrnn.nn.attention`).
"""

from abc import ABC, abstractmethod

import numpy as np

from charrnn.nn.attention import BIAS, W_CONTEXT, W_OUTPUT, W_QUERY, Annotations
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids


class Readout(ABC):
    """The readout of R answers."""

    @abstractmethod
    def logits(self, h: Array) -> Array:
        """Return the logits (R, V) for the outputs h (R, H) of the top layer."""

    @abstractmethod
    def choose(self, rows: Ids) -> None:
        """Go on with these rows (R′,); a row may occur several times."""


class LinearReadout(Readout):
    """h W_hy + offset.

    Args:
        W_hy: the readout of the forward cells, (H, V).
        offset: what is added, (R, V), or (V,) for all rows.
    """

    def __init__(self, W_hy: Array, offset: Array) -> None:
        self.W_hy, self.offset = W_hy, offset

    def logits(self, h: Array) -> Array:
        """Return h W_hy + offset."""
        logits: Array = h @ self.W_hy + self.offset
        return logits

    def choose(self, rows: Ids) -> None:
        """Keep the offset of these rows."""
        if self.offset.ndim > 1:
            self.offset = self.offset[rows]


class AttentionReadout(Readout):
    """The readout of a network with attention.

    Args:
        parameters: the weights of the network.
        annotations: those of the inputs, as many rows as answers.
    """

    def __init__(self, parameters: Parameters, annotations: Annotations) -> None:
        self.parameters, self.annotations = parameters, annotations
        self._rows: Ids = np.arange(len(annotations.lengths))
        """The row of the annotations that each answer attends to."""

    def logits(self, h: Array) -> Array:
        """Return tanh(h W_output + c W_context + b) W_hy + b_y."""
        weights, own = self.parameters, self.annotations.chosen(self._rows)
        R, K, _, d = own.values.shape
        _, c = own.attend((h @ weights[W_QUERY]).reshape(R, K, 1, d))
        a = h @ weights[W_OUTPUT] + c.reshape(R, K * d) @ weights[W_CONTEXT] + weights[BIAS]
        logits: Array = np.tanh(a, out=a) @ weights["W_hy"] + weights["b_y"]
        return logits

    def choose(self, rows: Ids) -> None:
        """Look back at the same inputs as these rows."""
        self._rows = self._rows[rows]
