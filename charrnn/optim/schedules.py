"""Learning-rate schedules: a linear warm-up, then a constant, cosine or stepwise rate."""

import math
from collections.abc import Callable

FINAL_LR_FRACTION = 0.02
"""What the cosine schedule ends at, as a fraction of the learning rate."""


def constant(done: float) -> float:
    """Return 1 at all times."""
    return 1.0


def cosine(done: float) -> float:
    """Fall from 1 to `FINAL_LR_FRACTION` along half a cosine.

    Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts.
    """
    return FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * (1 + math.cos(math.pi * done)) / 2


def step(done: float) -> float:
    """Halve at 1/2, 5/8, 3/4 and 7/8 of the run."""
    return 0.5 ** sum(done >= mark for mark in (0.5, 0.625, 0.75, 0.875))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
}


def lr_at_step(lr: float, schedule: str, warm_up: int, at: int, steps: int) -> float:
    """Return the rate of step `at` (from 0) of `steps`: a linear warm-up, then the schedule."""
    if at < warm_up:
        return lr * (at + 1) / warm_up
    return lr * SCHEDULES[schedule]((at - warm_up) / max(1, steps - warm_up))
