"""Data-parallel training over worker processes: each computes some rows of every batch.

The rows of a batch are independent until their gradients are added. Each worker process computes
some rows with one BLAS thread, at the full speed of its core, and the processes synchronise once
per batch to add one flat gradient. Several BLAS threads would synchronise at every product of every
time step instead.

Weights, gradients and carried states are in shared memory. Through the pipes go only the number of
a step one way and its loss the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from multiprocessing.connection import Connection
from typing import Self

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import threadpool_limits

from charrnn.data.batch import Batch, BatchConfig, Batcher
from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import DropoutDraws
from charrnn.system.child_processes import DISCONNECTED, ChildProcess, receive
from charrnn.system.shared_arrays import SharedArray, share, shared_zeros
from charrnn.training.backends import load_backend
from charrnn.types import Array


def split(rows: slice, parts: int) -> list[slice]:
    """Return consecutive parts of `rows` of nearly equal size, in order.

    Example:
        >>> split(slice(0, 5), 2)
        [slice(0, 2, None), slice(2, 5, None)]
    """
    edges = np.linspace(rows.start, rows.stop, parts + 1).astype(int)
    return [slice(int(first), int(end)) for first, end in pairwise(edges)]


def check_importable(cell: type[Cell]) -> None:
    """Raise `UsageError` if another process cannot import the class of a cell."""
    if "<locals>" in cell.__qualname__:
        raise UsageError(
            f"worker processes cannot import {cell.__qualname__}, the class of a cell that is "
            "defined in a function",
            "a class at the top level of a module",
            "--workers 1",
        )


class Worker:
    """A network over some rows of every batch.

    Batches may differ in length; buffers are kept for each length that has occurred.

    Args:
        config: the shape of the network.
        batch_config: how batches are cut from `arrays`.
        arrays: the training data by name.
        parameters: the weights; only read.
        gradients: overwritten by `compute` with the gradient of these rows.
        states: the carried states by name, each (B, H), of all rows; `compute` updates its own.
        part: the rows of the batch that this worker computes.
        backend: the name of the compute backend.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_config: BatchConfig,
        arrays: Mapping[str, Array],
        parameters: Parameters,
        gradients: Parameters,
        states: Parameters,
        part: slice,
        backend: str,
    ) -> None:
        self.config, self.batch_config, self.part = config, batch_config, part
        self.batcher = batch_config.batcher(arrays)
        self.parameters, self.gradients, self.states = parameters, gradients, states
        self.cells = load_backend(backend).cells
        self.networks: dict[int, tuple[Network, list[tuple[Array, Array]]]] = {}
        """By their T, each with pairs of its states and the shared arrays they are copied from."""

    def compute(self, step: int) -> float:
        """Overwrite the gradients with those of batch `step`; return the sum of its nats."""
        self.batch = batch = self.batcher.at(step, self.part)
        network, states = self.network(len(batch.inputs))
        for state, shared in states:
            np.copyto(state, shared)
        network.reset_state(batch.reset_mask)
        draws = DropoutDraws(self.batch_config.seed, step, self.part.start)
        lengths = None
        if batch.lengths is not None and batch.first_targets is not None:
            lengths = self.config.read_lengths(batch.lengths, batch.first_targets)
        network.forward(batch.inputs, draws, lengths)
        nats = network.loss(batch.targets)
        if not isinstance(batch.weights, float):
            nats = nats[batch.weights != 0]
        total = float(np.add.reduce(nats, axis=None, dtype=np.float64))
        smoothing = self.batch_config.label_smoothing
        network.backward(batch.targets, batch.weights, smoothing, batch.probabilities)
        network.carry_state()
        for state, shared in states:
            np.copyto(shared, state)
        return total

    def network(self, T: int) -> tuple[Network, list[tuple[Array, Array]]]:
        """Return the network for batches of T steps, and pairs of its states and shared arrays."""
        if T not in self.networks:
            B = self.part.stop - self.part.start
            made = Network(self.config, self.parameters, T, B, self.gradients, self.cells)
            states = [
                (state, self.states[name][self.part]) for name, state in made.states().items()
            ]
            self.networks[T] = made, states
        return self.networks[T]


