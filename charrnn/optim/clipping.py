"""Gradient clipping, by the norm of the whole gradient or by element."""

import math

import numpy as np

from charrnn.types import Array

MIN_EXACT_SQUARE = 1e-20
"""A sum of squares below this may have lost terms that are not normal float32 numbers."""


def norm(vector: Array) -> float:
    """Return ‖v‖₂, scaling the vector first if its squares leave the range of float32.

    Example:
        >>> norm(np.array([3.0, 4.0]))
        5.0
    """
    square = float(np.dot(vector, vector))
    if MIN_EXACT_SQUARE < square < math.inf:
        return math.sqrt(square)
    scale = float(np.max(np.abs(vector), initial=0.0))
    if not 0 < scale < math.inf:
        return scale
    return scale * float(np.linalg.norm(vector.astype(np.float64) / scale))


def clip_by_norm(gradient: Array, max_norm: float, norm_before: float) -> float:
    """Scale `gradient` in place to a norm of at most `max_norm`; return its norm afterwards.

    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063, Algorithm 1.

    Args:
        gradient: the whole gradient as one vector, changed in place.
        max_norm: the threshold, above 0.
        norm_before: the norm of `gradient`, as `norm` returns it.

    Example:
        >>> gradient = np.array([3.0, 4.0])
        >>> clip_by_norm(gradient, 1.0, norm(gradient)), gradient
        (1.0, array([0.6, 0.8]))
    """
    if norm_before <= max_norm:
        return norm_before
    gradient *= max_norm / norm_before
    return max_norm


def clip_by_value(gradient: Array, max_value: float) -> float:
    """Limit every element to [−max_value, max_value] in place; return the norm afterwards.

    Example:
        >>> gradient = np.array([3.0, -0.5])
        >>> bool(clip_by_value(gradient, 1.0) == norm(gradient)), gradient
        (True, array([ 1. , -0.5]))
    """
    np.clip(gradient, -max_value, max_value, out=gradient)
    return norm(gradient)
