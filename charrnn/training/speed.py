"""Speed measurement of training and evaluation on the run's own batches, before the first step.

It decides whether several workers are faster than one, and converts a budget of minutes to a number
of steps, on which the learning-rate schedule and exact resume depend.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from charrnn.evaluation.text import SEQ_LENGTH, VALIDATION_BATCH_SIZE
from charrnn.nn.cells import Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.optim.clipping import norm
from charrnn.training.trainer import Trainer
from charrnn.types import StopFlag

MAX_MEASUREMENT_SECONDS = 0.5
"""Maximum seconds of one measurement, after at least two calls, unless told otherwise."""

MAX_CALLS = 25

MIN_SPEEDUP = 1.02
"""Factor by which several workers must be faster than one to be kept."""


@dataclass(frozen=True)
class Speed:
    """Measured seconds per step, per step with one worker, and per character.

    A character is evaluated in a batch, or as one stream, or is read for the baselines.
    """

    step: float
    step_alone: float
    validation_character: float
    stream_character: float
    baseline_character: float = 0.0
    """0 if it was not measured."""

    @property
    def workers_are_faster(self) -> bool:
        """Whether all workers together are faster than a single one."""
        return self.step * MIN_SPEEDUP < self.step_alone


def measure_speed(
    trainer: Trainer,
    stop: StopFlag = lambda: False,
    max_seconds: float = MAX_MEASUREMENT_SECONDS,
) -> Speed:
    """Return the speed of training steps and of evaluation; the trainer's state is restored.

    Batches may differ in length, so that the time of a step is scaled to the mean number of
    positions of a step. First comes what this process does alone, while the workers start.

    Args:
        trainer: whose steps are measured.
        stop: after it becomes true, each value is measured with a single call.
        max_seconds: maximum seconds of one measurement, after at least two calls.
    """
    pool, parts = trainer.pool, trainer.pool.size
    states, weights = trainer.states.vector.copy(), trainer.parameters.vector.copy()
    optimiser = trainer.new_optimiser()
    batcher = pool.batcher
    usual = mean(map(batcher.positions, range(min(MAX_CALLS, batcher.steps_per_epoch))))

    def whole(call: int) -> float:
        pool.compute(call)
        update_once()  # workers copy the weights after each update
        return usual / batcher.positions(call)

    def own(call: int) -> float:
        pool.compute_own(call)
        return usual / batcher.positions(call)

    def update_once() -> None:
        """Update with a learning rate of zero: the weights are written but keep their values."""
        trainer.clip(pool.gradient, norm(pool.gradient))
        optimiser.update(trainer.parameters.vector, pool.gradient, 0.0)

    def update(_: int) -> float:
        update_once()
        return 1.0

    def updates(_: int) -> float:
        """Make as many updates as their cost takes to repeat."""
        for _ in range(optimiser.period):
            update_once()
        return 1 / optimiser.period

    def evaluation(batch_size: int) -> float:
        """Return the seconds of evaluating one character."""
        model, parameters, cells = trainer.model_config, trainer.parameters, trainer.backend.cells
        work = _forward(model, parameters, batch_size, cells)
        return _seconds(work, stop, max_seconds) / (SEQ_LENGTH * batch_size)

    with np.errstate(all="ignore"):
        own_seconds = _seconds(own, stop, max_seconds) if parts > 1 else 0.0
        many, one = evaluation(VALIDATION_BATCH_SIZE), evaluation(1)
        together = _seconds(whole, stop, max_seconds)
        usually, alone = 0.0, together
        if parts > 1 or optimiser.period > 1:
            usually = _seconds(update, stop, max_seconds)
        if parts > 1:
            alone = parts * own_seconds + usually
        if optimiser.period > 1:  # medians do not see the work of every so many updates
            more = max(0.0, _seconds(updates, stop, max_seconds) - usually)
            together, alone = together + more, alone + more
    trainer.states.vector[...], trainer.parameters.vector[...] = states, weights
    return Speed(together, alone, many, one)


def _forward(
    config: ModelConfig,
    parameters: Parameters,
    batch_size: int,
    cells: Mapping[str, type[Cell]],
) -> Callable[[int], float]:
    """Return a function that evaluates one window of a batch."""
    network = Network(config, parameters, SEQ_LENGTH, batch_size, cells=cells)
    inputs = np.resize(np.arange(config.inputs), (SEQ_LENGTH, batch_size))
    targets = np.resize(np.arange(config.outputs), (SEQ_LENGTH, batch_size))

    def walk(_: int) -> float:
        network.forward(inputs)
        network.loss(targets)
        return 1.0

    return walk


def _seconds(
    work: Callable[[int], float],
    stop: StopFlag,
    max_seconds: float = MAX_MEASUREMENT_SECONDS,
) -> float:
    """Return the median time of some calls, the first of which, with cold caches, is left out.

    `work` gets the number of the call and returns what its time is to be multiplied by.
    """
    if not stop():
        work(0)
    times: list[float] = []
    spent = 0.0
    while not times or (
        not stop() and (len(times) < 2 or (spent < max_seconds and len(times) < MAX_CALLS))
    ):
        began = time.perf_counter()
        factor = work(len(times))
        took = time.perf_counter() - began
        times.append(factor * took)
        spent += took
    return median(times)
