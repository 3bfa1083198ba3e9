"""How to train, and where a run stands: plain values that a checkpoint stores."""

from dataclasses import dataclass, fields

from charrnn.errors import UsageError
from charrnn.limits import TRAINING_LIMITS, check_fields, unknown
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.optim.schedules import SCHEDULES

BACKENDS = ("numpy", "numba")
"""Compute backends by name; `training.backends` has their code."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; `UsageError` if it makes no sense. The seed and these fix every number."""

    steps: int
    optimiser: str = "adagrad"
    lr: float = 0.4
    schedule: str = "cosine"
    warm_up: int = 100
    weight_decay: float = 0.0
    clip_norm: float | None = 0.25
    clip_value: float | None = None
    seq_length: int = 64
    batch: int = 32
    reset_rate: float = 0.05
    loss: str = "mean"
    average: float = 0.0
    eval_every: int = 0
    patience: int = 0
    seed: int = 0
    workers: int = 1
    kernel: str = "numpy"

    def __post_init__(self) -> None:
        for name, registry in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("kernel", BACKENDS),
        ):
            if (value := getattr(self, name)) not in registry:
                raise unknown(name, value, registry)
        if self.loss not in ("mean", "sum"):
            raise UsageError(f"the loss is {self.loss!r}; it must be 'mean' or 'sum'")
        check_fields(TRAINING_LIMITS, self)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass
class Progress:
    """Where a run stands: with the arrays, all that an exact resume needs."""

    step: int = 0
    smooth_nats: float = 0.0
    best_nats: float | None = None
    best_step: int = 0
    since_best: int = 0
    last_nats: float | None = None
    evaluated: int = 0
    """The step of the last validation, so that an interrupted one is made up for."""
    solved: bool = False
    """Whether there is nothing left to learn: the last validation found no fault."""

    def validation_due(self, config: TrainingConfig) -> bool:
        """Whether this step should be validated and has not been yet."""
        if self.step <= self.evaluated:
            return False
        due = config.eval_every and self.step % config.eval_every == 0
        return bool(due) or self.step >= config.steps

    def finished(self, config: TrainingConfig) -> bool:
        """Whether the planned end was reached and validated, or another end came before it."""
        at_end = self.evaluated >= self.step >= config.steps
        return at_end or self.solved or self.on_plateau(config)

    def on_plateau(self, config: TrainingConfig) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        return 0 < config.patience <= self.since_best
