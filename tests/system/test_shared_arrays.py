"""Shared arrays: the same numbers in another process, from shared memory or from a file."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.system.shared_arrays import SharedArray, share, shared_zeros
from charrnn.types import Array


def answer(connection: Connection, shared: SharedArray, writing: bool) -> None:
    """Send back the sum; leave a mark where that is allowed."""
    array = shared.open()
    connection.send(int(array.sum()))
    if writing:
        array[...] = 7


def elsewhere(shared: SharedArray, *, writing: bool = False) -> int:
    """Return the sum as another process sees it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs, shared, writing))
    process.start()
    found = int(ours.recv())
    process.join()
    return found


def mapped(path: Path, numbers: Array) -> "np.memmap[Any, Any]":
    path.write_bytes(b"head" + numbers.tobytes())
    return np.memmap(path, np.uint16, "r", offset=4, shape=numbers.shape)


def test_another_process_sees_the_numbers_and_can_write() -> None:
    room = shared_zeros((2, 3), np.float32)
    room.open()[...] = 2
    assert elsewhere(room, writing=True) == 12
    np.testing.assert_array_equal(room.open(), np.full((2, 3), 7, np.float32))


def test_an_array_in_memory_is_copied_once() -> None:
    array = np.arange(10, dtype=np.uint8)
    shared = share(array)
    assert not isinstance(shared.place, str)
    array[0] = 100
    assert elsewhere(shared) == 45


def test_a_mapped_file_travels_by_name(tmp_path: Path) -> None:
    array = mapped(tmp_path / "ids.bin", np.arange(1000, dtype=np.uint16))
    shared = share(array)
    assert shared.place == str(tmp_path / "ids.bin")
    assert elsewhere(shared) == 499_500


@pytest.mark.parametrize("start", [0, 1, 300])
def test_so_does_a_part_of_it(tmp_path: Path, start: int) -> None:
    numbers = np.arange(1000, dtype=np.uint16)
    part = np.asarray(mapped(tmp_path / "ids.bin", numbers))[start:900]
    shared = share(part)
    assert isinstance(shared.place, str)
    np.testing.assert_array_equal(shared.open(), numbers[start:900])
    assert not shared.open().flags.writeable


def test_a_part_with_gaps_is_copied(tmp_path: Path) -> None:
    part = mapped(tmp_path / "ids.bin", np.arange(100, dtype=np.uint16))[::2]
    shared = share(part)
    assert not isinstance(shared.place, str)
    np.testing.assert_array_equal(shared.open(), part)


@pytest.mark.parametrize("shape", [(0,), (), (2, 0, 3)])
def test_empty_and_single_numbers_are_no_exception(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.uint8)
    np.testing.assert_array_equal(share(array).open(), array)
