"""Arrays that several processes see without a copy each.

A handle travels to a child process in place of the array. What lies in a file already, a
`numpy.memmap`, is opened there by its name; anything else is copied once into shared memory.
"""

import multiprocessing
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from charrnn.types import Array


@dataclass(frozen=True)
class SharedArray:
    """Where an array lies: shared memory, or the name of a file and an offset into it."""

    place: Any
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def open(self) -> Array:
        """Return the array itself: the same numbers in whichever process; files are read only."""
        if isinstance(self.place, str):
            mapped = np.memmap(self.place, self.dtype, "r", self.offset, self.shape)
            return np.asarray(mapped)
        return np.frombuffer(self.place, self.dtype, prod(self.shape)).reshape(self.shape)


def share(array: Array) -> SharedArray:
    """Let other processes see these numbers."""
    dtype = array.dtype.str
    base = mapped_base(array)
    if base is not None and array.flags.c_contiguous:
        start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        return SharedArray(str(base.filename), base.offset + start, dtype, array.shape)
    room = shared_zeros(array.shape, dtype)
    room.open()[...] = array
    return room


def shared_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> SharedArray:
    """Return room for an array that all processes may write to."""
    kind = np.dtype(dtype)
    size = max(1, prod(shape)) * kind.itemsize
    memory = multiprocessing.get_context("spawn").RawArray("b", size)
    return SharedArray(memory, 0, kind.str, shape)


def mapped_base(array: Array) -> "np.memmap[Any, Any] | None":
    """Return the mapped file that `array` is a view of, the whole of it, or None."""
    found: np.memmap[Any, Any] | None = None
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.filename is not None:
            found = base
        base = base.base
    return found
