"""Steps that fit into the time that a run with `--minutes` has left."""

from collections.abc import Callable

from charrnn.cli.runs.environment import seconds_since_start


class TimeLeft:
    """Estimates how many steps fit into the rest of a budget, from the steps since its beginning.

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
        self.budget_seconds, self._until = budget_seconds, budget_seconds - closing_seconds
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        """Seconds until the final scoring must begin."""
        return self._until - self._clock()

    def fitting_steps(self, done: int, share: float) -> int:
        """Return how many steps take a share of the time that is left, if `done` were taken."""
        a_step = max(1e-9, (self._clock() - self._began) / max(1, done))
        return int(share * self.seconds / a_step)
