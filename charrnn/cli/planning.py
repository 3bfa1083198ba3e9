"""From a budget to a plan: how many workers, how many steps, and how long all of it takes."""

import os
from collections.abc import Callable
from dataclasses import replace

from charrnn.calibration import Speed, measure
from charrnn.cli.corpus import TextMaterial
from charrnn.cli.pair_material import Material
from charrnn.cli.run import clock
from charrnn.errors import UsageError
from charrnn.parameters import Parameters
from charrnn.presets import Plan, with_steps
from charrnn.training import Trainer
from charrnn.training_config import TrainingConfig

EVALUATIONS, PAIR_EVALUATIONS = 10, 24
"""Validations of a run on a text, and on pairs, which may be solved before its end."""

EVALUATION_SHARE = 0.05
"""The largest part of the time that validation may take, two of them apart."""

BASELINE_SECONDS = 3.5e-6
"""Seconds that count tables and compressors take for each character, roughly."""


def hire(
    planned: Plan,
    material: Material,
    threads: int | None,
    initial: Parameters,
    stop: Callable[[], bool],
) -> tuple[Trainer, Speed]:
    """Make the trainer with as many workers as were asked for, or as pay off when measured."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}; it must be at least 1")
    most = threads or os.cpu_count() or 1
    workers = max(1, min(most, planned.training.batch))
    while True:
        config = replace(planned.training, workers=workers)
        trainer = Trainer(planned.model, config, material.lessons, initial)
        try:
            speed = measure(trainer, stop)
        except BaseException:
            trainer.close()
            raise
        if workers == 1 or threads is not None or speed.sharing_pays:
            return trainer, speed
        trainer.close()
        workers = 1


def fix_steps(planned: Plan, trainer: Trainer, material: Material, speed: Speed) -> TrainingConfig:
    """Turn the budget into a number of steps, evaluations and baselines included."""
    most = EVALUATIONS if isinstance(material, TextMaterial) else PAIR_EVALUATIONS
    steps = planned.budget.steps_of(trainer.steps_per_epoch)
    if steps is not None:
        return with_steps(trainer.config, steps, most)
    left = 60 * (planned.budget.minutes or 0) - clock() - closing_seconds(speed, material)
    once = validation_seconds(speed, material)
    evaluations = round(EVALUATION_SHARE * left / once) if once > 0 else most
    evaluations = max(2, min(most, evaluations))
    steps = max(1, int((left - evaluations * once) / speed.step))
    return with_steps(trainer.config, steps, evaluations)


def pace(planned: Plan, trainer: Trainer, material: Material, speed: Speed) -> float | None:
    """Return characters a second of all the time, start and scoring included, if time decides."""
    if planned.budget.minutes is None:
        return None
    steps = fix_steps(planned, trainer, material, speed).steps
    return steps * trainer.characters_per_step / (60 * planned.budget.minutes)


def total_seconds(speed: Speed, trainer: Trainer, material: Material) -> float:
    """Return about how long the whole run will take."""
    steps, every = trainer.config.steps, trainer.config.eval_every
    evaluations = steps / every if every else 0
    once = validation_seconds(speed, material)
    return steps * speed.step + evaluations * once + closing_seconds(speed, material)


def validation_seconds(speed: Speed, material: Material) -> float:
    """Return about how long one validation takes."""
    return material.lessons.held_out * speed.validation_character


def closing_seconds(speed: Speed, material: Material) -> float:
    """Return what the final scoring and the baselines will take; pairs have none of these."""
    if not isinstance(material, TextMaterial):
        return validation_seconds(speed, material)
    scored = material.lessons.held_out
    read = min(len(material.lessons.train), 10_000_000) + scored
    return scored * speed.stream_character + read * BASELINE_SECONDS + 0.5


def megabytes(trainer: Trainer, material: Material) -> float:
    """Estimate the memory of a run: window buffers, five times the weights, the ids twice."""
    model, config = trainer.model_config, trainer.config
    positions = trainer.team.source.buffered
    window = positions * (model.layers * model.hidden * 24 + 3 * model.outputs)
    ids = 2 * sum(array.nbytes for array in material.lessons.arrays.values())
    return (4 * (window + 5 * len(trainer.parameters.vector)) + ids) / 1e6 + 60 * config.workers
