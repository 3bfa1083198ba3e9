"""Pools: what shares the rows of each batch out, over processes or over MPI ranks."""

from collections.abc import Mapping
from typing import Protocol

from charrnn.data.batch import Batch, BatchConfig, Batcher
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.system.mpi import Ranks
from charrnn.training.rank_pool import RankPool
from charrnn.training.worker_pool import WorkerPool
from charrnn.types import Array


class Pool(Protocol):
    """Computes the gradients of batches: a `WorkerPool` or a `RankPool`."""

    parameters: Parameters
    """The weights; whoever owns the pool updates them."""
    states: Parameters
    """The carried states by name, each (B, H)."""
    gradient: Array
    """The gradient of the batch computed last."""

    @property
    def batcher(self) -> Batcher:
        """The source of the batches."""

    @property
    def batch(self) -> Batch:
        """The batch computed last: the rows of this process."""

    @property
    def size(self) -> int:
        """The number of processes, this one included."""

    @property
    def processes_here(self) -> int:
        """The number of them on this machine."""

    def compute(self, step: int) -> float:
        """Compute batch `step` in all processes; return the sum of its nats."""

    def compute_own(self, step: int) -> float:
        """Compute batch `step` on the rows of this process only, to measure its speed alone."""

    def close(self) -> None:
        """Stop the other processes."""


def open_pool(
    config: ModelConfig,
    batch_config: BatchConfig,
    arrays: Mapping[str, Array],
    initial: Parameters,
    workers: int,
    backend: str,
    ranks: Ranks | None = None,
) -> Pool:
    """Return a pool over `workers` processes, in each of `ranks` if they are given."""
    if ranks is None:
        return WorkerPool(config, batch_config, arrays, initial, workers, backend)
    return RankPool(ranks, config, batch_config, arrays, initial, workers, backend)
