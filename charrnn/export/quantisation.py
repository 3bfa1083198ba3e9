"""Quantisation of weights for small files, and how much loss it costs.

    int8      matrices as q = round(w / s) from −127 to 127 with w ≈ q s, one scale s for each
              column of a matrix (the weights into one pre-activation); biases in float32
    float16   matrices in float16, biases in float32
    float32   unchanged

This is linear quantisation as in Jacob et al. 2018 (arXiv 1712.05877), with zero point 0. Only the
weights are rounded when stored: the network computes with the numbers they stand for.
"""

from dataclasses import dataclass

import numpy as np

from charrnn.evaluation.text import evaluate
from charrnn.inference.sampling import finite_logits
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

PRECISIONS = ("int8", "float16", "float32")
"""From the smallest files to the largest."""

MAX_ADDED_NATS = 0.01
"""Most nats per character that a smaller precision may add to the loss."""

EVALUATION_BATCH = 16


@dataclass(frozen=True)
class Stored:
    """An array as it is stored.

    Attributes:
        values: the numbers, int8, float16 or float32, of the shape of the array.
        scale: float32 factors of an int8 array (…, D, H), one for each column: (…, H); else None.
    """

    values: Array
    scale: Array | None = None

    def restored(self) -> Array:
        """Return the float32 array that the stored one stands for."""
        values = self.values.astype(np.float32)
        return values if self.scale is None else values * self.scale[..., None, :]


@dataclass(frozen=True)
class Quantised:
    """Weights in the chosen precision.

    Attributes:
        precision: one of `PRECISIONS`.
        arrays: the stored arrays by name.
        nats: the loss in nats per character with each precision that was measured.
    """

    precision: str
    arrays: dict[str, Stored]
    nats: dict[str, float]

    @property
    def added_nats(self) -> float:
        """Nats per character that the precision adds to the loss of float32."""
        return self.nats[self.precision] - self.nats["float32"]


def quantise(array: Array, precision: str) -> Stored:
    """Return an array in a precision.

    Args:
        array: float32. One of a single axis is kept as it is.
        precision: one of `PRECISIONS`.

    Example:
        >>> stored = quantise(np.array([[0.5, 2.0], [-0.25, 1.0]], np.float32), "int8")
        >>> stored.values.tolist(), stored.scale.shape
        ([[127, 127], [-64, 64]], (2,))
    """
    if array.ndim < 2 or precision == "float32":
        return Stored(array)
    if precision == "float16":
        with np.errstate(over="ignore"):  # infinities are refused by their loss
            return Stored(array.astype(np.float16))
    scale = np.abs(array).max(axis=-2) / np.float32(127)
    scale[scale == 0] = 1
    rounded = np.rint(array / scale[..., None, :])  # 128 where the scale is subnormal
    return Stored(rounded.clip(-127, 127).astype(np.int8), scale)


def restored(parameters: Parameters, arrays: dict[str, Stored]) -> Parameters:
    """Return the parameters that stored arrays stand for."""
    found = parameters.like()
    found.fill_from({name: stored.restored() for name, stored in arrays.items()})
    return found


def smallest(config: ModelConfig, parameters: Parameters, ids: Ids) -> Quantised:
    """Return the weights in the smallest precision that adds at most `MAX_ADDED_NATS`.

    Args:
        config: the network.
        parameters: its weights, float32.
        ids: the text (N,) on which the losses are measured, at least two ids.

    Raises `TextError` for a shorter text, and `DivergedError` if weights are so large that the loss
    is not finite.
    """
    nats = {"float32": _loss(config, parameters, ids)}
    for precision in PRECISIONS:
        arrays = {name: quantise(array, precision) for name, array in parameters.items()}
        if precision not in nats:
            weights = restored(parameters, arrays)
            if not np.isfinite(weights.vector).all():
                continue
            nats[precision] = _loss(config, weights, ids)
        if nats[precision] - nats["float32"] <= MAX_ADDED_NATS:
            break
    return Quantised(precision, arrays, nats)


def _loss(config: ModelConfig, parameters: Parameters, ids: Ids) -> float:
    nats = evaluate(config, parameters, ids, EVALUATION_BATCH)
    if nats is None:
        raise RuntimeError("nothing asked the evaluation to stop")
    finite_logits(np.array(nats))
    return nats
