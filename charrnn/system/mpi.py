"""MPI ranks: the processes that `mpiexec` has started, and the messages between them.

Rank 0 gives commands; the other ranks wait for them. A command begins with two numbers that reach
all ranks; what follows is a fixed sequence of collective operations, the same on every rank.

Waiting for a command or for a slower rank must not occupy a core that others need, so that such
waits test, and sleep between two tests; MPI itself would test without sleeping. A transfer that all
ranks take part in at the same time is different: MPI moves a piece of the data at each test, and
sleep would stretch it a hundredfold.
"""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.errors import UsageError
from charrnn.system.launchers import Launch
from charrnn.system.signals import signals_held
from charrnn.types import Array

if TYPE_CHECKING:
    from mpi4py import MPI

BUSY_SECONDS = 1e-3
"""Seconds in which a wait tests without sleeping."""

MAX_SLEEP_SECONDS = 2e-3
SLEEP_SHARE = 0.05
"""A wait sleeps this share of the time it has taken so far, at most `MAX_SLEEP_SECONDS`."""

SEND_BYTES = 2**26
"""Bytes of one message when a large array is sent."""


class Ranks:
    """All processes of one launch; every rank makes one of these, with `connect`.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of ranks.
        most_here: ranks on the machine that has most of them.
        least_cores: cores of the machine that has least of them.
        processes_here: process ids of the ranks on this machine, by rank.
        busy: whether a command is under way: after an exception, ranks wait for messages that
            will not come, and only `abort` ends them.
    """

    def __init__(self, communicator: "MPI.Intracomm", machine: "MPI.Comm") -> None:
        self._communicator, self._machine = communicator, machine
        self.rank, self.size = communicator.rank, communicator.size
        self.processes_here = dict(machine.allgather((self.rank, os.getpid())))
        self.here = machine.size
        places = communicator.allgather((self.here, os.cpu_count() or 1))
        self.most_here = max(count for count, _ in places)
        self.least_cores = min(cores for _, cores in places)
        self.busy = False
        self._header = np.zeros(2, np.int64)
        self._pieces = np.zeros((self.size, 0))

    @contextmanager
    def command(self, command: int, number: int = 0) -> Iterator[None]:
        """On rank 0: send a command to all ranks; the block is this rank's part in it.

        A signal takes effect after the block: no rank waits for messages that do not come.
        """
        with signals_held():
            self.busy = True
            self._header[:] = command, number
            wait(self._communicator.Ibcast(self._header))
            yield
            self.busy = False

    def next_command(self) -> tuple[int, int]:
        """On the other ranks: wait for a command of rank 0, and return it with its number."""
        wait(self._communicator.Ibcast(self._header))
        command, number = self._header.tolist()
        return command, number

    def meet(self) -> None:
        """Wait until all ranks are here."""
        wait(self._communicator.Ibarrier())

    def share_here(self, value: Any) -> Any:
        """Return the value of the first rank of this machine."""
        return self._machine.bcast(value)

    def broadcast(self, array: Array) -> None:
        """Overwrite `array` with that of rank 0."""
        transfer(self._communicator.Ibcast(array))

    def broadcast_object(self, value: Any) -> Any:
        """Return the value of rank 0 on all ranks."""
        return self._communicator.bcast(value)

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the values of all ranks on rank 0, and nothing on the others."""
        return self._communicator.gather(value) or []

    def scatter(self, whole: Array | None, counts: list[int], own: Array) -> None:
        """Overwrite `own` with a piece of rank 0's `whole`; piece r has `counts[r]` elements."""
        transfer(self._communicator.Iscatterv(None if whole is None else [whole, counts], own))

    def gather(self, own: Array, counts: list[int], whole: Array | None) -> None:
        """Put the pieces `own` of all ranks together in rank 0's `whole`."""
        transfer(self._communicator.Igatherv(own, None if whole is None else [whole, counts]))

    def sum(self, vector: Array) -> None:
        """Add the vectors of all ranks, on rank 0 in place.

        Rank r adds piece r of all vectors, in the order of the ranks, and rank 0 collects the
        pieces. So the sum is the same bit for bit whenever the number of ranks is, and the same
        as adding whole vectors one after the other; and no rank receives more than two vectors.
        """
        edges = np.linspace(0, len(vector), self.size + 1).astype(int)
        counts = np.diff(edges).tolist()
        own = counts[self.rank]
        if self._pieces.shape != (self.size, own) or self._pieces.dtype != vector.dtype:
            self._pieces = np.empty((self.size, own), vector.dtype)
        pieces = self._pieces
        transfer(self._communicator.Ialltoallv([vector, counts], [pieces, [own] * self.size]))
        for piece in pieces[1:]:
            pieces[0] += piece
        self.gather(pieces[0], counts, vector if self.rank == 0 else None)

    def send(self, array: Array, rank: int) -> None:
        """On rank 0: send a large array to one rank, which calls `receive`."""
        for part in _parts(array):
            self._communicator.Send(part, rank)

    def receive(self, array: Array) -> None:
        """Overwrite `array` with what rank 0 sends."""
        for part in _parts(array):
            self._communicator.Recv(part, 0)

    def abort(self, exit_code: int) -> None:
        """End all ranks at once, whatever they are doing."""
        sys.stdout.flush()
        self._communicator.Abort(exit_code)


def _parts(array: Array) -> Iterator[Array]:
    """Yield the bytes of a contiguous array in parts that fit one message."""
    data = array.reshape(-1).view(np.uint8)
    for start in range(0, len(data), SEND_BYTES):
        yield data[start : start + SEND_BYTES]


def wait(request: "MPI.Request") -> None:
    """Wait for an operation, nearly without using the processor if it takes long."""
    began = time.perf_counter()
    while not request.Test():
        waited = time.perf_counter() - began
        if waited > BUSY_SECONDS:
            time.sleep(min(MAX_SLEEP_SECONDS, SLEEP_SHARE * waited))


def transfer(request: "MPI.Request") -> None:
    """Wait for an operation that all ranks have begun or are about to begin, without sleeping."""
    while not request.Test():
        time.sleep(0)  # offers the core to others


_WORLD: list[Ranks] = []


def connect(launch: Launch) -> Ranks:
    """Connect this process with the other ranks of its launch; once in a process.

    Raises `UsageError` if mpi4py or its library is missing, or it is that of another launcher.
    """
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # only the main thread sends messages
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # another launcher's: an error below
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError)
        raise UsageError(
            f"mpiexec has started {launch.size} processes, which need mpi4py "
            + ("to work together" if missing else f"and an MPI library ({error})"),
            "pip install mpi4py mpich",
            "the command without mpiexec",
        ) from error
    world = MPI.COMM_WORLD
    if world.size != launch.size:
        raise UsageError(
            f"mpiexec has started {launch.size} processes, but mpi4py finds {world.size}: it was "
            "built for another MPI",
            "the mpiexec of the same installation",
            "the command without mpiexec",
        )
    _WORLD[:] = [Ranks(world, world.Split_type(MPI.COMM_TYPE_SHARED))]
    return _WORLD[0]


def world() -> Ranks | None:
    """Return the ranks of this launch; None if this process is alone."""
    return _WORLD[0] if _WORLD else None
