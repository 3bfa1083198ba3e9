"""ONNX models: a network as a graph with its state as inputs and outputs.

    ids (T, B) int64, h0 (L, B, H), for an LSTM c0 (L, B, H)
        → logits (T, B, V), hn (L, B, H), for an LSTM cn (L, B, H)

A network that reads whole texts in both directions has no state to be handed on:

    ids (T, B) int64 → logits (T, B, V); (1, B, V) if it makes one prediction for all T

Each layer is an operator RNN, LSTM or GRU; that of an mlstm, of which there is no operator, is a
Scan over its steps. ONNX has its gates in the order i, o, f, c and z, r, h;
its GRU with `linear_before_reset` is the reset-after form. T and B are free.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.errors import UsageError
from charrnn.export.expressible import GATES, require_expressible
from charrnn.export.optional import import_package
from charrnn.export.pytorch_weights import stack_gates
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.types import Array

ONNX_GATES: dict[str, tuple[str, ...]] = {
    **GATES,
    "lstm": ("i", "o", "f", "g"),
    "mlstm": ("i", "f", "o", "g"),
    "gru": ("z", "r", "n"),
}
"""The order in which ONNX stacks the gates of each cell, in the names of charrnn."""

OPERATORS = {"rnn": "RNN", "lstm": "LSTM", "mlstm": "Scan", "gru": "GRU"}
"""The operator of a layer of each cell."""

OPSET, IR_VERSION = 17, 8
"""Versions of ONNX of 2022: the operators have not changed since for this graph."""

BACKWARD_USES = ("each", "last")
"""Uses of backward states that a graph without control flow has."""

MAX_WEIGHT_BYTES = 2**31 - 2**24
"""Bytes of weights: a protobuf message is shorter than 2 GiB."""


def onnx_model(
    config: ModelConfig, parameters: Mapping[str, Array], metadata: Mapping[str, str]
) -> bytes:
    """Return a network as an ONNX model, which the package `onnx` has checked.

    Args:
        config: the network.
        parameters: its weights by name, float32.
        metadata: texts by name, to be stored with the model.

    Raises `UsageError` for a cell or an option that ONNX lacks, for weights of 2 GiB, and if the
    package `onnx` is not installed.
    """
    require_expressible(config, "ONNX", BACKWARD_USES)
    if 4 * config.size > MAX_WEIGHT_BYTES:
        raise UsageError(f"{config.size:,} weights are too many for ONNX, whose limit is 2 GiB")
    onnx = import_package("onnx")
    model = onnx.helper.make_model(
        _Graph(onnx, config).finished(parameters),
        producer_name="charrnn",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def layer_weights(cell: str, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return W (1, G·H, D), R (1, G·H, H) and B (1, 2·G·H) of an operator.

    Args:
        cell: rnn, lstm or gru.
        weights: `W_xh` (G, D, H), `W_hh` (G, H, H), `b_h` (G, H), and `b_n` (H,) of a GRU.
    """
    order = [GATES[cell].index(gate) for gate in ONNX_GATES[cell]]
    second = np.zeros_like(weights["b_h"])
    if cell == "gru":
        second[-1] = weights["b_n"]
    biases = [biases[order].reshape(-1) for biases in (weights["b_h"], second)]
    return {
        "W": stack_gates(weights["W_xh"], order)[None],
        "R": stack_gates(weights["W_hh"], order)[None],
        "B": np.concatenate(biases)[None],
    }


