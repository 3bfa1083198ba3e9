"""Recurrent matrix products h W_hh, in blocks that the BLAS multiplies without packing.

A BLAS copies the operands of a large product into its own order first ("packing"). In the recurrent
product the rows of h are few, one for each sequence of the batch, and the weights are the same at
every time step: packing them takes about as long as multiplying. OpenBLAS's kernels for AVX-512 do
not pack products of up to `MAX_UNPACKED_PRODUCT` multiplications. So the weights are cut into
blocks of columns just narrow enough, and copied once per batch: 105 to 113 GFLOP/s instead of 63 to
85, measured for a batch of 16 and 32 and 256 and 512 units. Other kernels always pack: for them one
block is best.
"""

from functools import cache

import numpy as np
from threadpoolctl import threadpool_info

from charrnn.types import Array

MAX_UNPACKED_PRODUCT = 100**3
"""Most multiplications of a product that OpenBLAS's kernels for AVX-512 do not pack."""

MIN_BLOCK_COLUMNS = 16
"""Fewest columns of a block: narrower products are slower than packing."""

MIN_STEPS_TO_COPY = 4
"""Fewest time steps for which the weights are copied into blocks."""


class RecurrentProduct:
    """The product of x with the weights of each of G gates.

    `refresh_weights` must be called after a change of the weights, before the next product.

    Args:
        W: the weights (G, K, N), not copied; transposed views are allowed.
        T: products between two changes of the weights: the time steps of a batch.
        B: rows of x.
    """

    def __init__(self, W: Array, T: int, B: int) -> None:
        G, K, N = W.shape
        P = block_count(B, K, N)
        self.P = P
        self.out = np.zeros((G, B, N), W.dtype)
        self._out_blocks = self.out.reshape(G, B, P, N // P).transpose(0, 2, 1, 3)
        self._source = W.reshape(G, K, P, N // P, copy=False).transpose(0, 2, 1, 3)
        copied = T >= MIN_STEPS_TO_COPY and not self._source.flags.c_contiguous
        self._blocks = np.zeros_like(self._source, order="C") if copied else self._source
        self._single = (self._blocks[0, 0], self.out[0]) if G == P == 1 else None

    def refresh_weights(self) -> None:
        """Copy the weights into the blocks."""
        if self._blocks is not self._source:
            np.copyto(self._blocks, self._source)

    def multiply(self, x: Array) -> Array:
        """Return the product (G, B, N), a buffer, of one x (B, K) with the weights of each gate."""
        if self._single is None:
            np.matmul(x, self._blocks, out=self._out_blocks)
        else:  # the cheaper call for one gate in one block
            x.dot(*self._single)
        return self.out

    def multiply_single(self, x: Array) -> Array:
        """Return the product (B, N), a buffer, of x (B, K) with the weights of the only gate."""
        product: Array = self.multiply(x)[0] if self._single is None else x.dot(*self._single)
        return product

    def multiply_summed(self, x: Array, out: Array) -> None:
        """Overwrite `out` (B, N) with the sum of x[g] (B, K) times the weights of gate g."""
        np.matmul(x[:, None], self._blocks, out=self._out_blocks)
        np.add.reduce(self.out, axis=0, out=out)


def block_count(B: int, K: int, N: int) -> int:
    """Return the number of blocks of columns for the fastest product of (B, K) and (K, N)."""
    if not small_products_unpacked():
        return 1
    cuts = (P for P in range(1, N // MIN_BLOCK_COLUMNS + 1) if N % P == 0)
    return next((P for P in cuts if B * K * (N // P) <= MAX_UNPACKED_PRODUCT), 1)


@cache
def small_products_unpacked() -> bool:
    """Return whether NumPy multiplies with OpenBLAS's kernels for AVX-512."""
    return any(
        library.get("internal_api") == "openblas"
        and library.get("architecture") in AVX512_ARCHITECTURES
        for library in threadpool_info()
    )


AVX512_ARCHITECTURES = ("SkylakeX", "Cooperlake", "SapphireRapids")
"""OpenBLAS's names of the processors that it has these kernels for."""
