"""All weights of a network as one flat vector with named views into it.

One vector makes an optimiser two lines of mathematics, clipping one norm, the sum over worker
processes one addition, and a checkpoint a loop over names.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from charrnn.types import Array

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


class Parameters(Mapping[str, Array]):
    """Arrays by name, `layers.0.W_hh` and so on, all of them views of `vector`."""

    def __init__(
        self, shapes: Shapes, dtype: DTypeLike = np.float32, vector: Array | None = None
    ) -> None:
        """Lay the arrays of `shapes` one behind the other in `vector`, or in new zeros."""
        size = sum(prod(shape) for shape in shapes.values())
        self.shapes = dict(shapes)
        self.vector = np.zeros(size, dtype) if vector is None else vector
        if self.vector.shape != (size,):
            raise ValueError(f"{size} numbers needed, the vector has shape {self.vector.shape}")
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + prod(shape)
            self._views[name] = self.vector[start:stop].reshape(shape, copy=False)
            start = stop

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Array | float) -> None:
        """Overwrite the numbers of one array in place; its shape stays."""
        self._views[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def like(self, vector: Array | None = None) -> "Parameters":
        """Return the same names and shapes over another vector, or over zeros of this dtype."""
        return Parameters(self.shapes, self.vector.dtype, vector)

    def astype(self, dtype: DTypeLike) -> "Parameters":
        """Return a copy of all numbers in another dtype."""
        return Parameters(self.shapes, vector=self.vector.astype(dtype))

    def subset(self, prefix: str) -> dict[str, Array]:
        """Return the arrays whose names begin with `prefix` and a dot, without that beginning."""
        start = prefix + "."
        return {name[len(start) :]: view for name, view in self.items() if name.startswith(start)}

    def fill_from(self, arrays: Mapping[str, Array]) -> None:
        """Copy every array of that name and shape into place; `KeyError` or `ValueError` if not."""
        for name, view in self.items():
            if arrays[name].shape != view.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, expected {view.shape}")
            view[...] = arrays[name]
