"""Our side of the benchmarks, as users get it: the trainer, and the generator of ids."""

from itertools import islice

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.inference.sampling import Sampling, generate
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from tests.benchmarks.measuring import Work, rate_of

TRIAL = 0.7


def trainer(
    config: ModelConfig,
    B: int,
    T: int,
    workers: int,
    backend: str,
    optimiser: str = "adagrad",
) -> Trainer:
    """Return a run on random characters, which take as long as any."""
    rng = np.random.default_rng(0)
    ids = rng.integers(config.inputs, size=40 * B * T + 1).astype(np.uint8)
    training = TrainingConfig(
        10**9,
        optimiser=optimiser,
        lr=1e-3,
        seq_length=T,
        batch_size=B,
        workers=workers,
        backend=backend,
    )
    return Trainer(config, training, TextDataset(ids), initialise(config, rng))


def training(
    cell: str, V: int, H: int, layers: int, B: int, T: int, threads: int, backend: str
) -> Work:
    """Return whole steps of a trainer, with as many workers as `charrnn train` would take."""
    threadpool_limits(1, user_api="blas")
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=layers)

    def stepping(workers: int) -> Work:
        run = trainer(config, B, T, workers, backend)

        def work() -> float:
            run.step()
            return float(B * T)

        work()
        return work

    ways = [stepping(workers) for workers in {1, threads}]
    return ways[0] if len(ways) == 1 else max(ways, key=lambda way: rate_of(way, TRIAL))


def sampling(V: int, H: int, count: int) -> Work:
    """Return drawing characters from `count` streams at once."""
    threadpool_limits(1, user_api="blas")
    config = ModelConfig(V, V, cell="lstm", hidden=H)
    parameters = initialise(config, np.random.default_rng(0))
    text = generate(config, parameters, np.array([0]), Sampling(0.8), count)
    steps = 200

    def work() -> float:
        return float(count * sum(1 for _ in islice(text, steps)))

    return work


def operations(cell: str, V: int, H: int, layers: int) -> float:
    """Return floating-point operations of training a character, the one-hot product not counted.

    6 × (recurrent + upper layers' input + readout weights): two for each weight on the way
    forward, four on the way back.
    """
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    return 6.0 * (gates * H * H * (2 * layers - 1) + H * V)
