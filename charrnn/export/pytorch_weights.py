"""Weights in the names and shapes of PyTorch's `nn.RNN`, `nn.LSTM` and `nn.GRU`.

    rnn.weight_ih_l0 (G·H, D)   rnn.weight_hh_l0 (G·H, H)   rnn.bias_ih_l0, rnn.bias_hh_l0 (G·H,)
    readout.weight (V, H)       readout.bias (V,)

PyTorch multiplies columns (W x), stacks the gates, those of the LSTM in the order i, f, g, o, and
has two biases for each gate. The second one is zero here, except in the candidate of the GRU, whose
second bias is inside the reset: `b_n`. The GRU is the reset-after form in both.
"""

from collections.abc import Mapping

import numpy as np

from charrnn.export.expressible import GATES, require_expressible
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

PYTORCH_GATES: dict[str, tuple[str, ...]] = {**GATES, "lstm": ("i", "f", "g", "o")}
"""The order in which PyTorch stacks the gates of each cell."""

MODULES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
"""The class in `torch.nn` of each cell."""


def to_pytorch(config: ModelConfig, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights of a network as the state of a PyTorch module.

    Args:
        config: the network.
        parameters: its weights by name, or their gradients, of any floating-point type.

    Returns:
        Arrays by PyTorch's name, of the same type, each contiguous: copies.

    Raises `UsageError` for a cell or an option that PyTorch's modules lack.

    Example:
        >>> config = ModelConfig(5, 5, cell="gru", hidden=4)
        >>> tensors = to_pytorch(config, Parameters(config.shapes()))
        >>> tensors["rnn.weight_ih_l0"].shape, tensors["readout.weight"].shape
        ((12, 5), (5, 4))
    """
    require_expressible(config, "PyTorch")
    order = [GATES[config.cell].index(gate) for gate in PYTORCH_GATES[config.cell]]
    tensors = {}
    for layer in range(config.layers):
        own = {name: parameters[f"layers.{layer}.{name}"] for name in ("W_xh", "W_hh", "b_h")}
        second = np.zeros_like(own["b_h"])
        if config.cell == "gru":
            second[-1] = parameters[f"layers.{layer}.b_n"]
        tensors[f"rnn.weight_ih_l{layer}"] = stack_gates(own["W_xh"], order)
        tensors[f"rnn.weight_hh_l{layer}"] = stack_gates(own["W_hh"], order)
        tensors[f"rnn.bias_ih_l{layer}"] = own["b_h"][order].reshape(-1)
        tensors[f"rnn.bias_hh_l{layer}"] = second[order].reshape(-1)
    tensors["readout.weight"] = parameters["W_hy"].T
    tensors["readout.bias"] = parameters["b_y"]
    return {name: np.array(tensor, order="C") for name, tensor in tensors.items()}


def stack_gates(weights: Array, order: list[int]) -> Array:
    """Return matrices (G, D, H) as one of (G·H, D), the gates in another order."""
    _, D, H = weights.shape
    return weights[order].transpose(0, 2, 1).reshape(len(order) * H, D)


def split_gates(tensor: Array, order: list[int]) -> Array:
    """Return a matrix (G·H, D) as matrices (G, D, H): the inverse of `stack_gates`."""
    rows, D = tensor.shape
    matrices = np.empty((len(order), D, rows // len(order)), tensor.dtype)
    matrices[order] = tensor.reshape(len(order), -1, D).transpose(0, 2, 1)
    return matrices


def from_pytorch(config: ModelConfig, tensors: Mapping[str, Array]) -> Parameters:
    """Return the parameters of a network from the state of a PyTorch module, float32.

    Args:
        config: the network.
        tensors: arrays under the names that `to_pytorch` gives them. The two biases of a gate are
            added, except in the candidate of the GRU.

    Raises `KeyError` if a tensor is missing and `ValueError` for one of another shape.

    Example:
        >>> config = ModelConfig(5, 5, cell="lstm", hidden=4)
        >>> tensors = to_pytorch(config, Parameters(config.shapes()))
        >>> from_pytorch(config, tensors)["layers.0.W_xh"].shape
        (4, 5, 4)
    """
    order = [GATES[config.cell].index(gate) for gate in PYTORCH_GATES[config.cell]]
    G, H = len(order), config.hidden
    arrays: dict[str, Array] = {
        "W_hy": tensors["readout.weight"].T,
        "b_y": tensors["readout.bias"],
    }
    for layer in range(config.layers):
        name = f"layers.{layer}"
        arrays[f"{name}.W_xh"] = split_gates(tensors[f"rnn.weight_ih_l{layer}"], order)
        arrays[f"{name}.W_hh"] = split_gates(tensors[f"rnn.weight_hh_l{layer}"], order)
        first, second = (
            tensors[f"rnn.bias_{side}_l{layer}"].reshape(G, H).copy() for side in ("ih", "hh")
        )
        if config.cell == "gru":
            arrays[f"{name}.b_n"] = second[-1].copy()  # PyTorch's candidate is the last too
            second[-1] = 0
        arrays[f"{name}.b_h"] = np.empty_like(first)
        arrays[f"{name}.b_h"][order] = first + second
    parameters = Parameters(config.shapes())
    parameters.fill_from(arrays)
    return parameters
