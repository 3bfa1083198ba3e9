"""Arrays for MPI ranks: each maps the file that holds them, or is sent them once."""

import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from charrnn.system.mpi import Ranks
from charrnn.system.shared_arrays import SharedArray, in_file
from charrnn.types import Array


@dataclass(frozen=True)
class ArrayPlace:
    """Type and shape of an array, and the file that it lies in, if any."""

    dtype: str
    shape: tuple[int, ...]
    file: SharedArray | None = None
    checksum: int = 0

    @classmethod
    def of(cls, array: Array) -> Self:
        """Return the place of an array; of one in a file, all of it is read."""
        file = in_file(array)
        return cls(array.dtype.str, array.shape, file, 0 if file is None else checksum(array))

    def open(self) -> Array | None:
        """Return the array in its file; None if no such file is here, or one with other numbers."""
        if self.file is None:
            return None
        size = prod(self.shape) * np.dtype(self.dtype).itemsize
        try:
            if Path(self.file.place).stat().st_size < self.file.offset + size:
                return None
            array = self.file.open()
        except OSError:
            return None
        return array if checksum(array) == self.checksum else None


def checksum(array: Array) -> int:
    """Return the CRC-32 of the bytes of a contiguous array."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def send(ranks: Ranks, array: Array) -> None:
    """On rank 0: send an array to the ranks that do not find its file; the others `receive`."""
    for rank, missing in enumerate(ranks.gather_objects(False)):
        if missing:
            ranks.send(array, rank)


def receive(ranks: Ranks, place: ArrayPlace) -> Array:
    """Return an array of rank 0: from its file, if that is here too, else as it is sent."""
    array = place.open()
    ranks.gather_objects(array is None)
    if array is None:
        array = np.empty(place.shape, place.dtype)
        ranks.receive(array)
    return array
