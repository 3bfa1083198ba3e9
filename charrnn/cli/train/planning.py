"""Planning of a run: number of workers and steps within a budget, time and memory."""

import math
import os
from dataclasses import dataclass, replace

from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.train.baseline_speed import baseline_growth
from charrnn.errors import UsageError
from charrnn.evaluation.baselines import MAX_TRAIN_CHARS
from charrnn.nn.parameters import Parameters
from charrnn.system.memory import peak_megabytes
from charrnn.system.mpi import Ranks
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS
from charrnn.training.prepared_data import PreparedData
from charrnn.training.presets import Budget, Plan, typical_speed, with_steps
from charrnn.training.speed import MAX_MEASUREMENT_SECONDS, Speed, measure_speed
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

EVALUATION_SHARE = 0.05
"""Largest share of the time for validations before the last, which is made in any case."""

VALIDATION_SHARE, MIN_VALIDATION_CHARACTERS = 0.05, 10_000
"""Largest share of the time for one validation of a text, and characters that it reads at least."""

MEASUREMENT_SHARE = 0.005
"""Share of the time for each measurement of the speed, of which there are six; at most
`MAX_MEASUREMENT_SECONDS`."""

SCORING_SHARE, BASELINE_SHARE = 0.2, 0.15
"""Largest shares of the time for the final scoring of a network that must be read as one sequence,
which few must, and for the baselines."""

BASELINE_SECONDS = 0.6e-6
"""Approximate seconds per character of baselines where they are not measured."""

ENDING_SECONDS = 0.25
"""Seconds of the last save, the table and the end of the processes."""

MIN_STEPS = 20
"""Number of steps below which a note says that the time is too short."""


@dataclass(frozen=True)
class ScoringLimits:
    """How many characters are read at the end of a run, so that `--minutes` is kept.

    Args:
        scored: number of characters of the validation text that the model is scored on if it has
            to be read as one sequence.
        fitted: number of characters, the last of the training text, that baselines are fitted on.
    """

    scored: int = MAX_VALIDATION_CHARACTERS
    fitted: int = MAX_TRAIN_CHARS


def chosen_val_limit(
    planned: Plan, config: TrainingConfig, prepared: PreparedData, speed: Speed
) -> int:
    """Return `TrainingConfig.val_limit` of a run: for `--minutes` what there is time for."""
    minutes = planned.budget.minutes
    if config.val_limit or minutes is None or not prepared.has_baselines:
        return config.val_limit
    fitting = int(VALIDATION_SHARE * 60 * minutes / speed.validation_character)
    fitting = max(MIN_VALIDATION_CHARACTERS, fitting)
    return fitting if fitting < prepared.dataset.validation_size else 0


def validation_size(prepared: PreparedData, val_limit: int) -> int:
    """Return the number of characters that a validation reads."""
    size = prepared.dataset.validation_size
    return min(size, val_limit) if val_limit else size


def scoring_limits(
    budget: Budget, speed: Speed, prepared: PreparedData, val_limit: int
) -> ScoringLimits:
    """Return how much text a run with `--minutes` has time to score; everything for other runs."""
    if budget.minutes is None or not prepared.has_baselines:
        return ScoringLimits()
    seconds, usual = 60 * budget.minutes, ScoringLimits()
    read = validation_size(prepared, val_limit)
    scored = min(read, max(1_000, int(SCORING_SHARE * seconds / speed.stream_character)))
    known = min(prepared.train_characters, usual.fitted)
    each = speed.baseline_character * baseline_growth(known + read)
    fitting = int(BASELINE_SHARE * seconds / each) - read if each > 0 else known
    return ScoringLimits(scored, min(usual.fitted, max(10_000, fitting)))


def create_trainer(
    planned: Plan,
    prepared: PreparedData,
    wanted: int | None,
    initial: Parameters,
    ranks: Ranks | None = None,
) -> tuple[Trainer, Speed]:
    """Create the trainer with the number of workers asked for, or with the fastest, as measured.

    With `ranks`, that is the number of each rank. The speed of one worker is then that which the
    first of several had alone.
    """
    minutes = planned.budget.minutes
    seconds = MAX_MEASUREMENT_SECONDS
    if minutes is not None:
        seconds = min(seconds, MEASUREMENT_SHARE * 60 * minutes)
    if wanted is not None and wanted < 1:
        raise UsageError(f"--workers is {wanted}; it must be at least 1")
    most = wanted or cores_each(ranks)
    workers = max(1, min(most, planned.training.batch_size))
    config = replace(planned.training, workers=workers)
    trainer = Trainer(planned.model, config, prepared.dataset, initial, ranks)
    try:
        speed = measure_speed(trainer, max_seconds=seconds)
    except BaseException:
        trainer.close()
        raise
    if workers == 1 or wanted is not None or speed.workers_are_faster:
        return trainer, speed
    trainer.close()
    alone = replace(planned.training, workers=1)
    trainer = Trainer(planned.model, alone, prepared.dataset, initial, ranks)
    return trainer, replace(speed, step=speed.step_alone)


