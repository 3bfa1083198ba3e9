"""Products of the cells of the Numba backend: the compiled kernel where it is faster.

On one core of a Zen 5 the kernel reaches 255 to 265 GFLOP/s of float32 in the recurrent products of
16 to 50 rows and 128 to 512 units. OpenBLAS 0.3.31 reaches 160 to 255 with its kernels for AVX-512,
and 85 to 115 with those for AVX2, which it takes where it does not know a processor. On a Zen 3 the
kernel is 1.15 to 1.6 times as fast in these products, but not in those of more rows.
"""

from functools import cache

import numpy as np

from charrnn.nn.products import Products
from charrnn.nn.recurrent_matmul import MIN_STEPS_TO_COPY, RecurrentProduct
from charrnn.training.numba_compile import compiled, processor
from charrnn.training.numba_matmul import (
    PANEL,
    TILES,
    multiply,
    multiply_summed,
    multiply_transposed,
    panels_of,
)
from charrnn.types import Array, Ids

MIN_ROWS = 4
"""Fewest rows for which this kernel is used."""


@cache
def kernel_is_faster(*, many_rows: bool) -> bool:
    """Return whether the kernel was measured to be faster than OpenBLAS on this processor.

    Args:
        many_rows: whether the products are those of all positions of a batch, not recurrent ones.
    """
    tile = TILES.get(processor() or "")
    return tile is not None and (tile.many_rows or not many_rows)


def applies(rows: int, columns: int, *arrays: Array, many_rows: bool = True) -> bool:
    """Return whether the kernel computes a product (rows, columns) of these arrays."""
    return (
        kernel_is_faster(many_rows=many_rows)
        and rows >= MIN_ROWS
        and columns % PANEL == 0
        and all(array.dtype == np.float32 for array in arrays)
    )


@compiled()
def add_to_rows(dy: Array, ids: Ids, out: Array) -> None:
    """Add each row m of dy (G, M, N) to the row ids[m] of out (G, V, N), in the order of m."""
    G, M, N = dy.shape
    for g in range(G):
        for m in range(M):
            row = ids[m]
            for j in range(N):
                out[g, row, j] += dy[g, m, j]


class CompiledRecurrentProduct(RecurrentProduct):
    """The product of x with the weights of each of G gates, by the compiled kernel."""

    def __init__(self, W: Array, T: int, B: int) -> None:
        G, _, N = W.shape
        self.P = N // PANEL
        self.out = np.zeros((G, B, N), W.dtype)
        self._source = panels_of(W)
        self._blocks = np.zeros_like(self._source, order="C")

    def multiply(self, x: Array) -> Array:
        """Return the product (G, B, N), a buffer, of one x (B, K) with the weights of each gate."""
        multiply(x, self._blocks, self.out)
        return self.out

    def multiply_single(self, x: Array) -> Array:
        """Return the product (B, N), a buffer, of x (B, K) with the weights of the only gate."""
        product: Array = self.multiply(x)[0]
        return product

    def multiply_summed(self, x: Array, out: Array) -> None:
        """Overwrite `out` (B, N) with the sum of x[g] (B, K) times the weights of gate g."""
        multiply_summed(x, self._blocks, out)


class CompiledProducts(Products):
    """Products by the compiled kernel where it is faster; otherwise NumPy's."""

    def recurrent(self, W: Array, T: int, B: int) -> RecurrentProduct:
        """Return the product of states (B, K) with W (G, K, N), for T time steps."""
        if T >= MIN_STEPS_TO_COPY and applies(B, W.shape[2], W, many_rows=False):
            return CompiledRecurrentProduct(W, T, B)
        return super().recurrent(W, T, B)

    def project(self, x: Array, W: Array, out: Array) -> None:
        """Overwrite `out` (G, M, N) with x (M, K) times W (G, K, N)."""
        if applies(len(x), W.shape[2], x, W, out):
            multiply(x, np.ascontiguousarray(panels_of(W)), out)
        else:
            super().project(x, W, out)

    def project_backward(self, dy: Array, W: Array, dx: Array) -> None:
        """Overwrite dx (M, K) with the sum over the gates of dy (G, M, N) Wᵀ, W (G, K, N)."""
        if applies(len(dx), W.shape[1], dy, W, dx):
            multiply_summed(dy, np.ascontiguousarray(panels_of(W.transpose(0, 2, 1))), dx)
        else:
            super().project_backward(dy, W, dx)

    def weight_gradients(self, x: Array, dy: Array, dW: Array) -> None:
        """Overwrite dW (G, K, N) with xᵀ dy for x (M, K) and dy (G, M, N)."""
        if applies(len(x), dW.shape[2], x, dy, dW):
            multiply_transposed(x, dy, dW)
        else:
            super().weight_gradients(x, dy, dW)

    def lookup_backward(self, dy: Array, ids: Ids, out: Array) -> Array:
        """Overwrite `out` (G, V, N) with one-hotᵀ dy, dy (G, T, B, N), ids (T, B); return it."""
        if dy.dtype != np.float32:
            return super().lookup_backward(dy, ids, out)
        if not 0 <= ids.min() <= ids.max() < out.shape[1]:  # compiled code does not check
            raise IndexError(f"an id is not one of the {out.shape[1]:,} rows of the table")
        out.fill(0)
        add_to_rows(dy.reshape(len(dy), ids.size, -1, copy=False), ids.ravel(), out)
        return out
