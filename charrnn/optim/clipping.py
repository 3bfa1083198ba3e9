"""Gradient clipping, by the norm of the whole gradient or by element."""

import math

import numpy as np

from charrnn.types import Array


def norm(vector: Array) -> float:
    """‖v‖₂; a vector whose squares leave the range of its dtype is scaled first."""
    square = float(np.dot(vector, vector))
    if 1e-20 < square < math.inf:
        return math.sqrt(square)
    scale = float(np.max(np.abs(vector), initial=0.0))
    if not 0 < scale < math.inf:
        return scale
    return scale * float(np.linalg.norm(vector.astype(np.float64) / scale))


def clip_by_norm(gradient: Array, largest: float, norm_before: float) -> float:
    """Shrink `gradient` in place to a norm of at most `largest`; return its norm afterwards.

    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063, Algorithm 1.
    """
    if norm_before <= largest:
        return norm_before
    gradient *= largest / norm_before
    return largest


def clip_by_value(gradient: Array, largest: float) -> float:
    """Cut every element to [−largest, largest] in place; return the norm afterwards."""
    np.clip(gradient, -largest, largest, out=gradient)
    return norm(gradient)
