"""Early end of a run on pairs of texts: once nearly all answers are right, the rest is short.

The last few wrong answers of a validation are mended by a low learning rate rather than by many
steps. A run with `--minutes` that has nearly all answers right is therefore planned to end soon. If
some are wrong at that end, the time that is left is used from the full learning rate on.
"""

import math
from collections.abc import Callable

from charrnn.cli.runs.environment import seconds_since_start
from charrnn.training.events import Evaluation
from charrnn.training.prepared_data import PreparedData, PreparedPairs
from charrnn.training.presets import MAX_WARMUP_SHARE
from charrnn.training_config import TrainingConfig

NEARLY_ALL = 0.99
"""Share of right answers from which on a run is planned to end soon."""

MORE_STEPS = 0.5
"""Steps that follow, as a share of those taken."""

MORE_VALIDATIONS = 2
"""Validations that follow at least."""

LEAST_TIME_LEFT = 0.2
"""Share of the budget that must be left for another attempt."""

TIME_SHARE = 0.95
"""Largest share of the time left that another attempt is planned to take."""


class EarlyEnd:
    """Says how many steps a run has once nearly all validation answers are right.

    Args:
        budget_seconds: seconds of the whole command.
        closing_seconds: seconds of the final scoring.
        clock: returns the seconds since the command was started.
    """

    def __init__(
        self,
        budget_seconds: float,
        closing_seconds: float,
        clock: Callable[[], float] = seconds_since_start,
    ) -> None:
        self._budget, self._seconds = budget_seconds, budget_seconds - closing_seconds
        self._clock = clock
        self._began = clock()
        self.is_near = False
        """Whether the end is near: the run is then not stretched to fill its time."""
        self.was_used = False
        """Whether the end came near at some time."""

    @classmethod
    def of(
        cls, prepared: PreparedData, minutes: float | None, closing_seconds: float
    ) -> "EarlyEnd | None":
        """Return the early end of a run; None for one without a time or without right answers."""
        if minutes is None or not isinstance(prepared, PreparedPairs):
            return None
        layout = prepared.symbols.layout_spec
        if not layout.answer_is_text or layout.is_sampled:
            return None
        return cls(60 * minutes, closing_seconds)

    def steps(self, event: Evaluation, config: TrainingConfig) -> int | None:
        """Return the new number of steps after a validation; None to keep the plan."""
        right = event.metrics.get("exact_match", 0.0)
        if event.step >= config.steps:
            return self._another_attempt(event.step) if self.is_near and right < 1 else None
        if self.was_used or right < NEARLY_ALL:
            return None
        more = max(MORE_VALIDATIONS * config.eval_every, math.ceil(MORE_STEPS * event.step))
        # A run has a warm-up of a third of its steps at most, when it is repeated too.
        steps = max(event.step + more, math.ceil(config.warmup_steps / MAX_WARMUP_SHARE))
        if steps >= config.steps:
            return None
        self.is_near = self.was_used = True
        return steps

    def _another_attempt(self, done: int) -> int | None:
        """Return the steps of a run that goes on for the time that is left."""
        now = self._clock()
        left = self._seconds - now
        self.is_near = False
        if left < LEAST_TIME_LEFT * self._budget:
            return None
        a_step = max(1e-9, (now - self._began) / max(1, done))
        return done + max(1, int(TIME_SHARE * left / a_step))