def cores_each(ranks: Ranks | None) -> int:
    """Return how many cores this process may use: all, or those of a rank."""
    return os.cpu_count() or 1 if ranks is None else max(1, ranks.least_cores // ranks.most_here)


def evaluations_at_most(prepared: PreparedData) -> int:
    """Return the default number of validations of a run."""
    return prepared.planned_validations


def fix_steps(
    planned: Plan, trainer: Trainer, prepared: PreparedData, speed: Speed
) -> TrainingConfig:
    """Return the training configuration with as many steps as fit into the budget."""
    most, config = evaluations_at_most(prepared), trainer.config
    steps = planned.budget.steps_of(trainer.steps_per_epoch)
    if steps is not None:
        return with_steps(config, steps, most)
    config = replace(config, val_limit=chosen_val_limit(planned, config, prepared, speed))
    limits = scoring_limits(planned.budget, speed, prepared, config.val_limit)
    closing = closing_seconds(speed, prepared, limits, config.val_limit)
    left = 60 * (planned.budget.minutes or 0) - seconds_since_start() - closing
    once = validation_seconds(speed, prepared, config.val_limit)
    evaluations = 1 + int(EVALUATION_SHARE * left / once) if once > 0 else most
    evaluations = min(most, evaluations)
    steps = max(1, int((left - evaluations * once) / speed.step))
    if not config.eval_every:  # half a distance is left for a plan that becomes longer
        config = replace(config, eval_every=math.ceil(steps / (evaluations - 0.5)))
    return with_steps(config, steps, evaluations)


def too_short(budget: Budget, steps: int) -> str | None:
    """Return a note if the budget has time for few steps only, else None."""
    if budget.minutes is None or steps >= MIN_STEPS:
        return None
    return (
        f"--minutes {budget.minutes:g} leaves time for {steps} step{'s' * (steps > 1)} only, after "
        "reading, measuring and scoring; try more --minutes, or a smaller --hidden"
    )


def measured_budget(budget: Budget, trainer: Trainer, speed: Speed) -> Budget:
    """Return a budget of minutes with the speed that was measured; any other as it is."""
    if budget.minutes is None:
        return budget
    rate = trainer.characters_per_step / speed.step
    return replace(budget, relative_speed=rate / typical_speed(trainer.model_config.hidden))


def total_seconds(
    speed: Speed, trainer: Trainer, prepared: PreparedData, limits: ScoringLimits
) -> float:
    """Return the estimated seconds of the whole run."""
    steps, every = trainer.config.steps, trainer.config.eval_every
    evaluations = steps / every if every else 0
    limit = trainer.config.val_limit
    once = validation_seconds(speed, prepared, limit)
    return steps * speed.step + evaluations * once + closing_seconds(speed, prepared, limits, limit)


def validation_seconds(speed: Speed, prepared: PreparedData, val_limit: int) -> float:
    """Return the estimated seconds of one validation."""
    return validation_size(prepared, val_limit) * speed.validation_character


def closing_seconds(
    speed: Speed, prepared: PreparedData, limits: ScoringLimits, val_limit: int
) -> float:
    """Return the estimated seconds after training: baselines and, for pairs, the scoring."""
    if not prepared.has_baselines:
        fitted = prepared.train_characters * speed.baseline_character
        return validation_seconds(speed, prepared, val_limit) + fitted + ENDING_SECONDS
    read = min(prepared.train_characters, limits.fitted) + validation_size(prepared, val_limit)
    each = speed.baseline_character or BASELINE_SECONDS
    return read * each * baseline_growth(read) + ENDING_SECONDS


def megabytes(trainer: Trainer, prepared: PreparedData, limits: ScoringLimits) -> float:
    """Estimate the peak memory of a run, all processes together.

    What has been used so far is measured: reading and the first steps have allocated all that
    training needs. Added are the other processes and the count tables of the final scoring.
    """
    own = peak_megabytes()
    config = trainer.config
    each = WORKER_MEGABYTES[config.backend] + 8 * len(trainer.parameters.vector) / 1e6
    others = (trainer.pool.processes_here - 1) * each
    tables = 0.0
    if prepared.has_baselines and prepared.dataset.validation_size:
        read = min(prepared.train_characters, limits.fitted)
        read += validation_size(prepared, config.val_limit)
        tables = BASELINE_BYTES * read / 1e6
    return own + others + tables


WORKER_MEGABYTES = {"numpy": 40.0, "numba": 75.0}
"""Private memory of a worker process with NumPy, and with Numba, loaded."""

BASELINE_BYTES = 40
"""Bytes for each character that the count tables of the final scoring take."""
