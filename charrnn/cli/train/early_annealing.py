"""Early annealing: a run on pairs of texts is short once nearly all of its answers are right.

The last wrong answers of a validation are corrected by a low learning rate rather than by many
steps. Once nearly all are right, a run with `--minutes` is therefore planned to end soon, so that
its learning rate falls to the last value. If some are wrong at that end, training goes on from the
full learning rate for the time that is left.
"""

import math

from charrnn.cli.train.time_left import TimeLeft
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


class EarlyAnnealing(TimeLeft):
    """Says how many steps a run has once nearly all validation answers are right.

    Attributes:
        active: whether the learning rate is falling to an early end; the run is then not planned
            again to fill its time.
        started: whether it ever was.
    """

    active = False
    started = False

    @classmethod
    def of(
        cls, prepared: PreparedData, minutes: float | None, closing_seconds: float
    ) -> "EarlyAnnealing | None":
        """Return the early annealing of a run; None without a time or without right answers."""
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
            return self._another_attempt(event.step) if self.active and right < 1 else None
        if self.started or right < NEARLY_ALL:
            return None
        more = max(MORE_VALIDATIONS * config.eval_every, math.ceil(MORE_STEPS * event.step))
        # A run has a warm-up of a third of its steps at most, when it is repeated too.
        steps = max(event.step + more, math.ceil(config.warmup_steps / MAX_WARMUP_SHARE))
        if steps >= config.steps:
            return None
        self.active = self.started = True
        return steps

    def _another_attempt(self, done: int) -> int | None:
        """Return the steps of a run that goes on for the time that is left; None if it is short."""
        self.active = False
        if self.seconds < LEAST_TIME_LEFT * self.budget_seconds:
            return None
        return done + max(1, self.fitting_steps(done, TIME_SHARE))
