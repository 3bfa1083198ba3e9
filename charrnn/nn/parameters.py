"""Parameters: all weights of a network in one flat vector, with named views into it.

With one vector, an optimiser is two lines of mathematics, clipping is one norm, the sum over worker
processes one addition, and a checkpoint a loop over names.
"""

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from charrnn.types import Array, Shapes


class Parameters(Mapping[str, Array]):
    """Arrays by name, `layers.0.W_hh` and so on, all of them views of `vector`.

    Args:
        shapes: the shape of each array; they lie in `vector` in this order.
        dtype: the type of a new vector; ignored if one is given.
        vector: the numbers (size,), not copied; zeros by default.

    Raises `ValueError` if `vector` has another size.

    Example:
        >>> parameters = Parameters({"W": (2, 3), "b": (3,)})
        >>> parameters["b"] = [1, 2, 3]
        >>> parameters.vector
        array([0., 0., 0., 0., 0., 0., 1., 2., 3.], dtype=float32)
    """

    def __init__(
        self, shapes: Shapes, dtype: DTypeLike = np.float32, vector: Array | None = None
    ) -> None:
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

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        """Overwrite the numbers of one array in place, broadcasting `value` to its shape."""
        self._views[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def like(self, vector: Array | None = None) -> "Parameters":
        """Return arrays of these names and shapes over `vector`, or over zeros of this dtype."""
        return Parameters(self.shapes, self.vector.dtype, vector)

    def astype(self, dtype: DTypeLike) -> "Parameters":
        """Return a copy of all numbers in another dtype."""
        return Parameters(self.shapes, vector=self.vector.astype(dtype))

    def subset(self, prefix: str) -> dict[str, Array]:
        """Return the views whose names begin with `prefix` and a dot, named without these.

        Example:
            >>> list(Parameters({"layers.0.b_h": (4, 2), "b_y": (3,)}).subset("layers.0"))
            ['b_h']
        """
        start = prefix + "."
        return {name[len(start) :]: view for name, view in self.items() if name.startswith(start)}

    def fill_from(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite all numbers with those of `arrays`.

        Raises `KeyError` if a name is missing and `ValueError` if an array has another shape.
        """
        for name, view in self.items():
            if arrays[name].shape != view.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, expected {view.shape}")
            view[...] = arrays[name]