class WorkerPool:
    """This process and its worker processes; a context manager that stops them at the end.

    `compute` returns the sum of nats of one batch and leaves the gradient in `gradient`.

    Args:
        config: the shape of the network. Its cell must be importable in a new process: a class
            at the top level of a module, or of the script that is run.
        batch_config: how batches of `batch_config.B` rows are cut from `arrays`.
        arrays: the training data by name. Workers read them where they are: files that are mapped
            into memory are opened again, other arrays are copied once into shared memory.
        initial: the weights to begin with; copied.
        workers: the number of processes, this one included; at most one per row is used.
        backend: the name of the compute backend.
        rows: the rows of the batch that this pool computes; default: all.

    Raises `UsageError` for several workers if the class of the cell is defined in a function.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_config: BatchConfig,
        arrays: Mapping[str, Array],
        initial: Parameters,
        workers: int = 1,
        backend: str = "numpy",
        rows: slice | None = None,
    ) -> None:
        rows = slice(0, batch_config.B) if rows is None else rows
        workers = max(1, min(workers, rows.stop - rows.start))
        shapes = config.state_shapes(batch_config.B)
        weights, count = len(initial.vector), sum(prod(shape) for shape in shapes.values())
        handles, (vector, states, *gradients) = allocate(
            [weights, count, *[weights] * workers], initial.vector.dtype, shared=workers > 1
        )
        self.parameters = initial.like(vector)
        vector[...] = initial.vector
        self.states = Parameters(shapes, vector=states)
        self._gradients = gradients
        self.gradient = gradients[0]
        self._states_before = np.empty_like(states) if workers > 1 else None
        own, *others = split(rows, workers)
        self._own = Worker(
            config,
            batch_config,
            arrays,
            self.parameters,
            initial.like(self.gradient),
            self.states,
            own,
            backend,
        )
        self._workers: list[ChildProcess] = []
        if workers == 1:
            return
        data = {name: share(array) for name, array in arrays.items()}
        cell = CELLS[config.cell]
        check_importable(cell)
        for part, gradient in zip(others, handles[3:], strict=True):
            shared = Shared(data, handles[0], gradient, handles[1])
            self._workers.append(
                ChildProcess(_work, config, cell, batch_config, shared, part, backend)
            )

    @property
    def batcher(self) -> Batcher:
        """The source of the batches."""
        return self._own.batcher

    @property
    def batch(self) -> Batch:
        """The batch computed last: the rows of this process."""
        return self._own.batch

    def compute(self, step: int) -> float:
        """Compute batch `step` in all processes; return the sum of its nats.

        Overwrites `gradient` and updates `states`. Raises `WorkerError` if a worker process has
        ended; the carried states are then restored to those before the step, so that a checkpoint
        written now continues the run exactly.
        """
        if self._states_before is None:
            return self._own.compute(step)
        self._states_before[...] = self.states.vector
        worker = self._workers[0]
        try:
            for worker in self._workers:
                worker.connection.send(step)
            nats = self._own.compute(step)
            for worker, gradient in zip(self._workers, self._gradients[1:], strict=True):
                nats += receive(worker.connection)
                self.gradient += gradient
        except DISCONNECTED as error:
            failure = worker.failure("a smaller --hidden or --batch-size", "--workers 1")
            self.close()  # no other worker may write to the states once they are restored
            self.states.vector[...] = self._states_before
            raise failure from error
        return nats

    def compute_own(self, step: int) -> float:
        """Compute batch `step` on the rows of this process only, to measure its speed alone."""
        return self._own.compute(step)

    @property
    def size(self) -> int:
        """The number of processes, this one included."""
        return 1 + len(self._workers)

    @property
    def processes_here(self) -> int:
        """The number of them on this machine: all."""
        return self.size

    def close(self) -> None:
        """Stop the worker processes."""
        for worker in self._workers:
            worker.connection.close()  # all at once, before waiting for the first
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def allocate(
    sizes: Sequence[int], dtype: DTypeLike, *, shared: bool
) -> tuple[list[SharedArray], list[Array]]:
    """Return zeros of these sizes: their handles if they are in shared memory, and the arrays."""
    if not shared:
        return [], [np.zeros(size, dtype) for size in sizes]
    handles = [shared_zeros((size,), dtype) for size in sizes]
    return handles, [handle.open() for handle in handles]


@dataclass(frozen=True)
class Shared:
    """The shared arrays, as a worker process receives them."""

    data: dict[str, SharedArray]
    parameters: SharedArray
    gradients: SharedArray
    states: SharedArray


def _work(
    connection: Connection,
    config: ModelConfig,
    cell: type[Cell],
    batch_config: BatchConfig,
    shared: Shared,
    part: slice,
    backend: str,
) -> None:
    """Answer step numbers with losses until the other end of the pipe is closed.

    A spawned process knows the cells of this package only, so the class of the cell is sent too.
    """
    threadpool_limits(1, user_api="blas")
    CELLS[config.cell] = cell
    shapes, states = config.shapes(), config.state_shapes(batch_config.B)
    worker = Worker(
        config,
        batch_config,
        {name: array.open() for name, array in shared.data.items()},
        Parameters(shapes, vector=shared.parameters.open()),
        Parameters(shapes, vector=shared.gradients.open()),
        Parameters(states, vector=shared.states.open()),
        part,
        backend,
    )
    with np.errstate(all="ignore"):  # the parent checks whether the sum is finite
        while True:
            connection.send(worker.compute(receive(connection)))
