"""Shared arrays: one copy of an array for several processes.

A handle is sent to a child process instead of the array. A `numpy.memmap` is opened again there by
the name of its file; any other array is copied once into shared memory.
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
    """A handle of an array that a child process can be given when it is started."""

    place: Any
    """Shared memory, or the name of a file."""
    offset: int
    """Bytes before the array in the file."""
    dtype: str
    shape: tuple[int, ...]

    def open(self) -> Array:
        """Return the array: a view of the shared memory, or of the file, which is read-only."""
        if isinstance(self.place, str):
            mapped = np.memmap(self.place, self.dtype, "r", self.offset, self.shape)
            return np.asarray(mapped)
        return np.frombuffer(self.place, self.dtype, prod(self.shape)).reshape(self.shape)


def share(array: Array) -> SharedArray:
    """Return a handle of the numbers in `array`, which are copied unless a file has them.

    Example:
        >>> share(np.arange(3)).open()
        array([0, 1, 2])
    """
    handle = in_file(array)
    if handle is None:
        handle = shared_zeros(array.shape, array.dtype.str)
        handle.open()[...] = array
    return handle


def in_file(array: Array) -> SharedArray | None:
    """Return a handle of an array that lies in a file as it is; None of any other array."""
    base = mapped_base(array)
    if base is None or not array.flags.c_contiguous:
        return None
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return SharedArray(str(base.filename), base.offset + start, array.dtype.str, array.shape)


def shared_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> SharedArray:
    """Return a handle of a new array of zeros that all processes may write to."""
    kind = np.dtype(dtype)
    size = max(1, prod(shape)) * kind.itemsize
    memory = multiprocessing.get_context("spawn").RawArray("b", size)
    return SharedArray(memory, 0, kind.str, shape)


def mapped_base(array: Array) -> "np.memmap[Any, Any] | None":
    """Return the `numpy.memmap` of the whole file that `array` is a view of, or None."""
    found: np.memmap[Any, Any] | None = None
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.filename is not None:
            found = base
        base = base.base
    return found
