"""One lane, one character at a time: the cells once more, for the speed of sampling.

At one lane and one step a network spends its time on the way into NumPy, not in it. So here each
cell is the fewest calls that its formula takes: all gates in one vector-matrix product, and one
tanh for gates and candidates alike, since σ(x) = ½ + ½ tanh(x/2), with the halves in the weights.
A test holds every stream against the network that trains.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array
from charrnn.network import ModelConfig
from charrnn.parameters import Parameters

HALF = np.array(0.5, np.float32)
"""An array, which NumPy need not make of a number at every step; float64 takes it too."""


class StreamLayer(ABC):
    """One recurrent layer of one lane; `sigmoid_gates` of its gates, the first ones, are halved."""

    sigmoid_gates: ClassVar[int] = 0

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Join the gates of `weights` side by side; begin from `state`, each (H,)."""
        scale = np.ones(len(weights["W_hh"]), weights["W_hh"].dtype)
        scale[: self.sigmoid_gates] = 0.5
        self.W_hh = side_by_side(weights["W_hh"], scale)  # (H, G H)
        self.W_xh = side_by_side(weights["W_xh"], scale)  # (D, G H)
        self.bias = (weights["b_h"] * scale[:, None]).ravel()  # (G H,)
        self.table = self.W_xh + self.bias
        self.h = np.array(state["h"])
        self.a = np.zeros_like(self.bias)

    def share(self, x: Array) -> Array:
        """Return x W_xh + b_h of the layer below's output (H,)."""
        a: Array = x @ self.W_xh
        a += self.bias
        return a

    @abstractmethod
    def step(self, share: Array) -> Array:
        """Take one step with the input's share (G H,) of the gates; return h (H,)."""


class RNNStream(StreamLayer):
    """h′ = tanh(a + h W_hh)."""

    def step(self, share: Array) -> Array:
        """Take one step."""
        a = np.dot(self.h, self.W_hh, out=self.a)
        a += share
        np.tanh(a, out=self.h)
        return self.h


class LSTMStream(StreamLayer):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    sigmoid_gates: ClassVar = 3

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Add the memory."""
        super().__init__(weights, state)
        H = len(self.h)
        self.c = np.array(state["c"])
        self.sigmoids = self.a[: 3 * H]
        self.i, self.f, self.o, self.g = self.a.reshape(4, H)

    def step(self, share: Array) -> Array:
        """Take one step."""
        a, s, c, g = self.a, self.sigmoids, self.c, self.g
        np.dot(self.h, self.W_hh, out=a)
        a += share
        np.tanh(a, out=a)
        s *= HALF
        s += HALF
        c *= self.f
        g *= self.i
        c += g
        np.multiply(np.tanh(c, out=g), self.o, out=self.h)
        return self.h


class GRUStream(StreamLayer):
    """n = tanh(a_n + r ⊙ (h W_hh + b_n));  h′ = n + z ⊙ (h − n)."""

    sigmoid_gates: ClassVar = 2

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Add the candidate's inner bias."""
        super().__init__(weights, state)
        H = len(self.h)
        self.sigmoids = self.a[: 2 * H]
        self.r, self.z, self.n = self.a.reshape(3, H)
        self.b_n = weights["b_n"]

    def step(self, share: Array) -> Array:
        """Take one step."""
        H, s, n, h = len(self.h), self.sigmoids, self.n, self.h
        np.dot(h, self.W_hh, out=self.a)
        s += share[: 2 * H]
        np.tanh(s, out=s)
        s *= HALF
        s += HALF
        n += self.b_n
        n *= self.r
        n += share[2 * H :]
        np.tanh(n, out=n)
        h -= n
        h *= self.z
        h += n
        return h


STREAMS: dict[str, type[StreamLayer]] = {"rnn": RNNStream, "lstm": LSTMStream, "gru": GRUStream}
"""The stream of every cell in the registry."""


class Stream:
    """A network that reads one character after another; logits come divided by `temperature`."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        states: Mapping[str, Array],
        temperature: float = 1.0,
    ) -> None:
        """Begin from `states` by name, (1, H) each, as `Network.states` yields them."""
        self.layers = []
        for number in range(config.layers):
            name = f"layers.{number}"
            below = {
                key.removeprefix(name + "."): state[0]
                for key, state in states.items()
                if key.startswith(name + ".")
            }
            self.layers.append(STREAMS[config.cell](parameters.below(name), below))
        dtype = parameters.vector.dtype.type
        self.W_hy = parameters["W_hy"] / dtype(temperature)
        self.b_y = parameters["b_y"] / dtype(temperature)
        self.y = np.zeros_like(self.b_y)
        # |h| ≤ 1 in every cell, which bounds the logits whatever comes.
        with np.errstate(over="ignore"):  # an infinite bound is one too
            self.largest = float((np.abs(self.W_hy).sum(axis=0) + np.abs(self.b_y)).max())

    def reader(self) -> Callable[[int], Array]:
        """Return what reads an id and returns logits / temperature (V,), a buffer."""
        first, *above = self.layers
        table, step = first.table, first.step
        W_hy, b_y = self.W_hy, self.b_y
        y: Array = self.y

        def read(id_: int) -> Array:
            h = step(table[id_])
            for layer in above:
                h = layer.step(layer.share(h))
            np.dot(h, W_hy, out=y)
            np.add(y, b_y, out=y)
            return y

        return read


def side_by_side(gates: Array, scale: Array) -> Array:
    """Return (G, D, H), each gate scaled, as one matrix (D, G H)."""
    scaled = gates * scale[:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 0, 2).reshape(gates.shape[1], -1))
