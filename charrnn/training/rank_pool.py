"""Data-parallel training over MPI ranks: each computes some rows of every batch.

What `worker_pool` does with processes and shared memory on one machine, this does with messages
between machines; within a rank, a `WorkerPool` shares the rows of the rank. Rank 0 holds weights,
optimiser and carried states, and runs the command; the other ranks `serve` it. In each step rank 0
sends the weights to all and each rank its states; the ranks add their gradients, in the order of
the ranks; and rank 0 collects sum, states and losses.

Rank 0 is the only one that changes weights and states, so that resuming, rollbacks and measurements
need nothing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np

from charrnn.data.batch import Batch, BatchConfig, Batcher
from charrnn.errors import CharRNNError, UsageError, WorkerError
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.system.mpi import Ranks
from charrnn.training.array_places import ArrayPlace, receive, send
from charrnn.training.worker_pool import WorkerPool, check_importable, split
from charrnn.types import Array

END, OPEN, STEP, REPORT, CLOSE = range(5)
"""Commands of rank 0."""

FAILURES = (CharRNNError, MemoryError, OSError)
"""Exceptions of a rank that it reports to rank 0; any other is a mistake of this program."""


@dataclass(frozen=True)
class PoolSettings:
    """What the other ranks need to know to make their worker pools."""

    config: ModelConfig
    cell: type[Cell]
    batch_config: BatchConfig
    workers: int
    backend: str
    dtype: str
    arrays: dict[str, ArrayPlace]


class RankPart:
    """The rows of one rank, and its part in the exchange of a step.

    Args:
        ranks: the ranks that share the batches.
        pool: computes the rows of this rank.
        rows: the rows of each rank.
    """

    def __init__(self, ranks: Ranks, pool: WorkerPool, rows: list[slice]) -> None:
        self.ranks, self.pool = ranks, pool
        dtype, states = pool.parameters.vector.dtype, pool.states.values()
        self._rows = rows
        width = sum(prod(state.shape[1:]) for state in states)
        self._counts = [width * (part.stop - part.start) for part in rows]
        self._own = np.empty(self._counts[ranks.rank], dtype)
        first = ranks.rank == 0
        self._all = np.empty(sum(self._counts), dtype) if first else None
        self._results = np.empty((ranks.size, 2)) if first else None

    def compute(self, step: int) -> tuple[Array | None, Exception | None]:
        """Take part in a step; return, on rank 0, (nats, 1 if it failed) of each rank.

        The second value is what went wrong in this rank, if anything did; it then has taken part
        all the same, so that no rank waits for it.
        """
        ranks, pool = self.ranks, self.pool
        ranks.broadcast(pool.parameters.vector)
        self._scatter_states()
        nats, failure = np.nan, None
        try:
            nats = pool.compute(step)
        except FAILURES as error:
            failure = error
        ranks.meet()
        ranks.sum(pool.gradient)
        self._gather_states()
        result = np.array([nats, failure is not None], np.float64)
        ranks.gather(result, [2] * ranks.size, self._results)
        return self._results, failure

    def _scatter_states(self) -> None:
        """Send each rank the carried states of its rows."""
        if self._all is not None:
            np.concatenate([self._packed(rows) for rows in self._rows], out=self._all)
        self.ranks.scatter(self._all, self._counts, self._own)
        if self.ranks.rank:
            self._unpack(self._own, self._rows[self.ranks.rank])

    def _gather_states(self) -> None:
        """Collect the carried states of all rows on rank 0."""
        self._own[...] = self._packed(self._rows[self.ranks.rank])
        self.ranks.gather(self._own, self._counts, self._all)
        if self._all is not None:
            start = 0
            for rows, count in zip(self._rows, self._counts, strict=True):
                self._unpack(self._all[start : start + count], rows)
                start += count

    def _packed(self, rows: slice) -> Array:
        """Return the states of some rows, one after the other."""
        return np.concatenate([state[rows].reshape(-1) for state in self.pool.states.values()])

    def _unpack(self, packed: Array, rows: slice) -> None:
        """Overwrite the states of some rows."""
        start = 0
        for state in self.pool.states.values():
            part = state[rows]
            part[...] = packed[start : start + part.size].reshape(part.shape)
            start += part.size


class RankPool:
    """All ranks, as rank 0 sees them: used as a `WorkerPool` is, with the same arguments.

    Args:
        ranks: the ranks of this launch; this process must be rank 0, the others `serve` it.
        config: the shape of the network. Its cell must be importable in the other ranks.
        batch_config: how batches of `batch_config.B` rows are cut from `arrays`.
        arrays: the training data by name. Ranks that find the same file map it into memory;
            otherwise it is sent to them once.
        initial: the weights to begin with; copied.
        workers: the number of processes of each rank.
        backend: the name of the compute backend.

    Raises `UsageError` if there are more ranks than rows, or the cell cannot be imported; and
    `WorkerError` if another rank cannot begin.
    """

    def __init__(
        self,
        ranks: Ranks,
        config: ModelConfig,
        batch_config: BatchConfig,
        arrays: Mapping[str, Array],
        initial: Parameters,
        workers: int = 1,
        backend: str = "numpy",
    ) -> None:
        B, self.ranks = batch_config.B, ranks
        if ranks.size > B:
            raise UsageError(
                f"{ranks.size} ranks cannot share {B} row{'s' * (B > 1)} of a batch",
                f"--batch-size {ranks.size}",
                f"mpiexec -n {B}",
            )
        cell = CELLS[config.cell]
        check_importable(cell)
        rows = split(slice(0, B), ranks.size)
        places = {name: ArrayPlace.of(array) for name, array in arrays.items()}
        dtype = initial.vector.dtype.str
        self._pool = WorkerPool(config, batch_config, arrays, initial, workers, backend, rows[0])
        self.parameters, self.states = self._pool.parameters, self._pool.states
        self.gradient = self._pool.gradient
        self._states_before = np.empty_like(self.states.vector)
        self._part = RankPart(ranks, self._pool, rows)
        self._open = True
        settings = PoolSettings(config, cell, batch_config, workers, backend, dtype, places)
        with ranks.command(OPEN):
            ranks.broadcast_object(settings)
            for array in arrays.values():
                send(ranks, array)
            counts = ranks.gather_objects((self._pool.size, None))
        self.size = sum(count for count, _ in counts)
        self._raise_first([text for _, text in counts])

    @property
    def batcher(self) -> Batcher:
        """The source of the batches."""
        return self._pool.batcher

    @property
    def batch(self) -> Batch:
        """The batch computed last: the rows of this process."""
        return self._pool.batch

    @property
    def processes_here(self) -> int:
        """The number of processes on this machine, if all of its ranks have as many workers."""
        return self.ranks.here * self._pool.size

    def compute(self, step: int) -> float:
        """Compute batch `step` in all ranks; return the sum of its nats.

        Overwrites `gradient` and updates `states`. If a rank fails, its error is raised, as
        `WorkerError` unless it is this one, and the carried states are those before the step.
        """
        self._states_before[...] = self.states.vector
        with self.ranks.command(STEP, step):
            results, failure = self._part.compute(step)
        if results is None:
            raise RuntimeError("only rank 0 computes steps")
        if results[:, 1].any():
            self.states.vector[...] = self._states_before
            if failure is not None:
                raise failure
            with self.ranks.command(REPORT):
                texts = self.ranks.gather_objects(None)
            self._raise_first(texts)
        total = 0.0
        for nats in results[:, 0].tolist():
            total += nats
        return total

    def compute_own(self, step: int) -> float:
        """Compute batch `step` on the rows of this process only, to measure its speed alone."""
        return self._pool.compute_own(step)

    def close(self) -> None:
        """Stop the worker processes of all ranks, which then wait for the next pool."""
        if self._open and not self.ranks.busy:
            with self.ranks.command(CLOSE):
                pass
        self._open = False
        self._pool.close()

    def _raise_first(self, texts: list[str | None]) -> None:
        """Raise `WorkerError` with the first text, if there is one."""
        for rank, text in enumerate(texts):
            if text is not None:
                self.close()
                raise WorkerError(
                    f"rank {rank} of {self.ranks.size}: {text}",
                    "a smaller --hidden or --batch-size",
                    "fewer ranks",
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(ranks: Ranks) -> None:
    """Compute what rank 0 asks for, until it ends. For all ranks but 0."""
    part: RankPart | None = None
    failure: Exception | None = None
    while True:
        command, number = ranks.next_command()
        if command in (END, CLOSE):
            if part is not None:
                part.pool.close()
            part = None
            if command == END:
                return
        elif command == OPEN:
            part, failure = _open(ranks)
            count = 0 if part is None else part.pool.size
            ranks.gather_objects((count, _text(failure)))
        elif command == REPORT:
            ranks.gather_objects(_text(failure))
        elif part is not None:
            with np.errstate(all="ignore"):  # rank 0 checks whether the sum is finite
                failure = part.compute(number)[1]


def _open(ranks: Ranks) -> tuple[RankPart | None, Exception | None]:
    """Receive settings and data of rank 0; return this rank's part, or why there is none."""
    settings: PoolSettings = ranks.broadcast_object(None)
    arrays = {name: receive(ranks, place) for name, place in settings.arrays.items()}
    config, batch_config = settings.config, settings.batch_config
    CELLS[config.cell] = settings.cell
    rows = split(slice(0, batch_config.B), ranks.size)
    try:
        pool = WorkerPool(
            config,
            batch_config,
            arrays,
            Parameters(config.shapes(), settings.dtype),
            settings.workers,
            settings.backend,
            rows[ranks.rank],
        )
    except FAILURES as error:
        return None, error
    return RankPart(ranks, pool, rows), None


def _text(failure: Exception | None) -> str | None:
    """Return what one line can say of a failure."""
    if isinstance(failure, MemoryError):
        return "not enough memory"
    if isinstance(failure, OSError):
        return failure.strerror or type(failure).__name__
    return failure.problem if isinstance(failure, CharRNNError) else None
