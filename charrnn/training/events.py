"""Events of a training run: step, validation, gradient snapshot and end, as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from charrnn.types import Array


@dataclass(frozen=True)
class Step:
    """One update: losses in nats per character, norms of the whole gradient, its seconds."""

    step: int
    steps: int
    epoch: float
    characters: int
    nats: float
    smooth_nats: float
    gradient_norm: float
    gradient_norm_clipped: float
    lr: float
    seconds: float
    chars_per_second: float


@dataclass(frozen=True)
class NonFinite:
    """A loss or gradient that was not finite: no update was made at this step.

    `problem` says what was not finite. `restored` is the step whose weights were restored, or None
    if the weights were kept. `lr_scale` is the factor on the learning rate from now on.
    """

    step: int
    problem: str
    restored: int | None
    lr_scale: float


@dataclass(frozen=True)
class Evaluation:
    """One validation: loss in nats per character; `metrics` holds all values to log.

    `is_one_stream` says whether it is that of a text as one sequence, to rounding.
    """

    step: int
    nats: float
    best: bool
    best_nats: float
    metrics: Mapping[str, float]
    is_one_stream: bool = False
    best_exact_match: float | None = None
    """As in `Progress`."""


@dataclass(frozen=True)
class Stopped:
    """End of training; `reason` is `finished`, `solved`, `plateau` or `interrupted`."""

    step: int
    reason: str


@dataclass(frozen=True)
class GradientSnapshot:
    """Gradient norms before clipping and ‖Δw‖/‖w‖ of a step, and at some steps R by lag."""

    step: int
    gradient_norms: dict[str, float]
    update_to_weight: dict[str, float]
    gradient_by_lag: dict[str, Any] | None
    profile_every: int


class GradientObserver(Protocol):
    """Observer that is called before and after each update and must change nothing."""

    def before_update(self, gradient: Array) -> None:
        """Read the whole gradient before clipping; the update may overwrite it."""

    def after_update(self) -> GradientSnapshot | None:
        """Return a snapshot after the update, or None if none is due."""


Event = Step | NonFinite | Evaluation | GradientSnapshot | Stopped
