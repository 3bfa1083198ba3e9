"""Learning-rate schedules: a linear warm-up, then a constant, cosine or stepwise rate."""

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from charrnn.errors import UsageError
from charrnn.limits import format_value

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


def lr_at_step(
    lr: float,
    schedule: str,
    warmup_steps: int,
    at: int,
    steps: int,
    earlier_plans: Sequence[tuple[int, int]] = (),
) -> float:
    """Return the learning rate of one training step: a linear warm-up, then the schedule.

    Args:
        lr: the largest learning rate.
        schedule: a key of `SCHEDULES`.
        warmup_steps: steps over which the rate rises linearly to `lr`.
        at: the number of the step, from 0.
        steps: the number of steps of the run.
        earlier_plans: pairs (until, total) in rising order: before step `until` the run was planned
            to have `total` steps. Where a plan changes, the schedule goes on from where it is, and
            reaches its end with the last step of the new plan. Where a plan had ended, with `until`
            its `total`, the schedule begins again (warm restarts: Loshchilov & Hutter 2017).

    Example:
        >>> [lr_at_step(0.4, "constant", 4, at, 100) for at in (0, 1, 3, 99)]
        [0.1, 0.2, 0.4, 0.4]
        >>> [round(lr_at_step(0.4, "cosine", 0, at, 8, [(4, 4)]), 3) for at in (0, 3, 4, 6)]
        [0.4, 0.065, 0.4, 0.204]
    """
    if at < warmup_steps:
        return lr * (at + 1) / warmup_steps
    start, done = warmup_steps, 0.0
    for until, total in earlier_plans:
        if until > start:
            if at < until:
                return lr * SCHEDULES[schedule](advanced(done, at - start, total - start))
            done = advanced(done, until - start, total - start) if until < total else 0.0
            start = until
    return lr * SCHEDULES[schedule](advanced(done, at - start, steps - start))


def advanced(done: float, steps: int, of: int) -> float:
    """Return the fraction of the run after more steps, of those that lead from `done` to 1."""
    return done + (1 - done) * min(1.0, steps / max(1, of))


MAX_PLANS = 1000
"""Most changes of plan of a run."""

PLAN = re.compile(r"([0-9]{1,15}):([0-9]{1,15})")


@lru_cache
def parse_plans(text: str) -> tuple[tuple[int, int], ...]:
    """Return the pairs of `earlier_plans` from their text.

    Raises:
        UsageError: if it is no list UNTIL:STEPS,… with rising UNTIL, none above its STEPS.

    Example:
        >>> parse_plans("300:1500,600:1350")
        ((300, 1500), (600, 1350))
    """
    plans: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        match = PLAN.fullmatch(part)
        if match is None or len(plans) >= MAX_PLANS:
            raise UsageError(
                f"--earlier-plans has {format_value(part)}; it must be UNTIL:STEPS,UNTIL:STEPS,…",
                "--earlier-plans 300:1500",
            )
        until, total = int(match[1]), int(match[2])
        if not (plans[-1][0] if plans else 0) < until <= total:
            raise UsageError(
                f"--earlier-plans has {format_value(part)}; UNTIL must rise, and be at most STEPS",
                "--earlier-plans 300:1500",
            )
        plans.append((until, total))
    return tuple(plans)


@lru_cache
def completed_plans(text: str) -> frozenset[int]:
    """Return the steps of `earlier_plans` at which a plan was at its end: a new round begins there.

    Raises `UsageError` as `parse_plans`.

    Example:
        >>> sorted(completed_plans("300:300,600:1350,900:900"))
        [300, 900]
    """
    return frozenset(until for until, total in parse_plans(text) if until == total)
