"""How many networks a run on pairs has, how they share its time, and the plans of those after the
first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from charrnn.cli.runs.environment import seconds_since_start
from charrnn.data.pair_ngrams import DEFAULT_ORDER
from charrnn.errors import UsageError
from charrnn.limits import MAX_SIZE, format_value
from charrnn.optim.schedules import parse_plans
from charrnn.training.pair_presets import networks_by_time
from charrnn.training.prepared_data import PreparedData, PreparedPairs
from charrnn.training.presets import Budget

DEFAULT_NETWORKS = 4
"""Networks of a run in rounds at most."""

MAX_NETWORKS = 16
"""Most networks that can be asked for."""

DEFAULT_NGRAMS = DEFAULT_ORDER
"""N of the longest n-grams of a run on labels with `--minutes`."""

NGRAMS, PLANNED = "ngrams", "planned_networks"
"""Keys of run.json: n of the longest n-grams, and the networks that a run is to have."""

BETWEEN_NETWORKS = "/"
"""Between the plans of two networks."""


@dataclass(frozen=True)
class StepPlan:
    """The plan of a network: its steps, and the earlier plans of it.

    Args:
        earlier_plans: see `TrainingConfig.earlier_plans`.
        steps: the steps of the last plan.
    """

    earlier_plans: str
    steps: int

    def __str__(self) -> str:
        return f"{self.earlier_plans},{self.steps}" if self.earlier_plans else str(self.steps)


def parse_network_plans(text: str) -> tuple[StepPlan, ...]:
    """Return the plans of `--network-plans`: UNTIL:STEPS,…,STEPS, a / between networks.

    Raises `UsageError` for another form.

    Example:
        >>> [str(plan) for plan in parse_network_plans("900/300:1000,950")]
        ['900', '300:1000,950']
    """
    plans = []
    for part in text.split(BETWEEN_NETWORKS):
        earlier, _, steps = part.rpartition(",")
        last = max((until for until, _ in parse_plans(earlier)), default=0)
        if STEPS.fullmatch(steps) is None or int(steps) <= last:
            raise UsageError(
                f"--network-plans has {format_value(part)}; it must be UNTIL:STEPS,…,STEPS for "
                f"each network, {BETWEEN_NETWORKS} between two",
                "--network-plans 900",
            )
        plans.append(StepPlan(earlier, int(steps)))
    return tuple(plans)


STEPS = re.compile(r"[0-9]{1,15}")
"""The steps of the last plan of a network."""


@dataclass(frozen=True)
class NetworkPlan:
    """How many networks a run has, and whether n-grams are mixed in.

    Args:
        count: networks at most, the first one included.
        until: seconds since the command was started by which the last must be trained; None: no
            limit.
        ngrams: n of the longest n-grams; 0: none.
        shares_time: whether the time is divided equally among the networks. Otherwise the first
            one has all of it, and others as much as the first one leaves.
        given: the plans of the networks after the first, if they were given.
        clock: returns the seconds since the command was started.
    """

    count: int
    until: float | None = None
    ngrams: int = 0
    shares_time: bool = False
    given: tuple[StepPlan, ...] = ()
    clock: Callable[[], float] = seconds_since_start

    @property
    def is_plain(self) -> bool:
        """Whether the model is the first network alone."""
        return self.count < 2 and not self.ngrams

    @property
    def planned(self) -> int:
        """The networks that a run is to have, resumed or not: not those that time may allow."""
        return self.count if self.shares_time or self.until is None else 1


def networks_sharing_time(
    wanted: int | None, prepared: PreparedData, budget: Budget, *, alone: bool
) -> int:
    """Return among how many networks the minutes of a run are divided; 1 if they are not.

    Runs on labels are not divided: they are trained in rounds, which may leave time.

    Args:
        wanted: the number asked for; None: by default.
        prepared: the data.
        budget: the time, epochs or steps of the run.
        alone: whether one network is the default whatever the time.
    """
    if budget.minutes is None or not isinstance(prepared, PreparedPairs):
        return 1
    layout = prepared.symbols.layout_spec
    if layout.classifies:
        return 1
    if wanted is not None:
        return wanted
    return 1 if alone else networks_by_time(layout, len(prepared.dataset.train), budget)


def budget_of_first(budget: Budget, sharing: int) -> Budget:
    """Return the budget of the first of the networks that share the minutes."""
    return replace(budget, minutes=budget.minutes / sharing) if budget.minutes else budget


def networks_in(
    wanted: int | None,
    hidden: int,
    budget: Budget,
    *,
    in_rounds: bool,
    closing_seconds: float,
    ngrams: int | None = None,
    classifies: bool = True,
    sharing: int = 1,
    validation_seconds: float = 0.0,
    given: tuple[StepPlan, ...] = (),
) -> NetworkPlan:
    """Return how many networks a run has, and whether n-grams are mixed in.

    Args:
        wanted: the number asked for; None: by default.
        hidden: the units of each. The merged network has those of all, up to `MAX_SIZE`.
        budget: the time, epochs or steps of the run.
        in_rounds: whether it is trained in rounds, which may leave time.
        closing_seconds: seconds of the final scoring of one network.
        ngrams: n of the n-grams asked for; None: by default.
        classifies: whether answers are labels of texts.
        sharing: the networks among which the minutes are divided.
        validation_seconds: seconds of one validation of one network.
        given: the plans of the networks after the first, if they were given.

    Raises `UsageError` for more units than a network can have.
    """
    most = max(1, MAX_SIZE // hidden)
    if wanted is not None and wanted > most:
        raise UsageError(
            f"--networks {wanted} of {hidden:,} units are more than the {MAX_SIZE:,} that one "
            "network can have",
            f"--networks {most}",
        )
    count = wanted or (min(most, DEFAULT_NETWORKS) if in_rounds else sharing)
    until = None
    if budget.minutes is not None:
        until = 60 * budget.minutes - closing_seconds
        if sharing > 1:
            until -= validation_seconds * merged_scorings(count)
    if ngrams is None:
        ngrams = DEFAULT_NGRAMS if classifies and until is not None else 0
    return NetworkPlan(count, until, ngrams, shares_time=sharing > 1, given=given)


def merged_scorings(count: int) -> int:
    """Return the seconds that scoring a mean takes besides one network, in validations of one.

    The merged network is scored twice, before it is saved and at the end, and each network once.
    Its dense matrices make it slower with the square of the number: two networks answer in 3.9
    times the time of one.

    Example:
        >>> merged_scorings(2)
        9
    """
    return 2 * count**2 + count - 1
