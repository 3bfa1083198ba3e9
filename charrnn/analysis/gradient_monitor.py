"""Gradient monitor: norms, update sizes and the gradient profile while a network trains.

Norms and update sizes of each parameter are measured every `NORMS_EVERY` steps, the gradient
profile less often: its interval is chosen from its cost, and logged. The monitor uses no random
numbers of the run and writes only to its own arrays, so that a run gives the same numbers, bit for
bit, with and without it.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from charrnn.analysis.dataset_profile import MAX_PROFILED_CHARACTERS, data_profile
from charrnn.nn.parameters import Parameters
from charrnn.optim.clipping import norm
from charrnn.training.events import GradientSnapshot
from charrnn.training.trainer import Trainer
from charrnn.types import Array

NORMS_EVERY = 10
PROFILE_LAGS = 100
PROFILE_WINDOWS = 16

MAX_TIME_SHARE = 0.01
"""Share of the training time that gradient profiles may take; the documentation promises 2 %."""

RECENT_STEPS = 100
"""Steps over which clipping and spikes are counted."""

SPIKE_RATIO = 5.0
"""A spike is a norm more than this many times the median of the recent norms."""


class GradientMonitor:
    """Measures the gradient of a trainer. To be passed to `Trainer.watch`."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        began = time.perf_counter()
        self._by_lag: dict[str, Any] | None = self._profile()
        self._profile_seconds = time.perf_counter() - began
        self.profile_every = 0  # unknown until some steps have been timed
        self._began = time.perf_counter()
        self._first = trainer.progress.step
        self._weights = trainer.parameters.like()
        self._norms: dict[str, float] = {}

    def before_update(self, gradient: Array) -> None:
        """Store the norms before clipping, and the weights, every `NORMS_EVERY` steps."""
        if self._due(NORMS_EVERY):
            parameters = self.trainer.parameters
            self._norms = parameter_norms(parameters.like(gradient))
            self._weights.vector[...] = parameters.vector

    def after_update(self) -> GradientSnapshot | None:
        """Return the measurements of this step; None if it is not one to be measured."""
        if not self._due(NORMS_EVERY):
            return None
        trainer = self.trainer
        weights = parameter_norms(self._weights)
        self._weights.vector -= trainer.parameters.vector
        moves = parameter_norms(self._weights)
        ratios = {name: moves[name] / weights[name] for name in moves if weights[name] > 0}
        self.profile_every = self.profile_every or self._affordable_interval()
        if self._due(self.profile_every):
            self._by_lag = self._profile()
        by_lag, self._by_lag = self._by_lag, None
        step = trainer.progress.step + 1
        return GradientSnapshot(step, self._norms, ratios, by_lag, self.profile_every)

    def _due(self, every: int) -> bool:
        return (self.trainer.progress.step + 1) % every == 0

    def _affordable_interval(self) -> int:
        """Return the steps between two profiles, a multiple of `NORMS_EVERY`."""
        steps = self.trainer.progress.step + 1 - self._first
        seconds = (time.perf_counter() - self._began) / steps
        return NORMS_EVERY * math.ceil(
            self._profile_seconds / (MAX_TIME_SHARE * seconds * NORMS_EVERY)
        )

    def _profile(self) -> dict[str, Any]:
        """Return the gradient profile of each layer, as JSON values."""
        trainer = self.trainer
        found = data_profile(
            trainer.dataset.beginning(MAX_PROFILED_CHARACTERS),
            trainer.model_config,
            trainer.parameters,
            lags=PROFILE_LAGS,
            windows=PROFILE_WINDOWS,
        )
        return {
            f"layers.{line.layer}.{line.state}": {
                "ratio": [None if r is None else float(f"{r:.4g}") for r in line.ratio],
                "horizon_chars": line.horizon_chars,
                "rate_per_char": line.rate_per_char,
            }
            for line in found.main_states
        }


def parameter_norms(parameters: Parameters) -> dict[str, float]:
    """Return ‖v‖₂ of each array, by its name."""
    return {name: norm(array.ravel()) for name, array in parameters.items()}


def norms_by_layer(values: Mapping[str, float]) -> dict[str, float]:
    """Return norms √Σ ‖v‖² of layers and of the readout, from those of parameters by name."""
    squares: dict[str, float] = {}
    for name, value in values.items():
        home = name.rpartition(".")[0] or "readout"
        squares[home] = squares.get(home, 0.0) + value**2
    return {home: math.sqrt(square) for home, square in squares.items()}


@dataclass(frozen=True)
class RecentNorms:
    """Statistics of the gradient's norm over the last steps that were logged."""

    steps: int
    """Number of these steps."""
    clipped: float
    """Share of them in which clipping reduced the norm."""
    spikes: tuple[int, ...]
    """Steps whose norm was more than `SPIKE_RATIO` times the median so far."""
    median_norm: float
    """Median norm before clipping."""


def recent_norms(rows: Iterable[Mapping[str, Any]], last: int = RECENT_STEPS) -> RecentNorms | None:
    """Summarise the last training rows of a metrics.jsonl; None if there are none yet."""
    window: deque[tuple[int, float, float]] = deque(maxlen=last)
    for row in rows:
        before, after = row.get("gradient_norm"), row.get("gradient_norm_clipped")
        if isinstance(before, int | float) and isinstance(after, int | float):
            window.append((int(row["step"]), float(before), float(after)))
    if not window:
        return None
    middle = median(before for _, before, _ in window)
    clipped = np.mean([after < before * (1 - 1e-9) for _, before, after in window])
    spikes = tuple(step for step, before, _ in window if before > SPIKE_RATIO * middle > 0)
    return RecentNorms(len(window), float(clipped), spikes, middle)
