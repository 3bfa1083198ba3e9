"""Learning-rate schedules: a linear warm-up, then a constant, cosine or stepwise rate."""

import math
from collections.abc import Callable

FINAL_LR_FRACTION = 0.02
"""Final value of the cosine schedule, as a fraction of the learning rate."""


def constant(done: float) -> float:
    """Return 1 for all `done`, the fraction of the run from 0 to 1."""
    return 1.0


def cosine(done: float) -> float:
    """Fall from 1 to `FINAL_LR_FRACTION` along half a cosine.

    Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts.
    """
    return FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * (1 + math.cos(math.pi * done)) / 2


def step(done: float) -> float:
    """Halve at 1/2, 5/8, 3/4 and 7/8 of the run.

    Example:
        >>> step(0.4), step(0.5), step(1.0)
        (1.0, 0.5, 0.0625)
    """
    return 0.5 ** sum(done >= mark for mark in (0.5, 0.625, 0.75, 0.875))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
}
"""Schedules by name: functions from the fraction of the run after the warm-up, 0 to 1, to the
fraction of the learning rate."""


def lr_at_step(lr: float, schedule: str, warmup_steps: int, at: int, steps: int) -> float:
    """Return the learning rate of one training step: a linear warm-up, then the schedule.

    Args:
        lr: the largest learning rate.
        schedule: a key of `SCHEDULES`.
        warm_up: steps over which the rate rises linearly to `lr`.
        at: the number of the step, from 0.
        steps: the number of steps of the run.

    Example:
        >>> [lr_at_step(0.4, "constant", 4, at, 100) for at in (0, 1, 3, 99)]
        [0.1, 0.2, 0.4, 0.4]
    """
    if at < warmup_steps:
        return lr * (at + 1) / warmup_steps
    return lr * SCHEDULES[schedule]((at - warmup_steps) / max(1, steps - warmup_steps))
