"""Planning of a run: number of workers and steps within a budget, time and memory."""

import os
from dataclasses import dataclass, replace

from charrnn.cli.runs.environment import seconds_since_start
from charrnn.errors import UsageError
from charrnn.evaluation.baselines import MAX_TRAIN_CHARS
from charrnn.nn.parameters import Parameters
from charrnn.system.memory import peak_megabytes
from charrnn.system.mpi import Ranks
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS
from charrnn.training.prepared_data import PreparedData
from charrnn.training.presets import Budget, Plan, with_steps
from charrnn.training.speed import Speed, measure_speed
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

EVALUATION_SHARE = 0.05
"""Largest share of the time for validation; two validations are made in any case."""

BASELINE_SECONDS = 1.5e-6
"""Approximate seconds per character that count tables and compressors take."""

SCORING_SHARE, CLOSING_SHARE = 0.2, 1 / 3
"""Largest shares of the time for the final scoring, and for scoring and baselines together."""

MIN_STEPS = 20
"""Number of steps below which a note says that the time is too short."""


@dataclass(frozen=True)
class ScoringLimits:
    """How many characters are read at the end of a run, so that `--minutes` is kept.

    Args:
        scored: number of characters of the validation text that the model is scored on.
        fitted: number of characters, the last of the training text, that baselines are fitted on.
    """

    scored: int = MAX_VALIDATION_CHARACTERS
    fitted: int = MAX_TRAIN_CHARS


def scoring_limits(budget: Budget, speed: Speed, prepared: PreparedData) -> ScoringLimits:
    """Return how much text a run with `--minutes` has time to score; everything for other runs."""
    if budget.minutes is None or not prepared.has_baselines:
        return ScoringLimits()
    seconds, usual = 60 * budget.minutes, ScoringLimits()
    scored = min(prepared.dataset.validation_size, usual.scored)
    scored = min(scored, max(1_000, int(SCORING_SHARE * seconds / speed.stream_character)))
    left = CLOSING_SHARE * seconds - scored * (speed.stream_character + BASELINE_SECONDS)
    return ScoringLimits(scored, min(usual.fitted, max(10_000, int(left / BASELINE_SECONDS))))


def create_trainer(
    planned: Plan,
    prepared: PreparedData,
    wanted: int | None,
    initial: Parameters,
    ranks: Ranks | None = None,
) -> tuple[Trainer, Speed]:
    """Create the trainer with the number of workers asked for, or with the fastest, as measured.

    With `ranks`, that is the number of each rank.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"--workers is {wanted}; it must be at least 1")
    most = wanted or cores_each(ranks)
    workers = max(1, min(most, planned.training.batch_size))
    while True:
        config = replace(planned.training, workers=workers)
        trainer = Trainer(planned.model, config, prepared.dataset, initial, ranks)
        try:
            speed = measure_speed(trainer)
        except BaseException:
            trainer.close()
            raise
        if workers == 1 or wanted is not None or speed.workers_are_faster:
            return trainer, speed
        trainer.close()
        workers = 1


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
    most = evaluations_at_most(prepared)
    steps = planned.budget.steps_of(trainer.steps_per_epoch)
    if steps is not None:
        return with_steps(trainer.config, steps, most)
    limits = scoring_limits(planned.budget, speed, prepared)
    closing = closing_seconds(speed, prepared, limits)
    left = 60 * (planned.budget.minutes or 0) - seconds_since_start() - closing
    once = validation_seconds(speed, prepared)
    evaluations = round(EVALUATION_SHARE * left / once) if once > 0 else most
    fewest = 2 if 8 * once < left else 1
    evaluations = max(fewest, min(most, evaluations))
    steps = max(1, int((left - evaluations * once) / speed.step))
    return with_steps(trainer.config, steps, evaluations)


def too_short(budget: Budget, steps: int) -> str | None:
    """Return a note if the budget has time for few steps only, else None."""
    if budget.minutes is None or steps >= MIN_STEPS:
        return None
    return (
        f"--minutes {budget.minutes:g} leaves time for {steps} step{'s' * (steps > 1)} only, after "
        "reading, measuring and scoring; try more --minutes, or a smaller --hidden"
    )


def pace(planned: Plan, trainer: Trainer, prepared: PreparedData, speed: Speed) -> float | None:
    """Return characters per second of the total time of a run; None without --minutes."""
    if planned.budget.minutes is None:
        return None
    steps = fix_steps(planned, trainer, prepared, speed).steps
    return steps * trainer.characters_per_step / (60 * planned.budget.minutes)


def total_seconds(
    speed: Speed, trainer: Trainer, prepared: PreparedData, limits: ScoringLimits
) -> float:
    """Return the estimated seconds of the whole run."""
    steps, every = trainer.config.steps, trainer.config.eval_every
    evaluations = steps / every if every else 0
    once = validation_seconds(speed, prepared)
    return steps * speed.step + evaluations * once + closing_seconds(speed, prepared, limits)


def validation_seconds(speed: Speed, prepared: PreparedData) -> float:
    """Return the estimated seconds of one validation."""
    return prepared.dataset.validation_size * speed.validation_character


def closing_seconds(speed: Speed, prepared: PreparedData, limits: ScoringLimits) -> float:
    """Return the estimated seconds of the final scoring and, for texts, the baselines."""
    if not prepared.has_baselines:
        return validation_seconds(speed, prepared)
    scored = min(prepared.dataset.validation_size, limits.scored)
    read = min(prepared.train_characters, limits.fitted) + scored
    return scored * speed.stream_character + read * BASELINE_SECONDS + 0.3


def megabytes(trainer: Trainer, prepared: PreparedData, limits: ScoringLimits) -> float:
    """Estimate the peak memory of a run, all processes together.

    What has been used so far is measured: reading and the first steps have allocated all that
    training needs. Added are the other processes and the count tables of the final scoring.
    """
    own = peak_megabytes()
    config = trainer.config
    each = WORKER_MEGABYTES[config.backend] + 8 * len(trainer.parameters.vector) / 1e6
    others = (trainer.pool.processes_here - 1) * each
    baselines = 0.0
    if prepared.has_baselines and prepared.dataset.validation_size:
        scored = min(prepared.dataset.validation_size, limits.scored)
        read = min(prepared.train_characters, limits.fitted) + scored
        baselines = BASELINE_BYTES * read / 1e6
    return own + others + baselines


WORKER_MEGABYTES = {"numpy": 40.0, "numba": 75.0}
"""Private memory of a worker process with NumPy, and with Numba, loaded."""

BASELINE_BYTES = 40
"""Bytes for each character that the count tables of the final scoring take."""
