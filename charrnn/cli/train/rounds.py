"""Rounds of a run on labels: the first plan within `--minutes`, and the decision to go on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from charrnn.cli.train.time_left import TimeLeft
from charrnn.training.pair_budget import (
    FIRST_EPOCHS,
    FIRST_EPOCHS_OF_MANY,
    VALIDATIONS_A_ROUND,
    first_round,
    next_round,
)
from charrnn.training.pair_presets import MANY_LABELLED
from charrnn.training.prepared_data import PreparedData, PreparedPairs
from charrnn.training.presets import Budget, with_steps
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

OWN_PLAN = ("patience", "schedule", "earlier_plans")
"""Settings that, if they are given, leave a run in one round."""

TIME_SHARE = 0.85
"""Largest share of the time left that a round is planned to take."""


def in_rounds(
    config: TrainingConfig,
    trainer: Trainer,
    prepared: PreparedData,
    budget: Budget,
    given: Mapping[str, Any],
) -> TrainingConfig | None:
    """Return the configuration of the first round, or None for a run in one.

    Args:
        config: the configuration of a run that uses all of the time.
        trainer: its trainer.
        prepared: its data.
        budget: the time, epochs or steps asked for.
        given: the settings that were given.
    """
    labelled = labelled_pairs(prepared)
    if labelled is None:
        return None
    if budget.minutes is None or any(name in given for name in OWN_PLAN):
        return None
    if not labelled.dataset.validation_size:
        return None
    many = len(labelled.dataset.train) >= MANY_LABELLED
    epochs = FIRST_EPOCHS_OF_MANY if many else FIRST_EPOCHS
    steps = first_round(trainer.steps_per_epoch, config.steps, epochs)
    if steps is None:
        return None
    shape = replace(config, patience=0, eval_every=given.get("eval_every") or 0)
    return with_steps(shape, steps, VALIDATIONS_A_ROUND)


def labelled_pairs(prepared: PreparedData) -> PreparedPairs | None:
    """Return the pairs of a run whose answers are labels of texts; None for other runs."""
    if isinstance(prepared, PreparedPairs) and prepared.symbols.layout_spec.classifies:
        return prepared
    return None


class Rounds(TimeLeft):
    """Decides at the end of each round whether another one follows, and how long it is."""

    def steps(self, trainer: Trainer) -> int | None:
        """Return the new number of steps of a run at the end of a round; None to end it."""
        fitting = self.fitting_steps(trainer.progress.step, TIME_SHARE)
        return next_round(trainer.progress, trainer.config, fitting)
