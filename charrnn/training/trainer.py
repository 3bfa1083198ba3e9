"""Trainer: truncated back-propagation through time (Werbos 1990; Williams & Peng 1990).

`train` is a generator of events (steps, validations, gradient snapshots, the end). The caller
displays them, saves checkpoints and stops the run. Nothing here prints or writes files.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Self

import numpy as np

from charrnn.checkpointing.records import RollbackPoint
from charrnn.errors import DivergedError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.ops import smoothed_nats
from charrnn.nn.parameters import Parameters
from charrnn.optim.clipping import clip_by_norm, clip_by_value, norm
from charrnn.optim.optimisers import Optimiser
from charrnn.optim.schedules import lr_at_step, parse_plans
from charrnn.system.memory import require_memory
from charrnn.system.mpi import Ranks
from charrnn.training.backends import load_backend
from charrnn.training.dataset import Dataset
from charrnn.training.events import (
    Evaluation,
    Event,
    GradientObserver,
    GradientSnapshot,
    NonFinite,
    Step,
    Stopped,
)
from charrnn.training.pools import Pool, open_pool
from charrnn.training_config import Progress, TrainingConfig
from charrnn.types import Array, StopFlag

LOSS_EMA_DECAY = 0.99
"""Decay of the exponential moving average of the training loss, per step."""


ROLLBACK_EVERY = 100
"""Steps between rollback points; the older of two is that of 100 to 200 steps ago."""

ROLLBACK_LR_FACTOR = 0.5
"""Factor of a rollback on the learning rate."""

MAX_NONFINITE = 3
"""Skipped updates, or rollbacks without a new point between them, after which a run stops."""

MIN_WEIGHT_COPIES = 4
"""Minimum arrays of the weights' size in training: weights, gradient, optimiser state."""


