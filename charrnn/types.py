"""Array types, and the letters that name an axis everywhere in this package.

    T  time steps of a batch         B  sequences of a batch
    V  characters in the vocabulary  D  inputs of a layer
    H  hidden units of a layer       G  gates of a cell
    L  layers                        N  characters of a text

Arrays are time-major, `(T, B, …)`, and vectors are rows: `a = x @ W`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""Numbers of the network: float32 to train, float64 to check, complex128 for complex steps."""

Ids: TypeAlias = NDArray[np.integer[Any]]
"""Characters as positions in a vocabulary: unsigned integers, as small as the vocabulary allows."""

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shapes of arrays by name."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A JSON value; numbers are finite, and a tuple comes back as a list."""

StopFlag: TypeAlias = Callable[[], bool]
"""A function that long computations call between two steps: true means to stop."""


def smallest_id_type(size: int) -> np.dtype[Any]:
    """Return the smallest unsigned integer type that can number `size` characters.

    Example:
        >>> smallest_id_type(256), smallest_id_type(257)
        (dtype('uint8'), dtype('uint16'))
    """
    return np.dtype(np.uint8 if size <= 2**8 else np.uint16 if size <= 2**16 else np.uint32)
