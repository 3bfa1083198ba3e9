"""Fast single-sequence inference: one character per call, each cell in the fewest NumPy calls.

With one sequence and one time step, the cost of a step is that of calling NumPy, not of its
arithmetic. So here all gates are one vector-matrix product, and one tanh serves gates and
candidates alike, since σ(x) = ½ + ½ tanh(x/2), with the halves in the weights; and each call is the
cheapest of its kind (x.dot(W, out) takes 0.2 µs less than numpy.dot). A cell that has no form here
is stepped by a `Network` with T = 1. Tests compare both with the network that trains.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import numpy as np

from charrnn.nn.cells import CELLS, Cell, GRUCell, LSTMCell, MLSTMCell, RNNCell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

add, multiply, subtract, tanh = np.add, np.multiply, np.subtract, np.tanh
"""Called as f(x, y, out), which is cheaper than x += y or out=out."""

MAX_SUM = 1e30
"""Largest sum of weights that is far from the largest float32, also divided by a temperature."""

StepFunction: TypeAlias = Callable[[Array], None]

HALF = np.array(0.5, np.float32)
"""An array, which NumPy need not make of a number at every step; float64 takes it too."""


class FastStepLayer(ABC):
    """One recurrent layer of one sequence.

    Args:
        weights: the layer's weights by name, as its cell declares them.
        state: the layer's states by name, each (H,), copied.
    """

    sigmoid_gates: ClassVar[int] = 0
    """The first of the gates, as many as pass through σ: their weights are halved."""

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        scale = np.ones(len(weights["W_xh"]), weights["W_hh"].dtype)
        scale[: self.sigmoid_gates] = 0.5
        self.W_hh = join_gates(weights["W_hh"], scale[: len(weights["W_hh"])])  # (H, G H)
        W_xh = join_gates(weights["W_xh"], scale)  # (D, G H)
        bias = (weights["b_h"] * scale[:, None]).ravel()  # (G H,)
        self.table = W_xh + bias
        self.W_xh_and_b = np.vstack((W_xh, bias))
        self.h_and_1 = np.append(state["h"], np.ones_like(bias[:1]))
        """(H + 1,): the layer above multiplies it with weights whose last row is the bias."""
        self.h = self.h_and_1[:-1]
        self.a = np.zeros_like(self.W_hh[0])

    def project_inputs(self, x_and_1: Array) -> Array:
        """Return x W_xh + b_h (G H,) for the output of the layer below and a 1, (H + 1,)."""
        a: Array = x_and_1.dot(self.W_xh_and_b)
        return a

    @abstractmethod
    def step_function(self) -> StepFunction:
        """Return a function that takes one step from x W_xh + b_h (G H,) and updates `h` (H,).

        A closure, not a method: looking the arrays up in `self` would take as long as one of its
        NumPy calls.
        """


class RNNFastStep(FastStepLayer):
    """h′ = tanh(a + h W_hh)."""

    def step_function(self) -> StepFunction:
        """Return the function that takes one step."""
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
        """Place c behind g in one array, so that i ⊙ g and f ⊙ c are one call."""
        super().__init__(weights, state)
        H = len(self.h)
        gates_and_c = np.append(self.a, state["c"])
        self.a = gates_and_c[: 4 * H]
        self.gates_and_c = gates_and_c

    def step_function(self) -> StepFunction:
        """Return the function that takes one step."""
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


class MLSTMFastStep(LSTMFastStep):
    """m = s ⊙ h;  c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    def step_function(self) -> StepFunction:
        """Return the function that takes one step."""
        lstm_step, h, gates = super().step_function(), self.h, len(self.a)

        def step(x: Array) -> None:
            multiply(h, x[gates:], h)
            lstm_step(x[:gates])

        return step


