"""The network: look up a character, walk through the layers, read out a guess of the next.

    ids (T, B) → layer 0 → … → layer L−1 → h W_hy + b_y = logits (T, B, V)

The same code trains (T steps, B lanes), evaluates and samples (T = 1): a `Network` is a set of
buffers of one size over `Parameters` that any number of networks may share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from charrnn.limits import MODEL_LIMITS, check_fields, unknown
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.initialisers import Initialiser
from charrnn.nn.ops import (
    affine,
    affine_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout_mask,
)
from charrnn.nn.parameters import Parameters, Shapes
from charrnn.system.memory import require_memory
from charrnn.types import Array, Ids

FORGET_BIAS = 1.0
"""Begin by remembering (Jozefowicz, Zaremba & Sutskever 2015, ICML)."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network, and how its weights begin; `UsageError` if it makes no sense.

    `inputs` and `outputs` are both V for a language model. An `input_init` of None means what
    the cell declares for its first layer and U(±1/√H) for the layers above.
    """

    inputs: int
    outputs: int
    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    init: str = "orthogonal"
    gain: float = 1.0
    input_init: str | None = None
    input_gain: float = 1.0
    readout_init: str = "uniform"
    forget_bias: float = FORGET_BIAS

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise unknown("cell", self.cell, CELLS)
        check_fields(MODEL_LIMITS, self)
        for init in (self.init, self.input_init, self.readout_init):
            if init is not None:
                Initialiser.parse(init)

    def shapes(self) -> Shapes:
        """Return the name and shape of every parameter, in the order data meets them."""
        shapes: dict[str, tuple[int, ...]] = {}
        cell = CELLS[self.cell]
        for layer in range(self.layers):
            D = self.hidden if layer else self.inputs
            for name, shape in cell.shapes(D, self.hidden).items():
                shapes[f"layers.{layer}.{name}"] = shape
        return shapes | {"W_hy": (self.hidden, self.outputs), "b_y": (self.outputs,)}

    def state_shapes(self, B: int) -> Shapes:
        """Return the name and shape (B, H) of every state carried from batch to batch."""
        return {
            f"layers.{layer}.{state}": (B, self.hidden)
            for layer in range(self.layers)
            for state in CELLS[self.cell].states
        }

    @property
    def size(self) -> int:
        """Number of weights and biases."""
        return sum(prod(shape) for shape in self.shapes().values())

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def initialise(
    config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Parameters:
    """Draw the weights of a fresh network; biases begin at zero, the LSTM's forget bias apart."""
    size = config.size * np.dtype(dtype).itemsize
    require_memory(size, "the weights", "a smaller --hidden", "fewer --layers")
    parameters = Parameters(config.shapes(), dtype)
    cell, H = CELLS[config.cell], config.hidden
    recurrent = Initialiser.parse(config.init)
    for layer in range(config.layers):
        weights = parameters.subset(f"layers.{layer}")
        default = "uniform" if layer else cell.input_init
        input_init = Initialiser.parse(config.input_init or default)
        weights["W_xh"][...] = input_init.draw(weights["W_xh"].shape, config.input_gain, H, rng)
        weights["W_hh"][...] = recurrent.draw(weights["W_hh"].shape, config.gain, H, rng)
        cell.initialise_biases(weights, config.forget_bias)
    readout = Initialiser.parse(config.readout_init)
    parameters["W_hy"][...] = readout.draw((H, config.outputs), 1.0, H, rng)
    return parameters


def require_window(
    config: ModelConfig, T: int, B: int, dtype: DTypeLike, *, backward: bool
) -> None:
    """Raise `StorageError` if the buffers of a window (T, B) exceed the memory of this machine.

    Counts the outputs, the gates and, for a backward pass, their gradients; cells hold more.
    """
    gates = len(CELLS[config.cell].gates)
    arrays = 1 + (2 * gates if backward else gates)
    numbers = T * B * (config.layers * config.hidden * arrays + 2 * config.outputs)
    require_memory(
        numbers * np.dtype(dtype).itemsize,
        f"a batch of {B:,} windows of {T:,} characters",
        "a smaller --batch",
        "a smaller --seq-length",
        "a smaller --hidden",
    )


