"""Network: recurrent layers and a linear readout, with loss and gradients.

    ids (T, B) → layer 0 → … → layer L−1 → h W_hy + b_y = logits (T, B, V)

With `ModelConfig.bidirectional` every layer also reads from the end (`charrnn.nn.bidirectional`),
and with `ModelConfig.attention` answers attend to all inputs (`charrnn.nn.attention`).

The same code trains and evaluates (B sequences of T steps) and samples (T = 1): a `Network` is a
set of buffers of one size over `Parameters`, which any number of networks may share.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from charrnn.nn.attention import WEIGHTS, Attention
from charrnn.nn.bidirectional import (
    W_CTX,
    BackwardReading,
    write_inputs,
    write_inputs_backward,
)
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.initialisers import Initialiser
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.ops import (
    affine,
    affine_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout_mask,
)
from charrnn.nn.parameters import Parameters
from charrnn.randomness import DropoutDraws
from charrnn.system.memory import require_memory
from charrnn.types import Array, Ids


def initialise(
    config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> Parameters:
    """Draw the weights of a new network.

    Biases are zero, except those that the cell sets (`Cell.initialise_biases`).

    Args:
        config: the shape of the network and its initialisers.
        rng: the source of all numbers, in the order of `ModelConfig.shapes`.
        dtype: the type of the weights. The draws do not depend on it.

    Raises `StorageError` if the weights exceed the memory of this machine.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> parameters = initialise(ModelConfig(3, 3, cell="lstm", hidden=2), rng)
        >>> parameters["layers.0.b_h"][1]  # the bias of the forget gate
        array([1., 1.], dtype=float32)
    """
    size = config.size * np.dtype(dtype).itemsize
    require_memory(size, "the weights", "a smaller --hidden", "fewer --layers")
    parameters = Parameters(config.shapes(), dtype)
    cell, H = CELLS[config.cell], config.hidden
    recurrent = Initialiser.parse(config.init)
    for layer in range(config.layers):
        default = "uniform" if layer else cell.input_init
        input_init = Initialiser.parse(config.input_init or default)
        for name in config.cell_names(layer):
            weights = parameters.subset(name)
            weights["W_xh"][...] = input_init.draw(weights["W_xh"].shape, config.input_gain, H, rng)
            weights["W_hh"][...] = recurrent.draw(weights["W_hh"].shape, config.gain, H, rng)
            cell.initialise_biases(weights, config.forget_bias)
    for name in (W_CTX, *WEIGHTS):
        if name in parameters:
            matrix = parameters[name]
            matrix[...] = Initialiser.parse("uniform").draw(matrix.shape, 1.0, H, rng)
    readout = Initialiser.parse(config.readout_init)
    parameters["W_hy"][...] = readout.draw((config.read_size, config.outputs), 1.0, H, rng)
    return parameters


def require_window(
    config: ModelConfig, T: int, B: int, dtype: DTypeLike, *, backward: bool
) -> None:
    """Raise `StorageError` if the buffers of a batch (T, B) exceed the memory of this machine.

    A lower bound: counts the outputs, the gates and, for a backward pass, their gradients. The
    attention weights grow with T².
    """
    gates = len(CELLS[config.cell].gates)
    arrays = 1 + (2 * gates if backward else gates)
    units = config.layers * config.output_size  # with those of the cells that read from the end
    attending = config.attention * T * (4 if backward else 1)
    numbers = T * B * (units * arrays + 2 * config.outputs + attending)
    require_memory(
        numbers * np.dtype(dtype).itemsize,
        f"a batch of {B:,} sequences of {T:,} characters",
        *(["--attention 0"] if attending > units * arrays else []),
        "a smaller --batch-size",
        "a smaller --seq-length",
        "a smaller --hidden",
    )


class Network:
    """A network for batches of B sequences of T steps, over parameters that it does not copy.

    `forward`, `loss` and `backward` are called in this order; each overwrites the buffers that the
    previous call returned. Both kinds of dropout apply if `forward` is given random draws: that of
    layer outputs (Srivastava et al. 2014; Zaremba et al. 2014, arXiv 1409.2329), and that of
    recurrent weights, the same ones at all steps of a batch (Merity et al. 2018, arXiv 1708.02182).

    Args:
        config: the shape of the network.
        parameters: the weights, named as `config.shapes()` names them. A change of them is seen
            by the next `forward`.
        T: time steps of a batch.
        B: sequences of a batch.
        gradients: arrays as `parameters`, which `backward` overwrites; None for a network that
            only goes forward.
        cells: the classes of the cells by name, those of a compute backend.

    Raises `StorageError` if the buffers exceed the memory of this machine.

    Example:
        >>> config = ModelConfig(inputs=5, outputs=5, cell="rnn", hidden=4)
        >>> parameters = initialise(config, np.random.default_rng(0))
        >>> gradients = parameters.like()
        >>> network = Network(config, parameters, T=3, B=2, gradients=gradients)
        >>> ids = np.array([[0, 1], [2, 3], [4, 0], [1, 2]])
        >>> network.forward(ids[:-1]).shape
        (3, 2, 5)
        >>> nats = network.loss(ids[1:])
        >>> network.backward(ids[1:], weights=1 / nats.size)
        >>> gradients["W_hy"].shape
        (4, 5)
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
        self.dropped_W_hh: dict[str, Array] = {}
        """By name, each W_hh (G, H, H) after dropout; empty without recurrent dropout."""
        self.layers: list[Cell] = []
        backward_cells: list[Cell] = []
        for layer in range(config.layers):
            made = [self._cell(name, cells[config.cell]) for name in config.cell_names(layer)]
            self.layers.append(made[0])
            backward_cells += made[1:]
        self.reading: BackwardReading | None = None
        """The cells that read from the end; None without them."""
        if config.bidirectional is not None:
            dW_ctx = None if gradients is None else gradients.get(W_CTX)
            self.reading = BackwardReading(
                backward_cells, config.bidirectional, parameters.get(W_CTX), dW_ctx
            )
        self.attention: Attention | None = None
        """The attention of answers over their inputs; None without it."""
        if config.attention:
            shape = (T, B, config.hidden)
            self.attention = Attention(parameters, gradients, config.attention, shape)
        self.outputs = [layer.h[1:] for layer in self.layers]
        self.output_masks: list[Array] = []
        self.recurrent_masks: dict[str, Array] = {}
        self.logits = np.zeros((T, B, config.outputs), dtype)
        self.log_p = np.zeros_like(self.logits)
        if gradients is not None:
            self.dh = np.zeros((T, B, config.output_size), dtype)
            self.dread = self.dh
            if config.attention:
                self.dread = np.zeros((T, B, config.read_size), dtype)

    def _cell(self, name: str, kind: type[Cell]) -> Cell:
        """Return the cell whose parameters have this prefix."""
        weights = dict(self.parameters.subset(name))
        own = None if self.gradients is None else self.gradients.subset(name)
        if self.config.recurrent_dropout and own is not None:  # others only evaluate
            weights["W_hh"] = weights["W_hh"].copy()
            self.dropped_W_hh[f"{name}.W_hh"] = weights["W_hh"]
        return kind(weights, own, self.T, self.B)

    @property
    def backward_cells(self) -> Sequence[Cell]:
        """The cells that read from the end, from the first layer on; empty without them."""
        return [] if self.reading is None else self.reading.cells

    def states(self) -> dict[str, Array]:
        """Return the states that the next batch starts from: `layers.0.h` and so on, (B, H).

        The arrays are views: writing to them changes the state of the network.
        """
        return self.states_at(0)

    def states_at(self, slots: Ids | int) -> dict[str, Array]:
        """Return the states (B, H) in a slot from 0 to T, one for all rows or (B,), by name.

        With `bidirectional="context"` also the context of each layer, which belongs to no slot.
        """
        found: dict[str, Array] = {}
        where = slots if isinstance(slots, int) else (slots, np.arange(self.B))
        for number, layer in enumerate(self.layers):
            for name, history in layer.state_history.items():
                found[f"layers.{number}.{name}"] = history[where]
            if self.reading is not None and self.reading.use == "context":
                found[f"layers.{number}.context"] = self.reading.contexts[number]
        return found

    def load_states(self, states: Mapping[str, Array]) -> None:
        """Copy `states`, named as `states()` names them, each (B, H), (1, H) or (H,).

        A single state is repeated for all rows of the batch. Raises `KeyError` if one is missing
        and `ValueError` for another shape.
        """
        for name, state in self.states().items():
            state[...] = states[name]

    def carry_state(self) -> None:
        """Start the next batch from the last state of this one."""
        for layer in self.layers:
            layer.carry_state()

    def reset_state(self, mask: Array | slice = slice(None)) -> None:
        """Set the state to zero for the sequences that `mask` (B,) selects; for all by default."""
        for layer in self.layers:
            layer.reset_state(mask)
        for context in [] if self.reading is None else self.reading.contexts:
            context[mask] = 0

    def forward(
        self,
        inputs: Ids | Array,
        draws: DropoutDraws | None = None,
        lengths: Ids | None = None,
    ) -> Array:
        """Return the logits (T, B, V), a buffer, for a batch that starts from `states()`.

        NumPy does not warn: in a shut gate e⁻ˣ overflows where σ is 0, and with huge weights the
        logits are infinite or NaN, which callers check.

        Args:
            inputs: ids (T, B), or vectors (T, B, D).
            draws: the random numbers of the dropout masks; None for no dropout.
            lengths: inputs (B,) of each row that cells read from the end; T by default. −1 for a
                row that goes on with an answer, with the context of `states()`.
        """
        self.inputs = inputs
        reading = self.reading
        if reading is not None:
            reading.begin(lengths)
        self.output_masks = []
        self._drop_recurrent_weights(draws)
        with np.errstate(over="ignore", invalid="ignore"):
            for number, layer in enumerate(self.layers):
                x = self.outputs[number - 1] if number else inputs
                write_inputs(layer, x)
                if reading is not None:
                    reading.read(number, x)
                    reading.add_context(number, layer)
                h = layer.forward()
                if reading is not None:
                    h = reading.join(number, h)
                if self.config.dropout and draws is not None:
                    uniform = draws.outputs(number, *h.shape)
                    self.output_masks.append(dropout_mask(uniform, self.config.dropout, h.dtype))
                    self.outputs[number] = h * self.output_masks[number]
                else:
                    self.outputs[number] = h
            self.read = self.outputs[-1]
            if self.attention is not None and reading is not None:
                h, outputs = self.layers[-1].h[1:], self.read[..., : self.config.hidden]
                lengths = reading.lengths
                self.read = self.attention.forward(h, reading.aligned(), outputs, lengths)
            return affine(
                self.read, self.parameters["W_hy"], self.parameters["b_y"], out=self.logits
            )

    def _drop_recurrent_weights(self, draws: DropoutDraws | None) -> None:
        """Copy the recurrent weights, with some of them set to zero if there are draws."""
        self.recurrent_masks = {}
        for number, (name, dropped) in enumerate(self.dropped_W_hh.items()):
            W_hh = self.parameters[name]
            if draws is None:
                np.copyto(dropped, W_hh)
            else:
                uniform, rate = draws.weights(number, W_hh.shape), self.config.recurrent_dropout
                self.recurrent_masks[name] = dropout_mask(uniform, rate, W_hh.dtype)
                np.multiply(W_hh, self.recurrent_masks[name], out=dropped)

    def attention_weights(self) -> Array:
        """Return the attention weights (B, heads, Q, S) of the last `forward`.

        Q counts from the first position of an answer. Raises `ValueError` without attention.
        """
        if self.attention is None:
            raise ValueError("this network has no attention")
        return self.attention.weights

    def loss(self, targets: Ids) -> Array:
        """Return −ln p of `targets`, ids (T, B), in nats (T, B). To be called after `forward`."""
        with np.errstate(over="ignore", invalid="ignore"):  # as in `forward`
            return cross_entropy(self.logits, targets, out=self.log_p)

    def backward(
        self,
        targets: Ids,
        weights: Array | float,
        label_smoothing: float = 0.0,
        probabilities: Array | None = None,
    ) -> None:
        """Overwrite the gradients with those of Σ weights · nats. To be called after `loss`.

        Args:
            targets: the ids (T, B) that `loss` was given.
            weights: the weight of each nat (T, B), or one for all.
            label_smoothing: the share of each target that goes to all V symbols alike, from 0 to
                below 1; see `charrnn.nn.ops.cross_entropy_backward`.
            probabilities: target distributions (T, B, V) in place of the one-hot targets, for
                distillation.

        Raises `ValueError` if the network has no gradients.
        """
        if self.gradients is None:
            raise ValueError("this network was made without gradients")
        self.backward_from_logits(
            cross_entropy_backward(self.log_p, targets, weights, label_smoothing, probabilities)
        )

    def backward_from_logits(self, dlogits: Array) -> None:
        """Overwrite the gradients with those by way of the logits' own, (T, B, V).

        To be called after `forward`. Raises `ValueError` if the network has no gradients.
        """
        if self.gradients is None:
            raise ValueError("this network was made without gradients")
        dh, dread = self.dh, self.dread
        gradients = self.gradients
        affine_backward(
            dlogits,
            self.read,
            self.parameters["W_hy"],
            gradients["W_hy"],
            gradients["b_y"],
            dread,
        )
        attended = None
        if self.attention is not None:
            doutputs, *attended = self.attention.backward(dread)
            H = self.config.hidden
            dh[..., :H], dh[..., H:] = doutputs, 0
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            if self.output_masks:
                dh *= self.output_masks[number]
            reading = self.reading
            own = dh if reading is None else reading.split(number, dh)
            if reading is not None and attended is not None and number == len(self.layers) - 1:
                own += attended[0]
                reading.add_gradients(attended[1])
            layer.backward(own)
            x, dx = (self.outputs[number - 1], dh) if number else (self.inputs, None)
            write_inputs_backward(layer, x, dx)
            if reading is not None:
                reading.backward(number, layer.da, dx)
        for name, mask in self.recurrent_masks.items():
            gradients[name] *= mask
