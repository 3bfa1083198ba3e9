"""Matrix products of a cell, which a compute backend may replace."""

import numpy as np

from charrnn.nn import ops
from charrnn.nn.recurrent_matmul import RecurrentProduct
from charrnn.types import Array, Ids


class Products:
    """The matrix products of a cell's G gates in NumPy.

    Time steps and rows of a batch are one axis of M = T · B positions, except for the recurrence.

    Example:
        >>> x, W = np.ones((6, 2)), np.ones((3, 2, 4))
        >>> a = np.empty((3, 6, 4))
        >>> Products().project(x, W, out=a)
        >>> a[0, 0]
        array([2., 2., 2., 2.])
    """

    def recurrent(self, W: Array, T: int, B: int) -> RecurrentProduct:
        """Return the product of states (B, K) with W (G, K, N), for T time steps."""
        return RecurrentProduct(W, T, B)

    def project(self, x: Array, W: Array, out: Array) -> None:
        """Overwrite `out` (G, M, N) with x (M, K) times W (G, K, N)."""
        np.matmul(x, W, out=out)

    def project_backward(self, dy: Array, W: Array, dx: Array) -> None:
        """Overwrite dx (M, K) with the sum over the gates of dy (G, M, N) Wᵀ, W (G, K, N)."""
        np.matmul(dy[0], W[0].T, out=dx)
        for dy_gate, W_gate in zip(dy[1:], W[1:], strict=True):
            dx += np.matmul(dy_gate, W_gate.T)

    def weight_gradients(self, x: Array, dy: Array, dW: Array) -> None:
        """Overwrite dW (G, K, N) with xᵀ dy for x (M, K) and dy (G, M, N)."""
        np.matmul(x.T, dy, out=dW)

    def lookup_backward(self, dy: Array, ids: Ids, out: Array) -> Array:
        """Overwrite `out` (G, V, N) with one-hotᵀ dy, dy (G, T, B, N), ids (T, B); return it."""
        return ops.lookup_backward(dy, ids, out)
