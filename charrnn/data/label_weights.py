"""Weights of labels in the loss, for labels that are not equally frequent."""

import numpy as np

from charrnn.types import Array, Ids


def label_weights(counts: Ids, power: float) -> Array:
    """Return a weight for each label, by its frequency to the power of -`power`.

        w(c) = n(c)^(-power) · N / Σ_k n(k)^(1 - power),   N = Σ_k n(k)

    The mean weight of an example is 1, so that the size of the gradient does not depend on `power`.
    With 1 every label has the same sum of weights; with 0 all weights are 1. Weights by inverse
    frequency: King & Zeng 2001, Political Analysis 9(2); by its square root (0.5): Mahajan et al.
    2018, arXiv 1805.00932, which draws examples so.

    The minimum of Σ w(y) · -ln q(y | x) is q(c | x) ∝ w(c) p(c | x): a model that is trained so
    gives rare labels more than their probability. p is recovered from its logits z(c) as
    softmax(z(c) + power · ln n(c)) (Saerens et al. 2002, Neural Computation 14(1)).

    Args:
        counts: the examples of each label (L,).
        power: from 0 to 1.

    Returns:
        The weights (L,), float64; 0 for a label without examples.

    Example:
        >>> label_weights(np.array([90, 10]), 1.0)
        array([0.55555556, 5.        ])
        >>> label_weights(np.array([90, 10]), 0.0)
        array([1., 1.])
    """
    present = np.maximum(counts, 1.0) ** -power * (counts > 0)
    found: Array = present * (counts.sum() / (counts * present).sum())
    return found