class GRUFastStep(FastStepLayer):
    """n = tanh(a_n + r ⊙ (h W_hh + b_n));  h′ = n + z ⊙ (h − n)."""

    sigmoid_gates: ClassVar = 2

    def __init__(self, weights: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Add the bias of the candidate inside the reset."""
        super().__init__(weights, state)
        self.b_n = weights["b_n"]

    def step_function(self) -> StepFunction:
        """Return the function that takes one step."""
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


FAST_STEPS: dict[type[Cell], type[FastStepLayer]] = {
    RNNCell: RNNFastStep,
    LSTMCell: LSTMFastStep,
    MLSTMCell: MLSTMFastStep,
    GRUCell: GRUFastStep,
}
"""The fast form of a cell. Cells without one are stepped by `NetworkStep`."""


class SingleStep(ABC):
    """A network that reads one sequence, one character per call."""

    y: Array
    """The logits of the next character divided by the temperature (V,), a buffer."""
    max_logit: float
    """An upper bound of |y|; infinite if none is known."""
    may_overflow: bool
    """Whether weights are so large that a sum may exceed float32: then y may not be finite, and
    NumPy warns."""

    @abstractmethod
    def logits_function(self) -> Callable[[int], Array]:
        """Return a function that reads the id of a character and returns `y`."""


def single_step(
    config: ModelConfig,
    parameters: Parameters,
    states: Mapping[str, Array],
    temperature: float = 1.0,
) -> SingleStep:
    """Return the fastest form of a network for one sequence.

    Args:
        config: the shape of the network.
        parameters: its weights; they are read once and must not change afterwards.
        states: the states to start from, (1, H) each, as `Network.states` returns them; copied.
        temperature: a number above 0 that the logits are divided by.
    """
    kind = FastStep if CELLS[config.cell] in FAST_STEPS else NetworkStep
    return kind(config, parameters, states, temperature)


class NetworkStep(SingleStep):
    """A `Network` with T = 1: the general form, for any cell. See `single_step` for arguments."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        states: Mapping[str, Array],
        temperature: float = 1.0,
    ) -> None:
        self.network = Network(config, parameters, 1, 1)
        self.network.load_states(states)
        self.temperature = parameters.vector.dtype.type(temperature)
        self.y = np.zeros_like(parameters["b_y"])
        self.max_logit, self.may_overflow = math.inf, True

    def logits_function(self) -> Callable[[int], Array]:
        """Return a function that reads the id of a character and returns `y`."""
        ids = np.zeros((1, 1), np.int64)

        def read(id_: int) -> Array:
            ids[0, 0] = id_
            logits = self.network.forward(ids)[0, 0]
            self.network.carry_state()
            with np.errstate(over="ignore"):  # an infinite logit is one too
                np.divide(logits, self.temperature, out=self.y)
            return self.y

        return read


class FastStep(SingleStep):
    """A network whose cell is in `FAST_STEPS`. See `single_step` for the arguments."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        states: Mapping[str, Array],
        temperature: float = 1.0,
    ) -> None:
        largest = float(np.abs(parameters.vector).max())
        self.may_overflow = (config.hidden + 2) * largest > MAX_SUM
        with np.errstate(over="ignore", invalid="ignore"):
            self._join(config, parameters, states, temperature)

    def _join(
        self,
        config: ModelConfig,
        parameters: Parameters,
        states: Mapping[str, Array],
        temperature: float,
    ) -> None:
        """Make the layers, and join the readout matrix with its bias."""
        self.layers = []
        for number in range(config.layers):
            name = f"layers.{number}"
            initial = {
                key.removeprefix(name + "."): state[0]
                for key, state in states.items()
                if key.startswith(name + ".")
            }
            self.layers.append(FAST_STEPS[CELLS[config.cell]](parameters.subset(name), initial))
        dtype = parameters.vector.dtype.type
        self.W_hy_and_b = np.vstack((parameters["W_hy"], parameters["b_y"])) / dtype(temperature)
        self.y = np.zeros_like(parameters["b_y"])
        # |h| ≤ 1 in these cells, which bounds the logits.
        self.max_logit = float(np.abs(self.W_hy_and_b).sum(axis=0).max())

    def logits_function(self) -> Callable[[int], Array]:
        """Return a function that reads the id of a character and returns `y`."""
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


def join_gates(gates: Array, scale: Array) -> Array:
    """Return (G, D, H), each gate scaled, as one matrix (D, G H)."""
    scaled = gates * scale[:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 0, 2).reshape(gates.shape[1], -1))
