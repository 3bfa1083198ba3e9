"""One lane, one character at a time: the cells once more, for the speed of sampling.

At one lane and one step a network spends its time on the way into NumPy, not in it. So here each
cell is the fewest calls that its formula takes, and the cheapest form of each (x.dot(W, out) takes
0.2 µs less than numpy.dot): all gates in one vector-matrix product, and one tanh for gates and
candidates alike, since σ(x) = ½ + ½ tanh(x/2), with the halves in the weights.
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
        W_xh = side_by_side(weights["W_xh"], scale)  # (D, G H)
        bias = (weights["b_h"] * scale[:, None]).ravel()  # (G H,)
        self.table = W_xh + bias
        self.W_xh_and_b = np.vstack((W_xh, bias))
        self.h_and_1 = np.append(state["h"], np.ones_like(bias[:1]))
        """(H + 1,): what comes above multiplies it with weights that end in a row of biases."""
        self.h = self.h_and_1[:-1]
        self.a = np.zeros_like(bias)

    def share(self, x_and_1: Array) -> Array:
        """Return x W_xh + b_h of the layer below's output and a 1 (H + 1,)."""
        a: Array = x_and_1.dot(self.W_xh_and_b)
        return a

    @abstractmethod
    def step(self, share: Array) -> None:
        """Take one step, in `h` (H,), with the input's share (G H,) of the gates."""


class RNNStream(StreamLayer):
    """h′ = tanh(a + h W_hh)."""

    def step(self, share: Array) -> None:
        """Take one step."""
        a = self.h.dot(self.W_hh, self.a)
        a += share
        np.tanh(a, self.h)


class LSTMStream(StreamLayer):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    sigmoid_gates: ClassVar = 3

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Lay the memory behind g, so that i ⊙ g and f ⊙ c are one call."""
        super().__init__(weights, state)
        H = len(self.h)
        gates_and_c = np.append(self.a, state["c"])
        self.a = gates_and_c[: 4 * H]
        self.sigmoids = gates_and_c[: 3 * H]
        self.i_and_f, self.g_and_c = gates_and_c[: 2 * H], gates_and_c[3 * H :]
        _, _, self.o, self.g, self.c = gates_and_c.reshape(5, H)

    def step(self, share: Array) -> None:
        """Take one step."""
        a, s, g, g_and_c = self.a, self.sigmoids, self.g, self.g_and_c
        self.h.dot(self.W_hh, a)
        a += share
        np.tanh(a, a)
        s *= HALF
        s += HALF
        g_and_c *= self.i_and_f
        c = np.add(self.c, g, self.c)
        np.multiply(np.tanh(c, g), self.o, self.h)


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

    def step(self, share: Array) -> None:
        """Take one step."""
        H, s, n, h = len(self.h), self.sigmoids, self.n, self.h
        h.dot(self.W_hh, self.a)
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
        self.W_hy_and_b = np.vstack((parameters["W_hy"], parameters["b_y"])) / dtype(temperature)
        self.y = np.zeros_like(parameters["b_y"])
        # |h| ≤ 1 in every cell, which bounds the logits whatever comes.
        with np.errstate(over="ignore"):  # an infinite bound is one too
            self.largest = float(np.abs(self.W_hy_and_b).sum(axis=0).max())

    def reader(self) -> Callable[[int], Array]:
        """Return what reads an id and returns logits / temperature (V,), a buffer."""
        first, *above = self.layers
        table, step, top = first.table, first.step, self.layers[-1].h_and_1
        W_hy_and_b = self.W_hy_and_b
        y: Array = self.y

        def read(id_: int) -> Array:
            step(table[id_])
            below = first
            for layer in above:
                layer.step(layer.share(below.h_and_1))
                below = layer
            top.dot(W_hy_and_b, y)
            return y

        return read


def side_by_side(gates: Array, scale: Array) -> Array:
    """Return (G, D, H), each gate scaled, as one matrix (D, G H)."""
    scaled = gates * scale[:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 0, 2).reshape(gates.shape[1], -1))