class Trainer:
    """Weights, optimiser, carried states and progress of a run; closes its workers as a context.

    `parameters` are the trained weights. `model` are the weights to evaluate and save: the
    exponential moving average of `parameters` if `config.ema_decay` is above 0 (Polyak & Juditsky
    1992, exponential form), else the same object.

    Args:
        model: the network's configuration.
        config: the training settings.
        dataset: training and validation data.
        initial: weights to begin with; a copy of them is trained.
        ranks: the MPI ranks that share each batch; None: this process and its workers only.

    Raises:
        StorageError: if the weights and their optimiser state do not fit the memory.
    """

    def __init__(
        self,
        model: ModelConfig,
        config: TrainingConfig,
        dataset: Dataset,
        initial: Parameters,
        ranks: Ranks | None = None,
    ) -> None:
        self.model_config, self.config, self.dataset = model, config, dataset
        self.backend = load_backend(config.backend)
        batch_config = dataset.batch_config(config)
        require_memory(
            4 * MIN_WEIGHT_COPIES * model.size, "training", "a smaller --hidden", "fewer --layers"
        )
        self.pool: Pool = open_pool(
            model, batch_config, dataset.arrays, initial, config.workers, config.backend, ranks
        )
        self.parameters = self.pool.parameters
        self.states = self.pool.states
        self.optimiser = self.new_optimiser()
        self.model = self.parameters
        if config.ema_decay:
            self.model = initial.like(initial.vector.copy())
        self.progress = Progress()
        self.rollback: list[RollbackPoint] = []
        """Points to return to, the older one first; empty unless `config.on_nonfinite` asks."""
        if config.on_nonfinite == "rollback":
            with suppress(DivergedError):  # which the first step will raise
                self.add_rollback_point()
        self.metrics: dict[str, float] = {}
        """Metrics of the last validation, by name."""
        self.before_validation: tuple[Progress, dict[str, float]] | None = None
        """Copies of `progress` and `metrics` from before the last validation; None before any."""
        self.updating = False
        """Whether a step is changing the weights: a checkpoint of this moment would mix two steps.
        It stays true if an exception ends the step there."""
        self.watch: GradientObserver | None = None
        self.gradient_snapshot: GradientSnapshot | None = None
        self.steps_per_epoch = self.pool.batcher.steps_per_epoch
        self.characters_per_step = self.pool.batcher.characters_per_step

    def new_optimiser(self) -> Optimiser:
        """Return an optimiser of the run's settings that has seen no gradient."""
        kind = self.backend.optimisers[self.config.optimiser]
        parameters = self.parameters
        threads = self.pool.processes_here
        return kind(parameters.vector, self.config.weight_decay, parameters.shapes, threads)

    def step(self) -> Step:
        """Compute the gradient of one batch; update weights, optimiser and states.

        Raises:
            DivergedError: if the loss or the gradient is not finite; the weights are kept.
        """
        began = time.perf_counter()
        config, progress = self.config, self.progress
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            total = self.pool.compute(progress.step)
            window = self.pool.batch
            nats = total / window.num_targets
            gradient = self.pool.gradient
            before = norm(gradient)
            if not (np.isfinite(nats) and np.isfinite(before)):
                raise self._divergence_error(nats)
            if self.watch is not None:
                self.watch.before_update(gradient)
            after = self.clip(gradient, before)
            lr = lr_at_step(
                config.lr,
                config.schedule,
                config.warmup_steps,
                progress.step,
                config.steps,
                parse_plans(config.earlier_plans),
            )
            lr *= progress.lr_scale
            self.updating = True
            self.optimiser.update(self.parameters.vector, gradient, lr)
            self._average()
            self.gradient_snapshot = None if self.watch is None else self.watch.after_update()
        progress.step += 1
        taken = progress.step - progress.skipped
        keep = LOSS_EMA_DECAY * (1 - LOSS_EMA_DECAY ** (taken - 1)) / (1 - LOSS_EMA_DECAY**taken)
        progress.smooth_nats += (1 - keep) * (nats - progress.smooth_nats)
        if not self.rollback:
            progress.nonfinite = 0
        self.updating = False
        return Step(
            step=progress.step,
            steps=config.steps,
            epoch=progress.step / self.steps_per_epoch,
            characters=round(progress.step * self.characters_per_step),
            nats=nats,
            smooth_nats=progress.smooth_nats,
            gradient_norm=before,
            gradient_norm_clipped=after,
            lr=lr,
            seconds=(seconds := time.perf_counter() - began),
            chars_per_second=window.num_inputs / seconds,
        )

    def evaluate(self, stop: StopFlag | None = None) -> Evaluation | None:
        """Compute the validation loss, update `progress`; None if `stop()` became true.

        Raises:
            DivergedError: if the validation loss is not finite.
        """
        scores = self.dataset.validate(
            self.model_config, self.model, stop, self.backend.cells, self.config.val_limit
        )
        if scores is None:
            return None
        progress, nats = self.progress, scores.nats
        if not np.isfinite(nats):
            raise DivergedError(
                f"the validation loss is {nats} at step {progress.step:,}", *DIVERGENCE_ADVICE
            )
        self.before_validation = replace(progress), self.metrics
        self.metrics = dict(scores.metrics)
        exact = scores.metrics["exact_match"] if self.dataset.best_by_exact_match else None
        best = progress.is_best(nats, exact)
        progress.last_nats, progress.evaluated = nats, progress.step
        learned = smoothed_nats(self.config.label_smoothing, self.model_config.outputs)
        progress.solved = scores.all_right and nats < learned + SOLVED_NATS
        progress.since_best = 0 if best else progress.since_best + 1
        best_nats = nats if best or progress.best_nats is None else progress.best_nats
        progress.best_nats = best_nats
        if best:
            progress.best_exact_match, progress.best_step = exact, progress.step
        one, match = scores.is_one_stream, progress.best_exact_match
        return Evaluation(progress.step, nats, best, best_nats, self.metrics, one, match)

    def add_rollback_point(self) -> None:
        """Keep copies of weights and optimiser as the newer point.

        Raises:
            DivergedError: if one of them is not finite.
        """
        like, optimiser = self.parameters.like, self.optimiser
        point = RollbackPoint(
            self.progress.step,
            optimiser.updates,
            like(self.parameters.vector.copy()),
            None if self.model is self.parameters else like(self.model.vector.copy()),
            {slot: like(array.copy()) for slot, array in optimiser.state.items()},
        )
        for kind, arrays in point.arrays().items():
            for name, array in arrays.items():
                if not np.isfinite(array).all():
                    label = name if kind == "parameters" else f"{kind}.{name}"
                    raise DivergedError(
                        f"{label} is not finite at step {point.step:,}", *DIVERGENCE_ADVICE
                    )
        self.rollback = [*self.rollback[-1:], point]
        self.progress.nonfinite = 0

    def recover(self, error: DivergedError, *, in_step: bool) -> NonFinite:
        """Go on after a loss or gradient that is not finite, as `config.on_nonfinite` says.

        The carried states become zero, and the next step is that of the batches that follow.

        Args:
            error: what `step` or `evaluate` raised.
            in_step: whether it was `step`; else the validation is repeated with other weights.

        Raises:
            DivergedError: if the run is to stop, after `MAX_NONFINITE` in a row, and if skipping
                an update cannot help since the weights themselves are not finite.
        """
        progress, policy = self.progress, self.config.on_nonfinite
        skipping = policy == "skip" and in_step
        if not (skipping or (policy == "rollback" and self.rollback)):
            raise error
        if progress.nonfinite >= MAX_NONFINITE:
            done = "skipped updates" if skipping else "rollbacks"
            raise DivergedError(
                f"{error.problem}, after {MAX_NONFINITE} {done} in a row", *error.advice
            )
        if skipping and not np.isfinite(self.parameters.vector).all():
            raise error
        self.updating = True
        restored = None if skipping else self._roll_back()
        self.states.vector[...] = 0
        progress.nonfinite += 1
        if in_step:
            progress.step += 1
            progress.skipped += 1
        self.updating = False
        return NonFinite(progress.step, error.problem, restored, progress.lr_scale)

    def _roll_back(self) -> int:
        """Restore the older rollback point, halve the learning rate, and return its step."""
        point = self.rollback[0]
        self.rollback = [point]
        self.parameters.vector[...] = point.parameters.vector
        if point.average is not None:
            self.model.vector[...] = point.average.vector
        for slot, array in point.optimiser.items():
            self.optimiser.state[slot][...] = array.vector
        self.optimiser.updates = point.updates
        self.progress.lr_scale *= ROLLBACK_LR_FACTOR
        return point.step

    def replan(self, steps: int) -> None:
        """Change the number of steps of the run, which the rest of the schedule is fitted to.

        At the end of the present plan the schedule begins again. A plan that is changed before any
        step was taken with it leaves no trace.
        """
        config, step = self.config, self.progress.step
        plans = config.earlier_plans
        if step > max((until for until, _ in parse_plans(plans)), default=0):
            plans = ",".join(filter(None, (plans, f"{step}:{config.steps}")))
        self.config = replace(config, steps=steps, earlier_plans=plans)

    def close(self) -> None:
        """Stop the worker processes."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def clip(self, gradient: Array, before: float) -> float:
        """Clip a gradient of norm `before`, in place; return its norm afterwards."""
        after = before
        if self.config.clip_norm is not None:
            after = clip_by_norm(gradient, self.config.clip_norm, before)
        if self.config.clip_value is not None:
            after = clip_by_value(gradient, self.config.clip_value)
        return after

    def _average(self) -> None:
        """Update the moving average; its decay rises to `ema_decay` during the first steps."""
        if self.model is self.parameters:
            return
        step = self.progress.step
        keep = min(self.config.ema_decay, (1 + step) / (10 + step))
        self.model.vector *= keep
        self.model.vector += (1 - keep) * self.parameters.vector

    def _divergence_error(self, nats: float) -> DivergedError:
        """Return an error with the name of the first parameter or gradient that is not finite."""
        step = self.progress.step + 1
        cures = DIVERGENCE_ADVICE if self.progress.step else INITIAL_DIVERGENCE_ADVICE
        gradients = self.parameters.like(self.pool.gradient)
        for kind, arrays in (("", self.parameters), ("the gradient of ", gradients)):
            for name, array in arrays.items():
                if not np.isfinite(array).all():
                    return DivergedError(f"{kind}{name} is not finite at step {step:,}", *cures)
        return DivergedError(f"the loss is {nats} at step {step:,}", *cures)


SOLVED_NATS = 0.002
"""Nats per symbol, beyond those of `smoothed_nats`, below which a model without a fault in
validation has nothing left to learn."""

DIVERGENCE_ADVICE = ("a smaller --lr in a new run", "a smaller --clip-norm")
INITIAL_DIVERGENCE_ADVICE = (
    "a smaller --recurrent-gain",
    "a smaller --input-gain",
    "another --recurrent-init",
)
"""Advice if the first gradient, before any update, is not finite."""


def train(trainer: Trainer, stop: StopFlag = lambda: False) -> Iterator[Event]:
    """Train from the trainer's current step to `config.steps` and yield the events.

    Args:
        trainer: is updated in place.
        stop: is called before each step and during validation.

    Yields:
        A `Step` for each update, a `NonFinite` for each step without one, an `Evaluation` every
        `eval_every` steps and at the end if there is a validation set, a `GradientSnapshot` where a
        gradient observer returns one, and last a `Stopped`.

    Raises:
        DivergedError: if the loss or the gradient is not finite, and `config.on_nonfinite` is
            `stop` or cannot help.
    """
    progress = trainer.progress
    while True:
        config = trainer.config  # which a caller may replan between two events
        if not trainer.dataset.validation_size:
            progress.evaluated = progress.step
        elif progress.validation_due(config):
            try:
                evaluation = trainer.evaluate(stop)
            except DivergedError as error:
                yield trainer.recover(error, in_step=False)
                continue
            if evaluation is None:
                yield Stopped(progress.step, "interrupted")
                return
            yield evaluation
            config = trainer.config
        if progress.solved:
            yield Stopped(progress.step, "solved")
            return
        if progress.on_plateau(config):
            yield Stopped(progress.step, "plateau")
            return
        if progress.step >= config.steps:
            yield Stopped(progress.step, "finished")
            return
        if stop():
            yield Stopped(progress.step, "interrupted")
            return
        try:
            step = trainer.step()
        except DivergedError as error:
            yield trainer.recover(error, in_step=True)
            continue
        recovery = None
        if trainer.rollback and progress.step % ROLLBACK_EVERY == 0:
            try:
                trainer.add_rollback_point()
            except DivergedError as error:
                recovery = trainer.recover(error, in_step=False)
        yield step
        if recovery is not None:
            yield recovery
        if trainer.gradient_snapshot is not None:
            yield trainer.gradient_snapshot
