"""How fast is this machine, now? Measured on the run's own windows before it begins.

A busy machine must never make training slower than one worker would be, and a promise of minutes
must become a number of steps before the first one: the schedule and an exact resume depend on it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from charrnn.arrays import Ids
from charrnn.evaluation import VALIDATION_LANES, WINDOW
from charrnn.network import ModelConfig, Network
from charrnn.optimisers import OPTIMISERS
from charrnn.parameters import Parameters
from charrnn.training import Trainer

Stop = Callable[[], bool]

PATIENCE = 0.5
"""Seconds that one measurement may take, once it has two values."""

MOST_CALLS = 25

WORTHWHILE = 1.02
"""By what factor more workers must be faster than one to be kept."""


@dataclass(frozen=True)
class Speed:
    """Seconds on this machine at this moment."""

    step: float
    step_alone: float
    validation_character: float
    stream_character: float

    @property
    def sharing_pays(self) -> bool:
        """Whether the workers together are faster than one of them alone."""
        return self.step * WORTHWHILE < self.step_alone


def measure(trainer: Trainer, ids: Ids, stop: Stop = lambda: False) -> Speed:
    """Time training and evaluation on the windows of `ids`, leaving the trainer as it was.

    Once `stop` says so, each figure is that of a single call.
    """
    team, parts = trainer.team, trainer.team.size
    states = trainer.states.vector.copy()
    optimiser = OPTIMISERS[trainer.config.optimiser](trainer.parameters.vector)
    weights = trainer.parameters.vector.copy()
    with np.errstate(all="ignore"):
        together = _seconds(lambda: team.compute(0), stop)
        alone = together if parts == 1 else parts * _seconds(lambda: team.compute_own(0), stop)
        update = _seconds(lambda: optimiser.update(weights, team.gradient, 0.0), stop)
    trainer.states.vector[...] = states
    model, parameters = trainer.model_config, trainer.parameters
    many = _forward_seconds(model, parameters, ids, VALIDATION_LANES, stop)
    one = _forward_seconds(model, parameters, ids, 1, stop)
    return Speed(together + update, alone + update, many, one)


def _forward_seconds(
    config: ModelConfig, parameters: Parameters, ids: Ids, lanes: int, stop: Stop
) -> float:
    """Return the seconds that evaluating one character takes."""
    network = Network(config, parameters, WINDOW, lanes)
    window = np.resize(ids[: WINDOW * lanes], (WINDOW, lanes))

    def walk() -> None:
        network.forward(window)
        network.loss(window)

    return _seconds(walk, stop) / (WINDOW * lanes)


def _seconds(work: Callable[[], object], stop: Stop) -> float:
    """Return the median time of some calls, the first of which, with cold caches, is left out."""
    if not stop():
        work()
    times: list[float] = []
    while not times or (
        not stop() and (len(times) < 2 or (sum(times) < PATIENCE and len(times) < MOST_CALLS))
    ):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)
