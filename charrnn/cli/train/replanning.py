"""Replanning: a run with `--minutes` changes its number of steps if the machine's speed changes.

The speed is measured before the first step, and a second program on the same cores may come or go
afterwards. What is decided is part of the configuration (`TrainingConfig.earlier_plans`), so that a
checkpoint knows the learning rate of every step, and the same options repeat the run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from charrnn.cli.runs.environment import seconds_since_start

CHECK_SHARE = 0.01
"""Share of the budget between two checks."""

TOLERANCE = 0.01
"""Predicted deviation from the budget, as a share of it, above which the run is planned again."""

MEMORY_SHARE = 0.04
"""Share of the budget over which the time of a step is averaged."""

SLOW_MEMORY_SHARE = 0.12
"""The same for what is not measured again: validations and the final scoring are expected to take
as much longer as steps do in this average. One of a moment would end a run too early."""

MAX_WEIGHT, MAX_RATIO = 0.25, 4.0
"""Largest weight of one step in that average, and its largest ratio to the average: another program
that stops the run for a moment says nothing about the steps after it."""

FIXED_SECONDS = 0.1
"""Added to the seconds of a validation and to what was expected, before they are compared: a short
one says little about the speed of the final scoring, which one process does too."""

FIRST_SHARE = 0.08
"""Share of the budget before the first check, in which the speed of steps is learned."""


@dataclass(frozen=True)
class Expected:
    """What was expected before the first step, in seconds.

    Args:
        budget: the whole command.
        step: one step.
        validation: one validation.
        closing: the final scoring.
    """

    budget: float
    step: float
    validation: float
    closing: float


class Replanning:
    """Predicts when a run ends, and says how many steps fit into its budget.

    Args:
        expected: the expected seconds, with which it begins.
        clock: returns the seconds since the command was started.
    """

    def __init__(
        self, expected: Expected, clock: Callable[[], float] = seconds_since_start
    ) -> None:
        self.expected, self._clock = expected, clock
        self._began = self._last = clock()
        self._first_check = self._began + FIRST_SHARE * expected.budget
        self._next_check = self._first_check
        self._step_seconds = self._slow_step_seconds = expected.step
        self._last_validation = expected.validation, expected.step
        """Seconds of the last validation, and of a step at that time."""
        self._steps = self._stepping = self._validating = 0.0

    def of_another(self, end: float) -> "Replanning":
        """Return that of a network that is trained next, with the speed of this one.

        Args:
            end: seconds since the command was started at which it is to end.
        """
        validation, step = self._last_validation
        validation *= self._slow_step_seconds / step
        return Replanning(Expected(end, self._step_seconds, validation, 0.0), self._clock)

    def fitting_steps(self, eval_every: int) -> int:
        """Return the steps that fit into the budget from now, with their validations."""
        each = self.expected.validation / eval_every if eval_every else 0.0
        left = self.expected.budget - self._clock()
        return int(left / (self.expected.step + each))

    def validated(self) -> None:
        """Note that a validation has ended; it began where the last step ended."""
        now = self._clock()
        self._validating += now - self._last
        self._last_validation = now - self._last, self._slow_step_seconds
        self._last = now

    def stepped(self, seconds: float) -> None:
        """Note that a step has ended, which took `seconds`."""
        limited = min(seconds, MAX_RATIO * self._step_seconds)
        share = seconds / self.expected.budget
        first = 1 / (1 + self._steps)
        weight = max(first, min(MAX_WEIGHT, share / MEMORY_SHARE))
        self._step_seconds += weight * (limited - self._step_seconds)
        weight = max(first, min(MAX_WEIGHT, share / SLOW_MEMORY_SHARE))
        self._slow_step_seconds += weight * (limited - self._slow_step_seconds)
        self._steps += 1
        self._stepping += seconds
        self._last = self._clock()

    def steps(self, done: int, planned: int, eval_every: int) -> int | None:
        """Return the new number of steps of the run, or None if the plan is kept.

        Args:
            done: the steps taken.
            planned: the steps of the present plan.
            eval_every: steps between validations.
        """
        now = self._clock()
        if done >= planned:  # a plan that has ended cannot be stretched, only begun again
            return None
        left = (planned - done) * self._step_seconds
        ending = now > self._first_check and left < CHECK_SHARE * self.expected.budget
        if now < self._next_check and not ending:  # a run must not end before the next check
            return None
        self._next_check = now + CHECK_SHARE * self.expected.budget
        a_step = self._step_seconds + self._overhead(now)
        due = -(-planned // eval_every) - done // eval_every if eval_every else 1
        validation, step = self._last_validation
        validation *= self._slow_step_seconds / step
        slower = (validation + FIXED_SECONDS) / (self.expected.validation + FIXED_SECONDS)
        left = self.expected.budget - now - due * validation - slower * self.expected.closing
        fewest = min(2, planned - done)  # another check before the end
        fitting = done + max(fewest, round(left / a_step))
        if abs(fitting - planned) * a_step <= TOLERANCE * self.expected.budget:
            return None
        return fitting

    def _overhead(self, now: float) -> float:
        """Return the seconds of a step that pass outside training: for saves, rows, the display."""
        outside = now - self._began - self._stepping - self._validating
        return max(0.0, outside) / max(1.0, self._steps)
