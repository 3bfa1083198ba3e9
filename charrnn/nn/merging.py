"""Merging of networks: one network whose logits are the mean of those of several.

K networks of H units stand side by side as one of K · H units that do not see each other: recurrent
matrices are block-diagonal, the input weights of the first layer and the biases lie behind each
other, attention has the heads of all of them, and the readout is divided by K. The softmax of the
mean logits is the geometric mean of the probabilities, normalised: a logarithmic opinion pool of
the networks (Heskes 1998, NIPS 10). Since the result is an ordinary network, all that uses one can
use it, at the cost of K² instead of K times the multiplications by recurrent matrices.
"""

from collections.abc import Sequence
from dataclasses import replace

from charrnn.errors import UsageError
from charrnn.nn.attention import WEIGHTS
from charrnn.nn.bidirectional import W_CTX
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array


def merge(config: ModelConfig, networks: Sequence[Parameters]) -> tuple[ModelConfig, Parameters]:
    """Return one network whose logits are the mean of those of several networks.

    Args:
        config: the configuration that all of them have.
        networks: their parameters, at least one.

    Returns:
        The configuration, with K times the hidden units, and the parameters, in the dtype of the
        first network.

    Raises `UsageError` for no network, and for parameters that are not those of `config`.

    Example:
        >>> import numpy as np
        >>> from charrnn.nn.network import Network, initialise
        >>> config = ModelConfig(inputs=5, outputs=3, cell="gru", hidden=4)
        >>> both = [initialise(config, np.random.default_rng(seed)) for seed in range(2)]
        >>> merged, parameters = merge(config, both)
        >>> merged.hidden
        8
        >>> ids = np.array([[0], [3], [1]])
        >>> mean = sum(Network(config, one, 3, 1).forward(ids) for one in both) / 2
        >>> np.allclose(Network(merged, parameters, 3, 1).forward(ids), mean, atol=1e-6)
        True
    """
    if not networks:
        raise UsageError("there is no network to merge", "at least one")
    if any(one.shapes != config.shapes() for one in networks):
        raise UsageError("the networks to merge have different shapes", "networks of one kind")
    K, H = len(networks), config.hidden
    merged = replace(config, hidden=K * H, attention=K * config.attention)
    found = Parameters(merged.shapes(), networks[0].vector.dtype)
    for number, one in enumerate(networks):
        own = slice(number * H, (number + 1) * H)
        for name, values in one.items():
            place(found[name], values, name, own, config, K)
    return merged, found


def place(target: Array, values: Array, name: str, own: slice, config: ModelConfig, K: int) -> None:
    """Write one array of a network to its units `own` of the merged array `target`."""
    H = config.hidden
    if name == "b_y":
        target += values / K
    elif name == "W_hy":
        place_rows(target, values / K, own, H, K)
    elif name in (W_CTX, *WEIGHTS) or name.endswith(".W_hh"):
        target[..., own, own] = values
    elif name.endswith(".W_xh") and not name.startswith("layers.0"):
        place_rows(target[..., own], values, own, H, K)
    else:
        target[..., own] = values


def place_rows(target: Array, values: Array, own: slice, H: int, K: int) -> None:
    """Write the rows that read a layer's output: h, or h of both directions behind each other."""
    for direction in range(values.shape[-2] // H):
        first = direction * K * H
        rows = slice(first + own.start, first + own.stop)
        target[..., rows, :] = values[..., direction * H : (direction + 1) * H, :]
