"""Recurrent products, cut to the size that the BLAS multiplies without packing.

A product of large matrices pays for copying its operands first into the order that the processor
likes best ("packing"). The recurrent one has a row for each lane, few, and the same weights at
every time step: packing them takes about as long as multiplying. OpenBLAS has kernels for AVX-512
that go without, up to `WITHOUT_PACKING` multiplications. So weights are cut into blocks of columns
just narrow enough, and copied once a window: 105 to 113 GFLOP/s instead of 63 to 85, measured for
16 and 32 lanes of 256 and 512 units. Other kernels pack whatever the size: there one block is best.
"""

from functools import cache

import numpy as np
from threadpoolctl import threadpool_info

from charrnn.types import Array

WITHOUT_PACKING = 100**3
"""Multiplications in the largest product that OpenBLAS's kernels for AVX-512 do not pack."""

NARROWEST = 16
"""Columns that a block should have, for the kernels to be worth their call."""

FEW_STEPS = 4
"""Below so many time steps a copy of the weights is not worth making."""


class RecurrentProduct:
    """x W for each of G gates, W (G, K, N) a view of weights that change between windows.

    `renew` must follow a change of the weights, before the first product.
    """

    def __init__(self, W: Array, T: int, B: int) -> None:
        """Prepare for T products a window of x with B rows; the dtype is that of the weights."""
        G, K, N = W.shape
        P = blocks_of(B, K, N)
        self.P = P
        self.out = np.zeros((G, B, N), W.dtype)
        self._out_blocks = self.out.reshape(G, B, P, N // P).transpose(0, 2, 1, 3)
        self._source = W.reshape(G, K, P, N // P, copy=False).transpose(0, 2, 1, 3)
        copied = T >= FEW_STEPS and not self._source.flags.c_contiguous
        self._blocks = np.zeros_like(self._source, order="C") if copied else self._source
        self._single = (self._blocks[0, 0], self.out[0]) if G == P == 1 else None

    def renew(self) -> None:
        """Take the weights as they are now."""
        if self._blocks is not self._source:
            np.copyto(self._blocks, self._source)

    def of_state(self, x: Array) -> Array:
        """Return the product (G, B, N), a buffer, of one x (B, K) with the weights of each gate."""
        if self._single is None:
            np.matmul(x, self._blocks, out=self._out_blocks)
        else:  # the cheaper call, where there is but one
            x.dot(*self._single)
        return self.out

    def of_gates(self, x: Array) -> Array:
        """Return the product (G, B, N), a buffer, of x (G, B, K), for each gate its own."""
        np.matmul(x[:, None], self._blocks, out=self._out_blocks)
        return self.out


def blocks_of(B: int, K: int, N: int) -> int:
    """Return into how many blocks of columns a product of (B, K) and (K, N) is best cut."""
    if not small_products_unpacked():
        return 1
    cuts = (P for P in range(1, N // NARROWEST + 1) if N % P == 0)
    return next((P for P in cuts if B * K * (N // P) <= WITHOUT_PACKING), 1)


@cache
def small_products_unpacked() -> bool:
    """Whether NumPy multiplies with OpenBLAS's kernels for AVX-512."""
    return any(
        library.get("internal_api") == "openblas" and library.get("architecture") in AVX_512
        for library in threadpool_info()
    )


AVX_512 = ("SkylakeX", "Cooperlake", "SapphireRapids")
"""What OpenBLAS calls the processors that it has these kernels for."""
