"""What happens in a run, as plain values: a step, a validation, a look at the gradient, the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from charrnn.types import Array


@dataclass(frozen=True)
class Step:
    """One step was taken; losses in nats per character, norms of the whole gradient."""

    step: int
    steps: int
    epoch: float
    characters: int
    nats: float
    smooth_nats: float
    gradient_norm: float
    gradient_norm_clipped: float
    lr: float
    chars_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """What is held out was scored, in nats per character; `metrics` holds all there is to log."""

    step: int
    nats: float
    best: bool
    best_nats: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Stopped:
    """Training is over, and why: `finished`, `solved`, `plateau` or `interrupted`."""

    step: int
    reason: str


@dataclass(frozen=True)
class GradientSnapshot:
    """What a watcher saw at a step: norms before clipping, ‖Δw‖/‖w‖, and now and then R by lag."""

    step: int
    gradient_norms: dict[str, float]
    update_to_weight: dict[str, float]
    gradient_by_lag: dict[str, Any] | None
    profile_every: int


class GradientObserver(Protocol):
    """Sees each gradient and each update, and changes neither."""

    def before_update(self, gradient: Array) -> None:
        """Look at the whole gradient before it is clipped and used up."""

    def after_update(self) -> GradientSnapshot | None:
        """Return what there is to see after the update."""


Event = Step | Evaluation | GradientSnapshot | Stopped
