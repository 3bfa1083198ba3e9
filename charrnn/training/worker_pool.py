"""The lanes of one training step, shared out over processes.

Lanes do not depend on each other until their gradients are added. So each worker process walks
some of the lanes with one BLAS thread, at the full speed of its core, and they meet once a window
to add one flat gradient; two BLAS threads would have to meet at every product of every time step.

Weights, gradients and carried states lie in shared memory; what travels through the pipes is a
step number one way and a loss the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from multiprocessing.connection import Connection
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.data.batch import Batch, BatchConfig, Batcher
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.system.child_processes import GONE, ChildProcess, receive
from charrnn.system.shared_arrays import SharedArray, share, shared_zeros
from charrnn.training.backends import load_backend
from charrnn.types import Array


class Worker:
    """A network over some of the lanes: walks their windows, leaves the gradient of their share.

    Windows may differ in length; there is one set of buffers for each that has come.
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
        kernel: str,
    ) -> None:
        self.config, self.batch_config, self.part = config, batch_config, part
        self.batcher = batch_config.batcher(arrays)
        self.parameters, self.gradients, self.states = parameters, gradients, states
        self.cells = load_backend(kernel).cells
        self.networks: dict[int, tuple[Network, list[tuple[Array, Array]]]] = {}
        """By their T, each with pairs of its first slots and the shared states they come from."""

    def compute(self, step: int) -> float:
        """Overwrite the gradients with those of window `step`; return the sum of its nats."""
        self.window = window = self.batcher.at(step, self.part)
        network, states = self.network(len(window.inputs))
        for state, shared in states:
            np.copyto(state, shared)
        network.reset_state(window.reset_mask)
        rng = None
        if self.config.dropout or self.config.recurrent_dropout:
            rng = generator(self.batch_config.seed, Purpose.DROPOUT, step, self.part.start)
        network.forward(window.inputs, rng)
        nats = network.loss(window.targets)
        if not isinstance(window.weights, float):
            nats = nats[window.weights != 0]
        total = float(np.add.reduce(nats, axis=None, dtype=np.float64))
        network.backward(window.targets, window.weights)
        network.carry_state()
        for state, shared in states:
            np.copyto(shared, state)
        return total

    def network(self, T: int) -> tuple[Network, list[tuple[Array, Array]]]:
        """Return the network for windows of T steps, with its states and where they lie shared."""
        if T not in self.networks:
            B = self.part.stop - self.part.start
            made = Network(self.config, self.parameters, T, B, self.gradients, self.cells)
            states = [
                (state, self.states[name][self.part]) for name, state in made.states().items()
            ]
            self.networks[T] = made, states
        return self.networks[T]


class WorkerPool:
    """One or more replicas that share `parameters` and `states`; a context manager.

    `compute` returns the sum of nats of one window and leaves the gradient in `gradient`.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_config: BatchConfig,
        arrays: Mapping[str, Array],
        initial: Parameters,
        workers: int = 1,
        kernel: str = "numpy",
    ) -> None:
        workers = max(1, min(workers, batch_config.B))
        dtype = initial.vector.dtype
        shapes = config.state_shapes(batch_config.B)
        count = sum(prod(shape) for shape in shapes.values())
        # Children know the arrays by where they lie, so that nothing large is copied.
        shared_buffers: list[SharedArray] = []

        def allocate(size: int) -> Array:
            if workers == 1:
                return np.zeros(size, dtype)
            shared_buffers.append(shared_zeros((size,), dtype))
            return shared_buffers[-1].open()

        self.parameters = initial.like(allocate(len(initial.vector)))
        self.parameters.vector[...] = initial.vector
        self.states = Parameters(shapes, vector=allocate(count))
        self._gradients = [allocate(len(initial.vector)) for _ in range(workers)]
        self.gradient = self._gradients[0]
        self._workers: list[ChildProcess] = []
        self._states_before = np.empty_like(self.states.vector) if workers > 1 else None

        edges = np.linspace(0, batch_config.B, workers + 1).astype(int)
        parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        self._own = Worker(
            config,
            batch_config,
            arrays,
            self.parameters,
            initial.like(self.gradient),
            self.states,
            parts[0],
            kernel,
        )
        if workers == 1:
            return
        material = {name: share(array) for name, array in arrays.items()}
        parameters, states, _, *gradients = shared_buffers
        for part, gradient in zip(parts[1:], gradients, strict=True):
            shared = Shared(material, parameters, gradient, states)
            self._workers.append(ChildProcess(_work, config, batch_config, shared, part, kernel))

    @property
    def batcher(self) -> Batcher:
        """Where the windows come from."""
        return self._own.batcher

    @property
    def window(self) -> Batch:
        """The window computed last, this process's own lanes of it."""
        return self._own.window

    def compute(self, step: int) -> float:
        """Walk window `step` on all lanes; return the sum of its nats.

        Raises `WorkerError` if a worker process has ended; the carried states are then those from
        before the step, so that a checkpoint of this moment continues the run exactly.
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
        except GONE as error:
            failure = worker.failure()
            self.close()  # no other worker may write to the states once they are restored
            self.states.vector[...] = self._states_before
            raise failure from error
        return nats

    def compute_own(self, step: int) -> float:
        """Walk window `step` on this process's own lanes only: a measure of its speed alone."""
        return self._own.compute(step)

    @property
    def size(self) -> int:
        """The number of processes that share the lanes, this one included."""
        return 1 + len(self._workers)

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers:
            worker.connection.close()  # all at once, before waiting for the first
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Shared:
    """What lies in common, as a worker process receives it."""

    material: dict[str, SharedArray]
    parameters: SharedArray
    gradients: SharedArray
    states: SharedArray


def _work(
    connection: Connection,
    config: ModelConfig,
    batch_config: BatchConfig,
    shared: Shared,
    part: slice,
    kernel: str,
) -> None:
    """Answer step numbers with losses until the other end of the pipe is closed."""
    threadpool_limits(1, user_api="blas")
    shapes, states = config.shapes(), config.state_shapes(batch_config.B)
    worker = Worker(
        config,
        batch_config,
        {name: array.open() for name, array in shared.material.items()},
        Parameters(shapes, vector=shared.parameters.open()),
        Parameters(shapes, vector=shared.gradients.open()),
        Parameters(states, vector=shared.states.open()),
        part,
        kernel,
    )
    with np.errstate(all="ignore"):  # the parent checks whether the sum is finite
        while True:
            connection.send(worker.compute(receive(connection)))
