"""Truncated back-propagation through time (Werbos 1990; Williams & Peng 1990), as events.

`train` takes steps and yields what happens; who listens shows it, saves it and decides when to
stop. It never prints and never writes.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from charrnn.arrays import Array, Ids
from charrnn.errors import DivergedError, UsageError
from charrnn.evaluation import VALIDATION_LANES, evaluate
from charrnn.events import Evaluation, Event, Look, Step, Stopped, Watch
from charrnn.network import ModelConfig
from charrnn.optimisers import (
    OPTIMISERS,
    SCHEDULES,
    clip_by_norm,
    clip_by_value,
    learning_rate,
    norm,
)
from charrnn.parameters import Parameters
from charrnn.workers import Lanes, Team

SMOOTHING = 0.99
"""What the smoothed loss keeps of itself at each step."""

LONGEST_VALIDATION = 1_000_000
"""Characters that one validation reads at most."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; `UsageError` if it makes no sense. The seed and these fix every number."""

    steps: int
    optimiser: str = "adagrad"
    lr: float = 0.4
    schedule: str = "cosine"
    warm_up: int = 100
    weight_decay: float = 0.0
    clip_norm: float | None = 0.25
    clip_value: float | None = None
    seq_length: int = 64
    batch: int = 32
    reset_rate: float = 0.05
    loss: str = "mean"
    average: float = 0.0
    eval_every: int = 0
    patience: int = 0
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name, registry in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in registry:
                raise UsageError(f"no {name} called {value!r}; there are {', '.join(registry)}")
        if self.loss not in ("mean", "sum"):
            raise UsageError(f"the loss is {self.loss!r}; it must be 'mean' or 'sum'")
        for name in ("seq_length", "batch", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} must be at least 1")
        for name in ("steps", "warm_up", "weight_decay", "eval_every", "patience", "seed"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name.replace('_', ' ')} must not be negative")
        for name in ("lr", "clip_norm", "clip_value"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{name.replace('_', ' ')} is {value}; it must be above 0")
        for name in ("reset_rate", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name.replace('_', ' ')} must be from 0 to 1")

    @property
    def lanes(self) -> Lanes:
        """How each step reads windows and weighs losses."""
        count = self.batch * (self.seq_length if self.loss == "mean" else 1)
        return Lanes(self.seq_length, self.batch, self.seed, self.reset_rate, 1 / count)

    @property
    def characters_per_step(self) -> int:
        """Characters that one step reads."""
        return self.seq_length * self.batch

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass
class Progress:
    """Where a run stands: with the arrays, all that an exact resume needs."""

    step: int = 0
    smooth_nats: float = 0.0
    best_nats: float | None = None
    best_step: int = 0
    since_best: int = 0
    last_nats: float | None = None
    evaluated: int = 0
    """The step of the last validation, so that an interrupted one is made up for."""

    def validation_due(self, config: TrainingConfig) -> bool:
        """Whether this step should be validated and has not been yet."""
        if self.step <= self.evaluated:
            return False
        due = config.eval_every and self.step % config.eval_every == 0
        return bool(due) or self.step >= config.steps

    def finished(self, config: TrainingConfig) -> bool:
        """Whether the planned end was reached and validated, or patience came to its own."""
        return self.evaluated >= self.step >= config.steps or self.on_plateau(config)

    def on_plateau(self, config: TrainingConfig) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        return 0 < config.patience <= self.since_best


class Trainer:
    """A run: weights, optimiser, carried states and progress; a context manager for its workers.

    `parameters` is what is trained; `model` is what should be used: their running average if
    `average` is above 0 (Polyak & Juditsky 1992, exponential form), else the same.
    """

    def __init__(
        self, model: ModelConfig, config: TrainingConfig, ids: Ids, initial: Parameters
    ) -> None:
        self.model_config, self.config = model, config
        self.team = Team(model, config.lanes, ids, initial, config.workers)
        self.parameters = self.team.parameters
        self.states = self.team.states
        optimiser = OPTIMISERS[config.optimiser]
        self.optimiser = optimiser(self.parameters.vector, config.weight_decay)
        self.model = self.parameters
        if config.average:
            self.model = initial.like(initial.vector.copy())
        self.progress = Progress()
        self.watch: Watch | None = None
        self.look: Look | None = None
        self.steps_per_epoch = config.lanes.windows(ids).steps_per_epoch

    def step(self) -> Step:
        """Read one window, update the weights; `DivergedError` before anything is spoilt."""
        began = time.perf_counter()
        config, progress = self.config, self.progress
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            total = self.team.compute(progress.step)
            nats = total / config.characters_per_step
            gradient = self.team.gradient
            before = norm(gradient)
            if not (np.isfinite(nats) and np.isfinite(before)):
                raise DivergedError(self._post_mortem(nats))
            if self.watch is not None:
                self.watch.before_update(gradient)
            after = self._clip(gradient, before)
            lr = learning_rate(
                config.lr, config.schedule, config.warm_up, progress.step, config.steps
            )
            self.optimiser.update(self.parameters.vector, gradient, lr)
            self._average()
            self.look = None if self.watch is None else self.watch.after_update()
        progress.step += 1
        keep = SMOOTHING * (1 - SMOOTHING ** (progress.step - 1)) / (1 - SMOOTHING**progress.step)
        progress.smooth_nats += (1 - keep) * (nats - progress.smooth_nats)
        return Step(
            step=progress.step,
            steps=config.steps,
            epoch=progress.step / self.steps_per_epoch,
            characters=progress.step * config.characters_per_step,
            nats=nats,
            smooth_nats=progress.smooth_nats,
            gradient_norm=before,
            gradient_norm_clipped=after,
            lr=lr,
            chars_per_second=config.characters_per_step / (time.perf_counter() - began),
        )

    def evaluate(self, ids: Ids, stop: Callable[[], bool] | None = None) -> Evaluation | None:
        """Score the validation part and remember the best; None if `stop` said so on the way."""
        part = ids[:LONGEST_VALIDATION]
        nats = evaluate(self.model_config, self.model, part, VALIDATION_LANES, stop)
        if nats is None:
            return None
        progress = self.progress
        if not np.isfinite(nats):
            raise DivergedError(f"the validation loss is {nats} at step {progress.step:,}; {CURE}")
        best = progress.best_nats is None or nats < progress.best_nats
        progress.last_nats, progress.evaluated = nats, progress.step
        progress.since_best = 0 if best else progress.since_best + 1
        if best or progress.best_nats is None:
            progress.best_nats, progress.best_step = nats, progress.step
        return Evaluation(progress.step, nats, best, progress.best_nats)

    def close(self) -> None:
        """Send the workers home."""
        self.team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clip(self, gradient: Array, before: float) -> float:
        after = before
        if self.config.clip_norm is not None:
            after = clip_by_norm(gradient, self.config.clip_norm, before)
        if self.config.clip_value is not None:
            after = clip_by_value(gradient, self.config.clip_value)
        return after

    def _average(self) -> None:
        """Move the average towards the weights: slower and slower until the full memory."""
        if self.model is self.parameters:
            return
        step = self.progress.step
        keep = min(self.config.average, (1 + step) / (10 + step))
        self.model.vector *= keep
        self.model.vector += (1 - keep) * self.parameters.vector

    def _post_mortem(self, nats: float) -> str:
        """Say which weight, or else which gradient, is the first that is not finite."""
        step = self.progress.step + 1
        gradients = self.parameters.like(self.team.gradient)
        for kind, arrays in (("", self.parameters), ("the gradient of ", gradients)):
            for name, array in arrays.items():
                if not np.isfinite(array).all():
                    return f"{kind}{name} is not finite at step {step:,}; {CURE}"
        return f"the loss is {nats} at step {step:,}; {CURE}"


CURE = "try a smaller --lr or --clip-norm"


def train(
    trainer: Trainer,
    validation: Ids,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train from where the trainer stands to its planned end, yielding what happens.

    `stop` is asked before each step. Validation comes every `eval_every` steps and at the end, and
    not at all if `validation` has fewer than two characters.
    """
    config, progress = trainer.config, trainer.progress
    scored = len(validation) >= 2
    while True:
        if not scored:
            progress.evaluated = progress.step
        elif progress.validation_due(config):
            evaluation = trainer.evaluate(validation, stop)
            if evaluation is None:
                yield Stopped(progress.step, "interrupted")
                return
            yield evaluation
        if progress.on_plateau(config):
            yield Stopped(progress.step, "plateau")
            return
        if progress.step >= config.steps:
            yield Stopped(progress.step, "finished")
            return
        if stop():
            yield Stopped(progress.step, "interrupted")
            return
        yield trainer.step()
        if trainer.look is not None:
            yield trainer.look
