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


def clip_by_norm(gradient: Array, max_norm: float, norm_before: float) -> float:
    """Shrink `gradient` in place to a norm of at most `max_norm`; return its norm afterwards.

    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063, Algorithm 1.
    """
    if norm_before <= max_norm:
        return norm_before
    gradient *= max_norm / norm_before
    return max_norm


def clip_by_value(gradient: Array, max_value: float) -> float:
    """Cut every element to [−max_value, max_value] in place; return the norm afterwards."""
    np.clip(gradient, -max_value, max_value, out=gradient)
    return norm(gradient)
