"""One lane, one character at a time: the cells once more, for the speed of sampling.

At one lane and one step a network spends its time on the way into NumPy, not in it. So here each
cell is the fewest calls that its formula takes, and the cheapest form of each (x.dot(W, out) takes
0.2 µs less than numpy.dot): all gates in one vector-matrix product, and one tanh for gates and
candidates alike, since σ(x) = ½ + ½ tanh(x/2), with the halves in the weights.
A test holds every stream against the network that trains.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import numpy as np

from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

add, multiply, subtract, tanh = np.add, np.multiply, np.subtract, np.tanh
"""Called as f(x, y, out), which is cheaper than x += y or out=out."""

Step: TypeAlias = Callable[[Array], None]

HALF = np.array(0.5, np.float32)
"""An array, which NumPy need not make of a number at every step; float64 takes it too."""


class FastStepLayer(ABC):
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

    def project_inputs(self, x_and_1: Array) -> Array:
        """Return x W_xh + b_h of the layer below's output and a 1 (H + 1,)."""
        a: Array = x_and_1.dot(self.W_xh_and_b)
        return a

    @abstractmethod
    def step_function(self) -> Step:
        """Return what takes one step, in `h` (H,), with the input's share (G H,) of the gates.

        A function, not a method: it has all arrays at hand, where looking them up in `self` would
        take as long as one of its calls.
        """


class RNNFastStep(FastStepLayer):
    """h′ = tanh(a + h W_hh)."""

    def step_function(self) -> Step:
        """Return what takes one step."""
        W_hh, h, a = self.W_hh, self.h, self.a

        def step(x: Array) -> None:
            h.dot(W_hh, a)
            add(a, x, a)
            tanh(a, h)

        return step


class LSTMFastStep(FastStepLayer):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    sigmoid_gates: ClassVar = 3

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Lay the memory behind g, so that i ⊙ g and f ⊙ c are one call."""
        super().__init__(weights, state)
        H = len(self.h)
        gates_and_c = np.append(self.a, state["c"])
        self.a = gates_and_c[: 4 * H]
        self.gates_and_c = gates_and_c

    def step_function(self) -> Step:
        """Return what takes one step."""
        W_hh, h, a, H = self.W_hh, self.h, self.a, len(self.h)
        i_and_f, sigmoids, g_and_c = a[: 2 * H], a[: 3 * H], self.gates_and_c[3 * H :]
        _, _, o, g, c = self.gates_and_c.reshape(5, H)

        def step(x: Array) -> None:
            h.dot(W_hh, a)
            add(a, x, a)
            tanh(a, a)
            multiply(sigmoids, HALF, sigmoids)
            add(sigmoids, HALF, sigmoids)
            multiply(g_and_c, i_and_f, g_and_c)
            add(c, g, c)
            multiply(tanh(c, g), o, h)

        return step


class GRUFastStep(FastStepLayer):
    """n = tanh(a_n + r ⊙ (h W_hh + b_n));  h′ = n + z ⊙ (h − n)."""

    sigmoid_gates: ClassVar = 2

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Add the candidate's inner bias."""
        super().__init__(weights, state)
        self.b_n = weights["b_n"]

    def step_function(self) -> Step:
        """Return what takes one step."""
        W_hh, b_n, h, a, H = self.W_hh, self.b_n, self.h, self.a, len(self.h)
        sigmoids = a[: 2 * H]
        r, z, n = a.reshape(3, H)

        def step(x: Array) -> None:
            h.dot(W_hh, a)
            add(sigmoids, x[: 2 * H], sigmoids)
            tanh(sigmoids, sigmoids)
            multiply(sigmoids, HALF, sigmoids)
            add(sigmoids, HALF, sigmoids)
            add(n, b_n, n)
            multiply(n, r, n)
            add(n, x[2 * H :], n)
            tanh(n, n)
            subtract(h, n, h)
            multiply(h, z, h)
            add(h, n, h)

        return step


FAST_STEPS: dict[str, type[FastStepLayer]] = {
    "rnn": RNNFastStep,
    "lstm": LSTMFastStep,
    "gru": GRUFastStep,
}
"""The stream of every cell in the registry."""


class FastStep:
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
            initial = {
                key.removeprefix(name + "."): state[0]
                for key, state in states.items()
                if key.startswith(name + ".")
            }
            self.layers.append(FAST_STEPS[config.cell](parameters.subset(name), initial))
        dtype = parameters.vector.dtype.type
        self.W_hy_and_b = np.vstack((parameters["W_hy"], parameters["b_y"])) / dtype(temperature)
        self.y = np.zeros_like(parameters["b_y"])
        # |h| ≤ 1 in every cell, which bounds the logits whatever comes.
        with np.errstate(over="ignore"):  # an infinite bound is one too
            self.max_logit = float(np.abs(self.W_hy_and_b).sum(axis=0).max())

    def logits_function(self) -> Callable[[int], Array]:
        """Return what reads an id and returns logits / temperature (V,), a buffer."""
        rows = list(self.layers[0].table)
        step, *above = (layer.step_function() for layer in self.layers)
        upper_layers = [
            (layer.project_inputs, below.h_and_1, next_step)
            for below, layer, next_step in zip(
                self.layers[:-1], self.layers[1:], above, strict=True
            )
        ]
        W_hy_and_b, top = self.W_hy_and_b, self.layers[-1].h_and_1
        y: Array = self.y

        def read(id_: int) -> Array:
            step(rows[id_])
            for project_inputs, h_and_1, step_above in upper_layers:
                step_above(project_inputs(h_and_1))
            top.dot(W_hy_and_b, y)
            return y

        return read


def side_by_side(gates: Array, scale: Array) -> Array:
    """Return (G, D, H), each gate scaled, as one matrix (D, G H)."""
    scaled = gates * scale[:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 0, 2).reshape(gates.shape[1], -1))