def subset(parameters: Mapping[str, Array], name: str) -> dict[str, Array]:
    """Return the parameters of a cell, without its prefix."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array
        for key, array in parameters.items()
        if key.startswith(prefix)
    }


class _Graph:
    """Nodes, constants and the graph that they make."""

    def __init__(self, onnx: Any, config: ModelConfig) -> None:
        self.onnx = onnx
        self.config = config
        self.states = () if config.bidirectional else CELLS[config.cell].states
        self.last: dict[str, list[str]] = {state: [] for state in self.states}
        """The names of the last states (1, B, H) of the layers so far."""
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def finished(self, parameters: Mapping[str, Array]) -> Any:
        """Build everything, and return the graph."""
        x = self.one_hot()
        scans = OPERATORS[self.config.cell] == "Scan"
        for layer in range(self.config.layers):
            if scans:
                own = subset(parameters, self.config.cell_names(layer)[0])
                x = self.scan(f"layers.{layer}", own, x, layer)
                continue
            directions = [
                layer_weights(self.config.cell, subset(parameters, name))
                for name in self.config.cell_names(layer)
            ]
            weights = {
                key: np.concatenate([one[key] for one in directions]) for key in directions[0]
            }
            x = self.layer(f"layers.{layer}", weights, x, layer)
        for state, names in self.last.items():
            self.add("Concat", names, [f"{state}n"], axis=0)
        W_hy = self.constant("W_hy", parameters["W_hy"])
        b_y = self.constant("b_y", parameters["b_y"])
        self.add("MatMul", [x, W_hy], ["products"])
        self.add("Add", ["products", b_y], ["logits"])
        helper = self.onnx.helper
        return helper.make_graph(
            self.nodes, "charrnn", self.inputs(), self.outputs(), self.constants
        )

    def one_hot(self) -> str:
        """Add the one-hot vectors (T, B, V) of the ids."""
        depth = self.constant("depth", np.array(self.config.inputs))
        values = self.constant("off_on", np.array([0, 1], np.float32))
        self.add("OneHot", ["ids", depth, values], ["x"], axis=-1)
        return "x"

    def layer(self, name: str, weights: Mapping[str, Array], x: str, layer: int) -> str:
        """Add a recurrent layer; add its states to `last`, and return its outputs (T, B, H)."""
        first = self.first_states(name, layer)
        for state in self.states:
            self.last[state].append(f"{name}.{state}n")
        inputs = [x, *(self.constant(f"{name}.{key}", array) for key, array in weights.items())]
        outputs = [f"{name}.Y", *(names[-1] for names in self.last.values())]
        more: dict[str, int | str] = {"hidden_size": self.config.hidden}
        if self.config.cell == "gru":
            more["linear_before_reset"] = 1
        if self.config.bidirectional:
            more["direction"] = "bidirectional"
            outputs.append(f"{name}.Yh")
        self.add(OPERATORS[self.config.cell], [*inputs, "", *first], outputs, **more)
        if self.config.bidirectional:
            return self.joined(name, layer)
        axis = self.constant(f"{name}.direction", np.array([1]))
        self.add("Squeeze", [outputs[0], axis], [f"{name}.h"])
        return f"{name}.h"

    def first_states(self, name: str, layer: int) -> list[str]:
        """Add the states (1, B, H) that a layer begins with, and return their names."""
        span = [self.constant(f"{name}.{at}", np.array([layer + at])) for at in (0, 1)]
        first = [f"{name}.{state}0" for state in self.states]
        for state, own in zip(self.states, first, strict=True):
            self.add("Slice", [f"{state}0", *span], [own])
        return first

    def scan(self, name: str, weights: Mapping[str, Array], x: str, layer: int) -> str:
        """Add a layer of an mlstm: the arguments and the result are those of `layer`.

        x W_xh + b_h (T, B, 5H) of all steps is one product; a step has the rest.
        """
        W = self.constant(f"{name}.W", np.concatenate(weights["W_xh"], axis=1))  # (D, 5H)
        b = self.constant(f"{name}.B", weights["b_h"].reshape(-1))
        R = self.constant(f"{name}.R", np.concatenate(weights["W_hh"], axis=1))  # (H, 4H)
        self.add("MatMul", [x, W], [f"{name}.xW"])
        self.add("Add", [f"{name}.xW", b], [f"{name}.a"])
        axis = self.constant(f"{name}.axis", np.array([0]))
        first = []
        for state in self.first_states(name, layer):
            first.append(f"{state}.row")  # (B, H)
            self.add("Squeeze", [state, axis], [first[-1]])
        body = self.step_of_scan(name, R)
        rows = [f"{name}.{state}.last" for state in self.states]  # (B, H)
        self.add("Scan", [*first, f"{name}.a"], [*rows, f"{name}.Y"], body=body, num_scan_inputs=1)
        for state, row in zip(self.states, rows, strict=True):
            self.last[state].append(f"{name}.{state}n")
            self.add("Unsqueeze", [row, axis], [self.last[state][-1]])
        return f"{name}.Y"

    def step_of_scan(self, name: str, R: str) -> Any:
        """Return the graph of one step of `scan`: h, c and a (B, 5H) to h′, c′ and the output h′.

        Args:
            name: the prefix of its values, which the graph around it knows too.
            R: the name of the recurrent weights (H, 4H).
        """
        helper, H = self.onnx.helper, self.config.hidden
        outer, self.nodes = self.nodes, []

        def node(operator: str, inputs: str, outputs: str, *more: str, **attributes: Any) -> None:
            """Add a node whose inputs and outputs are given by words, without the prefix."""
            given, made = ([f"{name}.{one}" for one in of.split()] for of in (inputs, outputs))
            self.add(operator, [*given, *more], made, **attributes)

        three_and_s = self.constant(f"{name}.sizes", np.array([3 * H, H, H]))
        three = self.constant(f"{name}.gate_sizes", np.array([3 * H, H]))
        node("Split", "at", "ifo_x g_x s", three_and_s, axis=-1)
        node("Mul", "h s", "m")
        node("MatMul", "m", "u", R)
        node("Split", "u", "ifo_u g_u", three, axis=-1)
        node("Add", "ifo_x ifo_u", "ifo_a")
        node("Sigmoid", "ifo_a", "ifo")
        node("Split", "ifo", "i f o", axis=-1)
        node("Add", "g_x g_u", "g_a")
        node("Tanh", "g_a", "g")
        node("Mul", "f c", "kept")
        node("Mul", "i g", "new")
        node("Add", "kept new", "c_next")
        node("Tanh", "c_next", "tanh_c")
        node("Mul", "o tanh_c", "h_next")
        node("Identity", "h_next", "y")
        steps, self.nodes = self.nodes, outer

        def values(sizes: Mapping[str, int]) -> list[Any]:
            kind = self.onnx.TensorProto.FLOAT
            return [
                helper.make_tensor_value_info(f"{name}.{one}", kind, ["B", size])
                for one, size in sizes.items()
            ]

        inputs, outputs = {"h": H, "c": H, "at": 5 * H}, {"h_next": H, "c_next": H, "y": H}
        return helper.make_graph(steps, f"{name}.step", values(inputs), values(outputs))

    def joined(self, name: str, layer: int) -> str:
        """Add the outputs of both directions side by side, and return them: (T, B, 2H).

        From the last layer of a network that makes one prediction, the last ones only: (1, B, 2H).
        """
        width, is_last = self.config.output_size, layer == self.config.layers - 1
        if is_last and self.config.bidirectional == "last":
            source, axes, shape = f"{name}.Yh", [1, 0, 2], [1, -1, width]  # (2, B, H)
        else:
            source, axes, shape = f"{name}.Y", [0, 2, 1, 3], [0, 0, width]  # (T, 2, B, H)
        self.add("Transpose", [source], [f"{name}.directions"], perm=axes)
        sizes = self.constant(f"{name}.shape", np.array(shape))
        self.add("Reshape", [f"{name}.directions", sizes], [f"{name}.h"])
        return f"{name}.h"

    def add(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Add a node."""
        node = self.onnx.helper.make_node(operator, inputs, outputs, outputs[0], **attributes)
        self.nodes.append(node)

    def constant(self, name: str, array: Array) -> str:
        """Add an array, and return its name."""
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def inputs(self) -> list[Any]:
        """Return the types of ids and states."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        ids = helper.make_tensor_value_info("ids", kinds.INT64, ["T", "B"])
        return [ids, *(self.state_value(f"{state}0") for state in self.states)]

    def outputs(self) -> list[Any]:
        """Return the types of logits and states."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        length: int | str = 1 if self.config.bidirectional == "last" else "T"
        shape = [length, "B", self.config.outputs]
        logits = helper.make_tensor_value_info("logits", kinds.FLOAT, shape)
        return [logits, *(self.state_value(f"{state}n") for state in self.states)]

    def state_value(self, name: str) -> Any:
        """Return the type of a state (L, B, H)."""
        shape = [self.config.layers, "B", self.config.hidden]
        return self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, shape)
