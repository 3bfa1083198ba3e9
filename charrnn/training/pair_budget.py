"""Budget of a run on labels: rounds of training, each annealed to its end and twice as long.

On few pairs a network overfits within some epochs, long before `--minutes` are over: the lowest
validation loss then comes at a learning rate that has hardly fallen. How many epochs are enough
depends on the pairs, not only on their number. A run therefore begins with a short round, at the
end of which the learning rate has fallen to its last value, and goes on with a longer one, from the
full learning rate, as long as the validation loss says that more may help. The best checkpoint of
all rounds is kept. These are the warm restarts of Loshchilov & Hutter 2017 (arXiv 1608.03983) with
T_mult = 2 and a rule that ends them.
"""

from charrnn.training_config import Progress, TrainingConfig

FIRST_EPOCHS, MIN_FIRST_STEPS = 5, 60
"""Epochs of the first round, and steps that it has at least."""
FIRST_EPOCHS_OF_MANY = 8
"""Epochs of the first round where many pairs are trained on with much dropout."""

GROWTH = 2
"""Factor between the lengths of two rounds."""

VALIDATIONS_A_ROUND = 6
"""Validations of the first round; later ones have them at the same distance."""

MIN_ROUNDS = 1 + GROWTH
"""First rounds that must fit into the time: with less of it, a single plan uses all of it."""

LATE_SHARE = 1 / 3
"""End of a round, as a share of it, in which a best validation is a late one."""

UNLEARNED, MEMORISED, MUCH_MEMORISED = 0.9, 0.7, 0.6
"""Training loss as a share of the validation loss: above the first nothing is memorised, below the
second much is, and below the third so much that a longer round does not help."""


def first_round(steps_per_epoch: int, fitting: int, epochs: int = FIRST_EPOCHS) -> int | None:
    """Return the steps of the first round; None if the time is too short for rounds.

    Args:
        steps_per_epoch: steps that read all training pairs once.
        fitting: steps for which there is time.
        epochs: epochs of the round.

    Example:
        >>> first_round(80, 10_000), first_round(7, 10_000), first_round(80, 1_000)
        (400, 60, None)
    """
    steps = max(epochs * steps_per_epoch, MIN_FIRST_STEPS)
    return steps if MIN_ROUNDS * steps <= fitting else None


def round_start(config: TrainingConfig) -> int:
    """Return the step at which the present round began: where an earlier plan had its end.

    Example:
        >>> round_start(TrainingConfig(steps=900, earlier_plans="300:300"))
        300
    """
    return max(config.completed_plans, default=0)


def more_may_help(progress: Progress, config: TrainingConfig) -> bool:
    """Return whether a longer round may lower the validation loss, at the end of a round.

    That is so if the best validation was the last one and not too much is memorised, or a late one
    of this round while little is, or if nothing is, as long as nothing has been learned.
    """
    if progress.solved or progress.best_nats is None:
        return False
    share = progress.smooth_nats / max(1e-9, progress.best_nats)
    if progress.best_step == progress.step:
        return share > MUCH_MEMORISED
    length = config.steps - round_start(config)
    late = progress.best_step > config.steps - LATE_SHARE * length
    return share > (MEMORISED if late else UNLEARNED)


def next_round(progress: Progress, config: TrainingConfig, fitting: int) -> int | None:
    """Return the number of steps of the run with one more round, or None if it should end.

    Args:
        progress: the run at the end of a round, which has been validated.
        config: its configuration.
        fitting: steps for which there is time still. A round may be as short as the one before.
    """
    length = config.steps - round_start(config)
    if fitting < length or not more_may_help(progress, config):
        return None
    return config.steps + min(GROWTH * length, fitting)