class Network:
    """Buffers for windows of T steps and B lanes over shared parameters.

    With `gradients`, `backward` may follow `forward` and overwrites them. Inputs are ids (T, B)
    or vectors (T, B, D). Both dropouts apply when `forward` is given a generator: that of layer
    outputs (Srivastava et al. 2014; Zaremba et al. 2014, arXiv 1409.2329), and that of recurrent
    weights, the same ones for all of a window (Merity et al. 2018, arXiv 1708.02182). `cells` are
    those of a kernel.
    """

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        T: int,
        B: int,
        gradients: Parameters | None = None,
        cells: Mapping[str, type[Cell]] = CELLS,
    ) -> None:
        dtype = parameters.vector.dtype
        require_window(config, T, B, dtype, backward=gradients is not None)
        self.config = config
        self.parameters = parameters
        self.gradients = gradients
        self.T, self.B = T, B
        self.layers: list[Cell] = []
        self.dropped_W_hh: list[Array] = []
        """Each layer's W_hh (G, H, H) as it is while some of it is dropped; else none."""
        for layer in range(config.layers):
            name = f"layers.{layer}"
            weights = dict(parameters.subset(name))
            own = None if gradients is None else gradients.subset(name)
            if config.recurrent_dropout and gradients is not None:  # others only evaluate
                weights["W_hh"] = weights["W_hh"].copy()
                self.dropped_W_hh.append(weights["W_hh"])
            self.layers.append(cells[config.cell](weights, own, T, B))
        self.outputs = [layer.h[1:] for layer in self.layers]
        self.output_masks: list[Array] = []
        self.recurrent_masks: list[Array] = []
        self.logits = np.zeros((T, B, config.outputs), dtype)
        self.log_p = np.zeros_like(self.logits)
        if gradients is not None:
            self.dh = np.zeros((T, B, config.hidden), dtype)

    def states(self) -> dict[str, Array]:
        """Return the states that the next batch starts from: `layers.0.h` and so on, (B, H).

        The arrays are views: writing to them changes the state of the network.
        """
        return {
            f"layers.{number}.{name}": history[0]
            for number, layer in enumerate(self.layers)
            for name, history in layer.state_history.items()
        }

    def load_states(self, states: Mapping[str, Array]) -> None:
        """Copy `states`, named as `states()` names them, each (B, H), (1, H) or (H,).

        A single state is repeated for all rows of the batch. Raises `KeyError` if one is missing
        and `ValueError` for another shape.
        """
        for name, state in self.states().items():
            state[...] = states[name]

    def carry_state(self) -> None:
        """Let the next window begin where this one ended."""
        for layer in self.layers:
            layer.carry_state()

    def reset_state(self, lanes: Array | slice = slice(None)) -> None:
        """Let the next window of these lanes begin from the zero state."""
        for layer in self.layers:
            layer.reset_state(lanes)

    def forward(self, inputs: Ids | Array, rng: np.random.Generator | None = None) -> Array:
        """Walk one window from the state in slot 0; return logits (T, B, V), a buffer."""
        self.inputs = inputs
        drop = self.config.dropout if rng is not None else 0.0
        self.output_masks = []
        self._drop_recurrent_weights(rng)
        for number, layer in enumerate(self.layers):
            if number:
                layer.project_inputs(self.outputs[number - 1])
            elif inputs.ndim == 2:
                layer.embed_ids(inputs)
            else:
                layer.project_inputs(inputs)
            with np.errstate(over="ignore"):  # e⁻ˣ of a closed gate is infinite, σ rightly 0
                h = layer.forward()
            if drop and rng is not None:
                self.output_masks.append(dropout_mask(h.shape, drop, rng, h.dtype))
                self.outputs[number] = h * self.output_masks[number]
            else:
                self.outputs[number] = h
        return affine(
            self.outputs[-1], self.parameters["W_hy"], self.parameters["b_y"], out=self.logits
        )

    def _drop_recurrent_weights(self, rng: np.random.Generator | None) -> None:
        """Take the recurrent weights as they are, but for those that are dropped."""
        self.recurrent_masks = []
        for number, dropped in enumerate(self.dropped_W_hh):
            W_hh = self.parameters[f"layers.{number}.W_hh"]
            if rng is None:
                np.copyto(dropped, W_hh)
            else:
                rate = self.config.recurrent_dropout
                self.recurrent_masks.append(dropout_mask(W_hh.shape, rate, rng, W_hh.dtype))
                np.multiply(W_hh, self.recurrent_masks[number], out=dropped)

    def loss(self, targets: Ids) -> Array:
        """Return the nats (T, B) that `targets` (T, B) cost after `forward`."""
        return cross_entropy(self.logits, targets, out=self.log_p)

    def backward(self, targets: Ids, weights: Array | float) -> None:
        """After `loss`: overwrite the gradients with those of Σ weights · nats."""
        if self.gradients is None:
            raise ValueError("this network was made without gradients")
        dlogits = cross_entropy_backward(self.log_p, targets, weights)
        dh = self.dh
        gradients = self.gradients
        affine_backward(
            dlogits,
            self.outputs[-1],
            self.parameters["W_hy"],
            gradients["W_hy"],
            gradients["b_y"],
            dh,
        )
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            if self.output_masks:
                dh *= self.output_masks[number]
            layer.backward(dh)
            if self.recurrent_masks:
                gradients[f"layers.{number}.W_hh"] *= self.recurrent_masks[number]
            if number:
                layer.project_inputs_backward(self.outputs[number - 1], dx=dh)
            elif self.inputs.ndim == 2:
                layer.embed_ids_backward(self.inputs)
            else:
                layer.project_inputs_backward(self.inputs, dx=None)
