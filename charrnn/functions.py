"""The functions a network is made of, each directly above what undoes it.

All of them work on any dtype: float32 to train, float64 to check, complex128 for complex-step
derivatives, which need holomorphic code: no `abs`, no comparison of values on the way.
"""

import numpy as np

from charrnn.arrays import Array, Ids


def sigmoid(x: Array, out: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ), element by element, written to `out` (which may be `x`).

    For x below −88 in float32, e⁻ˣ is infinite and σ exactly 0, as it should be: callers
    silence that overflow once for a whole window (`numpy.errstate`).
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


def columns(x: Array, features: int = 1) -> Array:
    """View x, (…, T, B) after `features` axes, with all times and lanes as columns (…, T·B).

    An error, never a silent copy, if that cannot be.
    """
    return x.reshape(*x.shape[:features], -1, copy=False)


def affine(x: Array, W: Array, b: Array, out: Array) -> Array:
    """y = Wᵀ x + b for every column of `x` (D, …) and W (D, K), written to `out` (K, …)."""
    np.matmul(W.T, columns(x), out=columns(out))
    columns(out)[...] += b[:, None]
    return out


def affine_backward(dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array) -> None:
    """From dy (K, …) overwrite dW (D, K), db (K,) and dx (D, …) with the gradients of `affine`."""
    np.matmul(columns(x), columns(dy).T, out=dW)
    np.sum(columns(dy), axis=1, out=db)
    np.matmul(W, columns(dy), out=columns(dx))


def log_softmax(logits: Array, out: Array) -> Array:
    """ln p = y − ln Σ eʸ over the first axis, safe for logits of any size, written to `out`."""
    np.subtract(logits, np.max(logits.real, axis=0), out=out)
    out -= np.log(np.sum(np.exp(out), axis=0))
    return out


def cross_entropy(logits: Array, targets: Ids, out: Array) -> Array:
    """Nats for each target: −ln p(target), shaped as `targets`; leaves ln p in `out` (V, …)."""
    log_p = columns(log_softmax(logits, out))
    nats = -log_p[targets.ravel(), np.arange(targets.size)]
    return nats.reshape(targets.shape)


def cross_entropy_backward(log_p: Array, targets: Ids, weights: Array | float) -> Array:
    """In place of ln p (V, …): ∂(Σ weights · nats)/∂logits = weights · (p − one-hot target)."""
    dlogits = np.exp(log_p, out=log_p)
    columns(dlogits)[targets.ravel(), np.arange(targets.size)] -= 1
    dlogits *= weights
    return dlogits


def lookup(tables: Array, ids: Ids, out: Array) -> Array:
    """Column `ids[t, b]` of each table (G, H, V): the product with a one-hot vector.

    Written to `out` (T, G, H, B). Ids are trusted: they come from the vocabulary of this network.
    """
    G, H, V = tables.shape
    if V <= LARGEST_ONE_HOT:
        flat = tables.reshape(G * H, V, copy=False)
        for at, found in zip(ids, out, strict=True):
            np.take(flat, at, axis=1, out=found.reshape(G * H, -1, copy=False), mode="clip")
    else:  # columns far apart: fetch whole rows, then turn them
        for gate, table in enumerate(tables):
            out[:, gate] = np.ascontiguousarray(table.T)[ids].transpose(0, 2, 1)
    return out


def lookup_backward(dy: Array, ids: Ids, out: Array) -> Array:
    """Add up the columns of dy (G, H, T, B) that share an id: overwrites `out` (G, V, H).

    Small vocabularies take the product with the one-hot matrix, which costs V multiplications
    for each number but runs at the speed of BLAS; large ones sort the rows and add up each run.
    """
    flat = ids.ravel()
    V = out.shape[1]
    rows = columns(dy, 2).transpose(0, 2, 1)
    if V <= LARGEST_ONE_HOT:
        one_hot = np.zeros((V, flat.size), dtype=dy.dtype)
        one_hot[flat, np.arange(flat.size)] = 1
        return np.matmul(one_hot, rows, out=out)
    order = np.argsort(flat, kind="stable")
    present, starts = np.unique(flat[order], return_index=True)
    out.fill(0)
    for gate, summed in zip(rows, out, strict=True):
        summed[present] = np.add.reduceat(gate[order], starts, axis=0)
    return out


LARGEST_ONE_HOT = 128
"""The vocabulary up to which a one-hot product is faster than sorting (measured, H 128 to 512)."""
