"""Elementary operations of a network, each followed by its backward pass.

They work on any dtype: float32 to train, float64 to check, complex128 for complex-step derivatives,
which need holomorphic code: no `abs`, no comparison of values.
"""

from math import log1p

import numpy as np
from numpy.typing import DTypeLike

from charrnn.types import Array, Ids


def sigmoid(x: Array, out: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ), element by element, written to `out` (which may be `x`).

    For x below −88 in float32, e⁻ˣ is infinite and σ exactly 0, which is right. NumPy warns of
    that overflow unless the caller ignores it (`numpy.errstate`).

    Example:
        >>> sigmoid(np.array([0.0, 20.0]), out=np.empty(2)).round(3)
        array([0.5, 1. ])
    """
    np.multiply(x, -1, out=out)  # NumPy 2.4's negative errs in place at a stride of 64 bytes
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def sigmoid_slope(y: Array, out: Array) -> Array:
    """σ′ from the output y = σ(x): y − y², written to `out` (which may not be `y`)."""
    np.multiply(y, y, out=out)
    return np.subtract(y, out, out=out)


def tanh_slope(y: Array, out: Array) -> Array:
    """tanh′ from the output y = tanh(x): 1 − y², written to `out` (which may not be `y`)."""
    np.multiply(y, y, out=out)
    return np.subtract(1, out, out=out)


def rows(x: Array) -> Array:
    """Return a view of `x` (…, K) as a matrix (rows, K); `ValueError` if that needs a copy."""
    return x.reshape(-1, x.shape[-1], copy=False)


def affine(x: Array, W: Array, b: Array, out: Array) -> Array:
    """y = x W + b for every row of `x` (…, D), written to `out` (…, K)."""
    np.matmul(rows(x), W, out=rows(out))
    out += b
    return out


def affine_backward(dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array) -> None:
    """Overwrite dW (D, K), db (K,) and dx (…, D) with the gradients of `affine` from dy (…, K)."""
    np.matmul(rows(x).T, rows(dy), out=dW)
    np.add.reduce(rows(dy), axis=0, out=db)
    np.matmul(rows(dy), W.T, out=rows(dx))


def log_softmax(logits: Array, out: Array) -> Array:
    """ln p = y − ln Σ eʸ over the last axis, written to `out` (which may be `logits`).

    The largest logit is subtracted first, so that no exponential overflows.

    Example:
        >>> y = np.array([[1000.0, 1000.0]])
        >>> np.exp(log_softmax(y, out=np.empty_like(y)))
        array([[0.5, 0.5]])
    """
    np.subtract(logits, np.maximum.reduce(logits.real, axis=-1, keepdims=True), out=out)
    out -= np.log(np.add.reduce(np.exp(out), axis=-1, keepdims=True))
    return out


def cross_entropy(logits: Array, targets: Ids, out: Array) -> Array:
    """Return −ln p of each target in nats, shaped as `targets`; overwrites `out` (…, V) with ln p.

    Example:
        >>> nats = cross_entropy(np.zeros((2, 4)), np.array([0, 3]), out=np.empty((2, 4)))
        >>> bool(np.allclose(nats, np.log(4)))
        True
    """
    log_p = rows(log_softmax(logits, out))
    nats = -log_p[np.arange(targets.size), targets.ravel()]
    return nats.reshape(targets.shape)


def cross_entropy_backward(
    log_p: Array,
    targets: Ids,
    weights: Array | float,
    label_smoothing: float = 0.0,
    probabilities: Array | None = None,
) -> Array:
    """Return ∂(Σ weights · loss)/∂logits = weights · (p − q), written over `log_p`.

    q is the one-hot target, or with label smoothing ε (Szegedy et al. 2016, arXiv 1512.00567)
    1 − ε of it and ε / V for each of the V symbols, or `probabilities`, those of a teacher (Hinton,
    Vinyals & Dean 2015, arXiv 1503.02531); the loss is the cross-entropy of p under q.

    Args:
        log_p: ln p (…, V), as `cross_entropy` leaves it in `out`.
        targets: ids, shaped as the axes before the last.
        weights: one for each target, or one for all.
        label_smoothing: ε, from 0 to below 1.
        probabilities: q (…, V) in place of the targets, whose sums are 1; None for the targets.

    Example:
        >>> cross_entropy_backward(np.log([[0.5, 0.5]]), np.array([0]), 1.0, label_smoothing=0.2)
        array([[-0.4,  0.4]])
    """
    dlogits = np.exp(log_p, out=log_p)
    if probabilities is not None:
        dlogits -= probabilities
    else:
        if label_smoothing:
            dlogits -= label_smoothing / dlogits.shape[-1]
        rows(dlogits)[np.arange(targets.size), targets.ravel()] -= 1 - label_smoothing
    dlogits *= weights if isinstance(weights, float) else weights[..., None]
    return dlogits


def smoothed_nats(label_smoothing: float, V: int) -> float:
    """Return −ln q of a target under the distribution q that label smoothing makes of it.

    A model that has learned q exactly has this loss, of which nothing is left to learn.

    Example:
        >>> smoothed_nats(0.0, 50), round(smoothed_nats(0.1, 50), 4)
        (0.0, 0.1031)
    """
    return -log1p(-label_smoothing * (1 - 1 / V))


def lookup(tables: Array, ids: Ids, out: Array) -> Array:
    """Write row `ids[…]` of each table (G, V, K) to `out` (G, …, K): a one-hot product.

    Ids are not checked: they must be below V.
    """
    G, _, K = tables.shape
    flat = out.reshape(G, -1, K, copy=False)
    np.take(tables, ids.ravel(), axis=1, out=flat, mode="clip")
    return out


def lookup_backward(dy: Array, ids: Ids, out: Array) -> Array:
    """Overwrite `out` (G, V, K) with the sums of the rows of each dy (G, …, K) that share an id.

    Positions are sorted by id, and the rows of each id are gathered and summed: three times as fast
    as the product with a one-hot matrix, for 65 characters and 1,024 positions of 4 × 256. For up
    to `MAX_ONE_HOT_POSITIONS` positions the product is faster than one call for each character.
    """
    G, V, K = out.shape
    flat, dy = ids.ravel(), dy.reshape(G, -1, K, copy=False)
    if flat.size <= MAX_ONE_HOT_POSITIONS:
        one_hot = np.zeros((V, flat.size), dtype=dy.dtype)
        one_hot[flat, np.arange(flat.size)] = 1
        return np.matmul(one_hot, dy, out=out)
    order = np.argsort(flat, kind="stable")
    counts = np.bincount(flat, minlength=V)
    ends = counts.cumsum()
    once, often = np.flatnonzero(counts == 1), np.flatnonzero(counts > 1)
    out.fill(0)
    out[:, once] = dy[:, order[ends[once] - 1]]
    for id_, end in zip(often.tolist(), ends[often].tolist(), strict=True):
        run = order[end - counts[id_] : end]
        np.add.reduce(dy.take(run, axis=1), axis=1, out=out[:, id_])
    return out


MAX_ONE_HOT_POSITIONS = 32
"""Positions up to which a one-hot product is used (measured, 65 characters, H 100 to 256)."""


def dropout_mask(draws: Array, rate: float, dtype: DTypeLike) -> Array:
    """Return 0 where uniform `draws` are below `rate`, else 1/(1 − rate): the mean is 1.

    The mask is contiguous, whatever the order of `draws`.
    """
    mask: Array = (draws >= rate).astype(dtype, order="C")
    mask *= 1 / (1 - rate)
    return mask
