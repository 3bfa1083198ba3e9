"""Weights in the names and shapes of PyTorch's `nn.RNN`, `nn.LSTM` and `nn.GRU`.

    rnn.weight_ih_l0 (G·H, D)   rnn.weight_hh_l0 (G·H, H)   rnn.bias_ih_l0, rnn.bias_hh_l0 (G·H,)
    readout.weight (V, H)       readout.bias (V,)

A bidirectional network also has weights `rnn.weight_ih_l0_reverse` and so on; its readout and upper
layers read 2H numbers, those of both directions. If it writes answers of open length, it has the
weights `context.weight` (G·H, H) of the context (`charrnn.nn.bidirectional`); with attention
(`charrnn.nn.attention`) also `query.weight` (H, H), and `combine.weight` (H, 2H) and `combine.bias`
(H,), which read the output of the forward cell and behind it what attention takes from the inputs;
the readout then reads H numbers.

A multiplicative LSTM has the tensors of an `nn.LSTM`, and of an `nn.Linear` for the scale of the
states of each layer (`charrnn.nn.cells.mlstm`):

    scale.0.weight (H, D)       scale.0.bias (H,)

PyTorch multiplies columns (W x), stacks the gates, those of the LSTM in the order i, f, g, o, and
has two biases for each gate. The second one is zero here, except in the candidate of the GRU, whose
second bias is inside the reset: `b_n`. The GRU is the reset-after form in both.
"""

from collections.abc import Mapping

import numpy as np

from charrnn.export.expressible import GATES, require_expressible
from charrnn.nn.attention import BIAS, W_CONTEXT, W_OUTPUT, W_QUERY
from charrnn.nn.bidirectional import USES, W_CTX
from charrnn.nn.cells.mlstm import SCALE
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

PYTORCH_GATES: dict[str, tuple[str, ...]] = {
    **GATES,
    **dict.fromkeys(("lstm", "mlstm"), ("i", "f", "g", "o")),
}
"""The order in which PyTorch stacks the gates of each cell."""

MODULES = {"rnn": "RNN", "lstm": "LSTM", "mlstm": "LSTM", "gru": "GRU"}
"""The class in `torch.nn` of each cell."""

CONTEXT = "context.weight"
"""Name of the weights of the context."""

QUERY, COMBINE, COMBINE_BIAS = "query.weight", "combine.weight", "combine.bias"
"""Names of the weights of attention."""


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
    require_expressible(config, "PyTorch", USES, with_attention=True)
    order = [GATES[config.cell].index(gate) for gate in PYTORCH_GATES[config.cell]]
    tensors = {}
    for suffix, prefix in prefixes_by_suffix(config).items():
        own = {name: parameters[f"{prefix}.{name}"] for name in ("W_xh", "W_hh", "b_h")}
        second = np.zeros_like(own["b_h"])
        if config.cell == "gru":
            second[-1] = parameters[f"{prefix}.b_n"]
        tensors[f"rnn.weight_ih_{suffix}"] = stack_gates(own["W_xh"], order)
        tensors[f"rnn.weight_hh_{suffix}"] = stack_gates(own["W_hh"], order)
        tensors[f"rnn.bias_ih_{suffix}"] = own["b_h"][order].reshape(-1)
        tensors[f"rnn.bias_hh_{suffix}"] = second[order].reshape(-1)
    if config.cell == "mlstm":
        for layer in range(config.layers):
            tensors[f"scale.{layer}.weight"] = parameters[f"layers.{layer}.W_xh"][SCALE].T
            tensors[f"scale.{layer}.bias"] = parameters[f"layers.{layer}.b_h"][SCALE]
    if config.bidirectional == "context":
        tensors[CONTEXT] = stack_gates(parameters[W_CTX], order)
    if config.attention:
        tensors[QUERY] = parameters[W_QUERY].T
        tensors[COMBINE] = np.concatenate([parameters[W_OUTPUT], parameters[W_CONTEXT]]).T
        tensors[COMBINE_BIAS] = parameters[BIAS]
    tensors["readout.weight"] = parameters["W_hy"].T
    tensors["readout.bias"] = parameters["b_y"]
    return {name: np.array(tensor, order="C") for name, tensor in tensors.items()}


def prefixes_by_suffix(config: ModelConfig) -> dict[str, str]:
    """Return the prefix of each cell's parameters by the suffix of its tensors in PyTorch.

    Example:
        >>> prefixes_by_suffix(ModelConfig(5, 5, bidirectional="each"))
        {'l0': 'layers.0', 'l0_reverse': 'layers.0_reverse'}
    """
    ends = ("", "_reverse")
    return {
        f"l{layer}{end}": prefix
        for layer in range(config.layers)
        for end, prefix in zip(ends, config.cell_names(layer), strict=False)  # or forward only
    }


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
    for suffix, prefix in prefixes_by_suffix(config).items():
        arrays[f"{prefix}.W_xh"] = split_gates(tensors[f"rnn.weight_ih_{suffix}"], order)
        arrays[f"{prefix}.W_hh"] = split_gates(tensors[f"rnn.weight_hh_{suffix}"], order)
        first, second = (
            tensors[f"rnn.bias_{side}_{suffix}"].reshape(G, H).copy() for side in ("ih", "hh")
        )
        if config.cell == "gru":
            arrays[f"{prefix}.b_n"] = second[-1].copy()  # PyTorch's candidate is the last too
            second[-1] = 0
        arrays[f"{prefix}.b_h"] = np.empty_like(first)
        arrays[f"{prefix}.b_h"][order] = first + second
        if config.cell == "mlstm":
            number = suffix.removeprefix("l")
            scales = {
                "W_xh": tensors[f"scale.{number}.weight"].T,
                "b_h": tensors[f"scale.{number}.bias"],
            }
            for name, scale in scales.items():
                arrays[f"{prefix}.{name}"] = np.concatenate(
                    [arrays[f"{prefix}.{name}"], scale[None]]
                )
    if config.bidirectional == "context":
        arrays[W_CTX] = split_gates(tensors[CONTEXT], order)
    if config.attention:
        arrays[W_QUERY], arrays[BIAS] = tensors[QUERY].T, tensors[COMBINE_BIAS]
        arrays[W_OUTPUT], arrays[W_CONTEXT] = np.split(tensors[COMBINE].T, 2)
    parameters = Parameters(config.shapes())
    parameters.fill_from(arrays)
    return parameters
