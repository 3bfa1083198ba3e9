"""The lanes of one training step, shared out over processes.

Lanes do not depend on each other until their gradients are added. So each worker process walks
some of the lanes with one BLAS thread, at the full speed of its core, and they meet once a window
to add one flat gradient; two BLAS threads would have to meet at every product of every time step.

Weights, gradients and carried states lie in shared memory; what travels through the pipes is a
step number one way and a loss the other.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.arrays import Ids
from charrnn.cells import CELLS
from charrnn.errors import CharRNNError
from charrnn.network import ModelConfig, Network
from charrnn.parameters import Parameters, Shapes
from charrnn.randomness import Purpose, generator
from charrnn.windows import Windows


@dataclass(frozen=True)
class Lanes:
    """How a training step reads its windows, and how it weighs their losses."""

    T: int
    B: int
    seed: int
    reset_rate: float
    loss_weight: float

    def windows(self, ids: Ids) -> Windows:
        """Return the windows of this text."""
        return Windows(ids, self.T, self.B, self.seed, self.reset_rate)


def state_shapes(config: ModelConfig, B: int) -> Shapes:
    """Return the name and shape of every state that is carried from window to window."""
    return {
        f"layers.{layer}.{state}": (B, config.hidden)
        for layer in range(config.layers)
        for state in CELLS[config.cell].states
    }


class Replica:
    """A network over some of the lanes: walks their windows, leaves the gradient of their share."""

    def __init__(
        self,
        config: ModelConfig,
        lanes: Lanes,
        ids: Ids,
        parameters: Parameters,
        gradients: Parameters,
        states: Parameters,
        part: slice,
    ) -> None:
        self.lanes, self.part = lanes, part
        self.windows = lanes.windows(ids)
        self.states = states
        self.network = Network(config, parameters, lanes.T, part.stop - part.start, gradients)

    def compute(self, step: int) -> float:
        """Overwrite the gradients with those of window `step`; return the sum of its nats."""
        network = self.network
        window = self.windows.at(step, self.part)
        for name, state in network.states():
            state[...] = self.states[name][self.part]
        network.reset(window.fresh)
        rng = None
        if network.config.dropout:
            rng = generator(self.lanes.seed, Purpose.DROPOUT, step, self.part.start)
        network.forward(window.inputs, rng)
        nats = float(np.sum(network.loss(window.targets), dtype=np.float64))
        network.backward(window.targets, self.lanes.loss_weight)
        network.carry()
        for name, state in network.states():
            self.states[name][self.part] = state
        return nats


class Team:
    """One or more replicas that share `parameters` and `states`; a context manager.

    `compute` returns the sum of nats of one window and leaves the gradient in `gradient`.
    """

    def __init__(
        self, config: ModelConfig, lanes: Lanes, ids: Ids, initial: Parameters, workers: int = 1
    ) -> None:
        workers = max(1, min(workers, lanes.B))
        share = multiprocessing.get_context("spawn") if workers > 1 else None
        dtype = initial.vector.dtype
        # Children know the arrays by the buffers behind them, so that nothing large is copied.
        buffers = [_buffer(share, len(initial.vector), dtype) for _ in range(workers + 1)]
        shapes = state_shapes(config, lanes.B)
        state_buffer = _buffer(share, len(Parameters(shapes).vector), dtype)
        self.parameters = initial.like(np.frombuffer(buffers[0], dtype))
        self.parameters.vector[...] = initial.vector
        self.states = Parameters(shapes, vector=np.frombuffer(state_buffer, dtype))
        self._gradients = [np.frombuffer(buffer, dtype) for buffer in buffers[1:]]
        self.gradient = self._gradients[0]
        self._workers: list[tuple[Any, Connection]] = []

        edges = np.linspace(0, lanes.B, workers + 1).astype(int)
        parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        self._replica = Replica(
            config,
            lanes,
            ids,
            self.parameters,
            initial.like(self.gradient),
            self.states,
            parts[0],
        )
        if share is None:
            return
        ids_buffer = _buffer(share, len(ids), ids.dtype)
        np.frombuffer(ids_buffer, ids.dtype)[...] = ids
        for part, gradient in zip(parts[1:], buffers[2:], strict=True):
            ours, theirs = share.Pipe()
            types = ids.dtype.str, dtype.str
            shared = Shared(ids_buffer, *types, buffers[0], gradient, state_buffer)
            process = share.Process(
                target=_work, args=(theirs, config, lanes, shared, part), daemon=True
            )
            with signals_blocked():
                process.start()
            theirs.close()
            self._workers.append((process, ours))

    def compute(self, step: int) -> float:
        """Walk window `step` on all lanes; return the sum of its nats.

        Raises `CharRNNError` if a worker process is gone.
        """
        try:
            for _, connection in self._workers:
                connection.send(step)
            nats = self._replica.compute(step)
            for (_, connection), gradient in zip(self._workers, self._gradients[1:], strict=True):
                nats += connection.recv()
                self.gradient += gradient
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise CharRNNError(
                "a worker process ended, perhaps for want of memory; try --threads 1"
            ) from error
        return nats

    def compute_own(self, step: int) -> float:
        """Walk window `step` on this process's own lanes only: a measure of its speed alone."""
        return self._replica.compute(step)

    @property
    def size(self) -> int:
        """The number of processes that share the lanes, this one included."""
        return 1 + len(self._workers)

    def close(self) -> None:
        """Send the workers home."""
        for _, connection in self._workers:
            connection.close()
        for process, _ in self._workers:
            process.join()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Shared:
    """The shared buffers as a worker process receives them."""

    ids: Any
    ids_type: str
    dtype: str
    parameters: Any
    gradients: Any
    states: Any


def _work(
    connection: Connection, config: ModelConfig, lanes: Lanes, shared: Shared, part: slice
) -> None:
    """Answer step numbers with losses until the other end of the pipe is closed."""
    threadpool_limits(1, user_api="blas")
    shapes, states = config.shapes(), state_shapes(config, lanes.B)
    replica = Replica(
        config,
        lanes,
        np.frombuffer(shared.ids, shared.ids_type),
        Parameters(shapes, vector=np.frombuffer(shared.parameters, shared.dtype)),
        Parameters(shapes, vector=np.frombuffer(shared.gradients, shared.dtype)),
        Parameters(states, vector=np.frombuffer(shared.states, shared.dtype)),
        part,
    )
    try:
        with np.errstate(all="ignore"):  # the parent looks whether the sum is finite
            while True:
                connection.send(replica.compute(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _buffer(share: Any, count: int, dtype: np.dtype[Any]) -> Any:
    """Return zeroed memory for `count` numbers, shared between processes if asked for."""
    size = max(1, count) * dtype.itemsize
    return bytearray(size) if share is None else share.RawArray("b", size)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Let children be born deaf to Ctrl-C and SIGTERM: their parent tells them when to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
