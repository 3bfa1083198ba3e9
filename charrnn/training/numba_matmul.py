"""Matrix products for the Numba backend, with a kernel in vector instructions.

    out (M, N) = Σ over g of x[g] W[g],  x (G, M, K), W (G, K, N)

N is a multiple of `PANEL`, and the rows of `out` are contiguous; x may have any strides.

The weights are copied into panels of `PANEL` columns that are contiguous in memory. A tile of up to
`TILE_ROWS` rows and `PANEL` columns of the product stays in registers while the sum over K is
computed: for each k, one row of the panel is loaded and multiplied by one number of each row of x
(Goto & van de Geijn 2008, ACM Transactions on Mathematical Software 34(3)). The tile is written in
LLVM's intermediate representation: from loops in Python, LLVM does not keep it in registers. Its
size depends on the processor (`TILES`), which Numba's cache on disk distinguishes.

All compiled functions that use it are in this file, since that cache does not notice changes of
another one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from charrnn.training.numba_compile import compiled, processor
from charrnn.types import Array


@dataclass(frozen=True)
class Tile:
    """The part of a product that stays in registers.

    Attributes:
        lanes: numbers of float32 in a vector register.
        vectors: vectors of a row.
        rows: most rows; `rows` · `vectors` registers hold sums.
        many_rows: whether products of all positions of a batch are faster too, and not only the
            recurrent ones, whose rows are few.
    """

    lanes: int
    vectors: int
    rows: int
    many_rows: bool


TILES = {
    "znver3": Tile(lanes=8, vectors=2, rows=6, many_rows=False),  # AVX2: 12 of 16 registers
    "znver5": Tile(lanes=16, vectors=2, rows=8, many_rows=True),  # AVX-512: 16 of 32 registers
}
"""Tiles by LLVM's name of the processor: those on which the kernel was measured to be faster than
OpenBLAS. The LLVM of Numba 0.61 does not know znver5 yet; OpenBLAS then multiplies."""

TILE = TILES.get(processor() or "", TILES["znver3"])
LANES, VECTORS, TILE_ROWS = TILE.lanes, TILE.vectors, TILE.rows
PANEL = VECTORS * LANES
"""Columns of a panel, and of a tile."""

POSITIONS = 256
"""Positions that are multiplied with all panels before the next ones, so that they stay in L2."""

FLOAT, INT = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
FLOAT_BYTES, VECTOR_BYTES, PANEL_BYTES = 4, 4 * LANES, 4 * PANEL


@intrinsic
def multiply_tile(
    typing_context: Any,
    rows: Any,
    x: Any,
    x_gate: Any,
    x_row: Any,
    x_column: Any,
    gates: Any,
    columns: Any,
    panel: Any,
    out: Any,
    out_row: Any,
    add: Any,
) -> Any:
    """Compute a tile of a product; compiled only. See `TileBuilder` for the arguments."""
    signature = types.void(*[types.int64] * len(TileBuilder.ARGUMENTS))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        TileBuilder(builder, dict(zip(TileBuilder.ARGUMENTS, values, strict=True))).build()
        return context.get_dummy_value()

    return signature, generate


class TileBuilder:
    """Writes the instructions that compute one tile of a product.

    Args:
        builder: where the instructions go.
        values: the arguments by name, all integers: the rows of the tile, 1 to `TILE_ROWS`; the
            address of x and its strides in bytes from gate to gate, row to row, and column to
            column; the number of gates and of columns of x; the address of the panel (G, K, PANEL);
            the address of the tile in the product and the stride of its rows; and 1 to add to
            what is there, 0 to overwrite it.
    """

    ARGUMENTS = (
        *("rows", "x", "x_gate", "x_row", "x_column", "gates", "columns"),
        *("panel", "out", "out_row", "add"),
    )

    def __init__(self, builder: Any, values: dict[str, Any]) -> None:
        self.builder, self.values = builder, values
        self.fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]  # Numba's
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fma.v{LANES}f32"
        )

    def build(self) -> None:
        """Write a tile of each possible number of rows, and the choice between them."""
        builder = self.builder
        end = builder.append_basic_block("tile.end")
        choice = builder.switch(self.values["rows"], end)
        for rows in range(1, TILE_ROWS + 1):
            block = builder.append_basic_block(f"tile.{rows}")
            choice.add_case(ir.Constant(INT, rows), block)
            builder.position_at_end(block)
            self.tile(rows)
            builder.branch(end)
        builder.position_at_end(end)

    def tile(self, rows: int) -> None:
        """Write the loops over the gates and the columns of x for a tile of so many rows."""
        builder, values = self.builder, self.values
        sums = [[self.register() for _ in range(VECTORS)] for _ in range(rows)]
        self.begin(sums)
        gate_bytes = builder.mul(values["columns"], ir.Constant(INT, PANEL_BYTES))
        with cgutils.for_range(builder, values["gates"]) as gates:
            x = self.offset(values["x"], gates.index, values["x_gate"])
            panel = self.offset(values["panel"], gates.index, gate_bytes)
            with cgutils.for_range(builder, values["columns"]) as columns:
                self.add_column(
                    sums,
                    self.offset(x, columns.index, values["x_column"]),
                    self.offset(panel, columns.index, PANEL_BYTES),
                )
        for row, vectors in enumerate(sums):
            for vector, total in enumerate(vectors):
                builder.store(builder.load(total), self.out(row, vector), align=FLOAT_BYTES)

    def register(self) -> Any:
        """Return the place of a vector on the stack, which LLVM turns into a register."""
        return cgutils.alloca_once(self.builder, VECTOR)  # type: ignore[no-untyped-call]  # Numba's

    def begin(self, sums: list[list[Any]]) -> None:
        """Set the sums to zero, or to what the product holds already."""
        builder = self.builder
        adding = builder.icmp_signed("!=", self.values["add"], ir.Constant(INT, 0))
        with builder.if_else(adding) as (then, otherwise):
            with then:
                for row, vectors in enumerate(sums):
                    for vector, total in enumerate(vectors):
                        there = builder.load(self.out(row, vector), align=FLOAT_BYTES)
                        builder.store(there, total)
            with otherwise:
                for total in (total for vectors in sums for total in vectors):
                    builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)

    def add_column(self, sums: list[list[Any]], x: Any, panel: Any) -> None:
        """Add the products of one column of x with one row of the panel."""
        builder = self.builder
        weights = [
            builder.load(self.pointer(panel, vector * VECTOR_BYTES, VECTOR), align=FLOAT_BYTES)
            for vector in range(VECTORS)
        ]
        undefined = ir.Constant(VECTOR, ir.Undefined)
        index = ir.IntType(32)
        for row, vectors in enumerate(sums):
            address = self.offset(x, ir.Constant(INT, row), self.values["x_row"])
            number = builder.load(self.pointer(address, 0, FLOAT), align=FLOAT_BYTES)
            first = builder.insert_element(undefined, number, ir.Constant(index, 0))
            all_lanes = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
            repeated = builder.shuffle_vector(first, undefined, all_lanes)
            for total, weight in zip(vectors, weights, strict=True):
                builder.store(
                    builder.call(self.fma, [repeated, weight, builder.load(total)]), total
                )

    def out(self, row: int, vector: int) -> Any:
        """Return the pointer to a vector of the tile in the product."""
        address = self.offset(self.values["out"], ir.Constant(INT, row), self.values["out_row"])
        return self.pointer(address, vector * VECTOR_BYTES, VECTOR)

    def offset(self, address: Any, count: Any, stride: Any) -> Any:
        """Return address + count · stride."""
        stride = ir.Constant(INT, stride) if isinstance(stride, int) else stride
        return self.builder.add(address, self.builder.mul(count, stride))

    def pointer(self, address: Any, offset: int, kind: Any) -> Any:
        """Return a pointer to a number or vector at an address plus `offset` bytes."""
        address = self.builder.add(address, ir.Constant(INT, offset))
        return self.builder.inttoptr(address, kind.as_pointer())


@compiled()
def multiply_rows(
    rows: int,
    x: int,
    x_gate: int,
    x_row: int,
    x_column: int,
    gates: int,
    columns: int,
    panel: int,
    out: int,
    out_row: int,
    add: int,
) -> None:
    """Compute `PANEL` columns of a product, in tiles of nearly equal size. As `multiply_tile`."""
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    first = 0
    for tile in range(tiles):
        end = rows * (tile + 1) // tiles
        multiply_tile(  # type: ignore[call-arg]  # Numba passes the typing context
            end - first,
            x + first * x_row,
            x_gate,
            x_row,
            x_column,
            gates,
            columns,
            panel,
            out + first * out_row,
            out_row,
            add,
        )
        first = end


@compiled()
def multiply(x: Array, panels: Array, out: Array) -> None:
    """Overwrite out (G, M, N) with x (M, K) times the weights (G, K, N) in `panels`.

    `panels` is (N / PANEL, G, K, PANEL), as `panels_of` returns it.
    """
    M, K = x.shape
    P, G = panels.shape[:2]
    for first in range(0, M, POSITIONS):
        rows = min(POSITIONS, M - first)
        x_first = x.ctypes.data + first * x.strides[0]
        for p in range(P):
            for g in range(G):
                multiply_rows(
                    rows,
                    x_first,
                    0,
                    x.strides[0],
                    x.strides[1],
                    1,
                    K,
                    panels.ctypes.data + p * panels.strides[0] + g * panels.strides[1],
                    out.ctypes.data + g * out.strides[0] + first * out.strides[1] + p * PANEL_BYTES,
                    out.strides[1],
                    0,
                )


@compiled()
def multiply_summed(x: Array, panels: Array, out: Array) -> None:
    """Overwrite out (M, N) with the sum over the gates of x (G, M, K) times those weights."""
    G, M, K = x.shape
    positions = max(TILE_ROWS, POSITIONS // G)
    for first in range(0, M, positions):
        for p in range(panels.shape[0]):
            multiply_rows(
                min(positions, M - first),
                x.ctypes.data + first * x.strides[1],
                x.strides[0],
                x.strides[1],
                x.strides[2],
                G,
                K,
                panels.ctypes.data + p * panels.strides[0],
                out.ctypes.data + first * out.strides[0] + p * PANEL_BYTES,
                out.strides[0],
                0,
            )


@compiled()
def multiply_transposed(x: Array, dy: Array, out: Array) -> None:
    """Overwrite out (G, K, N) with xᵀ dy for x (M, K) and dy (G, M, N).

    Positions are taken in parts, of which x is copied in the order of the tiles, and dy in panels.
    """
    M, K = x.shape
    G, _, N = dy.shape
    tiles = (K + TILE_ROWS - 1) // TILE_ROWS
    x_tiles = np.empty((tiles, POSITIONS, TILE_ROWS), np.float32)
    panel = np.empty((POSITIONS, PANEL), np.float32)
    for first in range(0, M, POSITIONS):
        positions = min(POSITIONS, M - first)
        for tile in range(tiles):
            k = tile * TILE_ROWS
            width = min(TILE_ROWS, K - k)
            for m in range(positions):
                for j in range(width):
                    x_tiles[tile, m, j] = x[first + m, k + j]
        for g in range(G):
            for column in range(0, N, PANEL):
                for m in range(positions):
                    for j in range(PANEL):
                        panel[m, j] = dy[g, first + m, column + j]
                for tile in range(tiles):
                    k = tile * TILE_ROWS
                    multiply_tile(  # type: ignore[call-arg]  # as above
                        min(TILE_ROWS, K - k),
                        x_tiles.ctypes.data + tile * x_tiles.strides[0],
                        0,
                        FLOAT_BYTES,
                        x_tiles.strides[1],
                        1,
                        positions,
                        panel.ctypes.data,
                        out.ctypes.data
                        + g * out.strides[0]
                        + k * out.strides[1]
                        + column * FLOAT_BYTES,
                        out.strides[1],
                        min(first, 1),
                    )


def panels_of(W: Array) -> Array:
    """Return a view (N / PANEL, G, K, PANEL) of weights (G, K, N), which may be transposed."""
    G, K, N = W.shape
    return W.reshape(G, K, N // PANEL, PANEL, copy=False).transpose(2, 0, 1, 3)
