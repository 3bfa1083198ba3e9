"""Training configuration and progress of a run: plain values that a checkpoint stores."""

from dataclasses import Field, dataclass, field, fields
from typing import Any

from charrnn.errors import UsageError
from charrnn.limits import TRAINING_LIMITS, check_fields, unknown
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.optim.schedules import SCHEDULES, completed_plans, parse_plans

BACKENDS = ("numpy", "numba")
"""Compute backends by name; `training.backends` has their code."""

NONFINITE_POLICIES = ("stop", "skip", "rollback")
"""What training can do at a loss or gradient that is not finite."""

STORED_AS = "stored_as"
"""Key of a field's metadata: the name under which files store the field, if it has another."""


def stored_name(item: "Field[Any]") -> str:
    """Return the name of a field in checkpoints, run.json and `info --json`."""
    return str(item.metadata.get(STORED_AS, item.name))


@dataclass(frozen=True)
class TrainingConfig:
    """Training configuration: everything except the data and the model that fixes a run's numbers.

    Raises `UsageError` for a value outside its range or an unknown name. Files store some fields
    under earlier names (`stored_name`).

    Example:
        >>> TrainingConfig(steps=1000, batch_size=16).as_dict()["batch"]
        16
    """

    steps: int
    """Number of updates, at least 0; the learning-rate schedule ends there."""
    optimiser: str = "adagrad"
    """Name in `OPTIMISERS`."""
    lr: float = 0.4
    """Peak learning rate, above 0. 0.4 suits Adagrad; other optimisers have their `default_lr`."""
    schedule: str = "cosine"
    """Name in `SCHEDULES`: how the learning rate falls after the warm-up."""
    warmup_steps: int = field(default=100, metadata={STORED_AS: "warm_up"})
    """Steps in which the learning rate rises linearly to `lr`, at least 0."""
    weight_decay: float = 0.0
    """Decoupled weight decay, from 0 to 1000: a matrix W loses lr · weight_decay · W each step."""
    clip_norm: float | None = 0.25
    """Largest norm of the whole gradient, above 0, to which it is scaled; None: no clipping."""
    clip_value: float | None = None
    """Largest absolute value of a gradient element, above 0; None: no clipping."""
    seq_length: int = 64
    """Characters of a batch row, T: truncated BPTT goes back at most so far. Unused for pairs."""
    batch_size: int = field(default=32, metadata={STORED_AS: "batch"})
    """Sequences trained in parallel, B, at least 1."""
    state_reset_prob: float = field(default=0.05, metadata={STORED_AS: "reset_rate"})
    """Probability, from 0 to 1, that a sequence starts a batch from the zero state.

    Above 0 because sampling starts from the zero state, which training must have seen.
    """
    loss: str = "mean"
    """`mean` or `sum` of the cross-entropies of a batch; `sum` is that of min-char-rnn."""
    balance: float = 0.0
    """Power, from 0 to 1, of the inverse frequency that weighs labels of pairs in the loss
    (`charrnn.data.label_weights`); 0: all alike. Losses that are reported stay unweighted."""
    label_smoothing: float = 0.0
    """Share of each target, from 0 to below 1, that goes to all symbols alike in the loss that is
    minimised (Szegedy et al. 2016, arXiv 1512.00567). Losses that are reported stay unsmoothed."""
    ema_decay: float = field(default=0.0, metadata={STORED_AS: "average"})
    """Decay of the exponential moving average of the weights, from 0 to 1; 0: no average."""
    eval_every: int = 0
    """Steps between validations; 0: only one, at the end."""
    val_limit: int = 0
    """Characters of the validation text, the first ones, that a validation reads at most; 0: as
    many as `charrnn.training.dataset` allows. Unused for pairs."""
    patience: int = 0
    """Validations in a row without a new best after which training ends; 0: never."""
    earlier_plans: str = ""
    """Earlier numbers of steps, UNTIL:STEPS,…: until then the run was planned to have so many.

    The schedule is that of the plan of the time; where UNTIL is STEPS, that plan had ended, was
    validated, and the schedule began again. See `optim.schedules.lr_at_step`.
    """
    seed: int = 0
    """Seed of all random numbers, from 0 to 2⁶³ - 1."""
    workers: int = 1
    """Processes that share each batch, from 1 to 256."""
    backend: str = field(default="numpy", metadata={STORED_AS: "kernel"})
    """Name in `BACKENDS`."""
    on_nonfinite: str = "stop"
    """What happens at a loss or gradient that is not finite: one of `NONFINITE_POLICIES`.

    `stop` ends the run with `DivergedError`. `skip` makes no update at that step, as
    `optax.apply_if_finite`. `rollback` restores weights and optimiser of an earlier step, halves
    the learning rate, and goes on with the batches that follow (PaLM, Chowdhery et al. 2022,
    arXiv 2204.02311, section 5.1).
    """

    def __post_init__(self) -> None:
        for name, registry in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("backend", BACKENDS),
        ):
            if (value := getattr(self, name)) not in registry:
                raise unknown(name, value, registry)
        if self.on_nonfinite not in NONFINITE_POLICIES:
            raise unknown("policy for --on-nonfinite", self.on_nonfinite, NONFINITE_POLICIES)
        parse_plans(self.earlier_plans)
        if self.loss not in ("mean", "sum"):
            raise UsageError(f"the loss is {self.loss!r}; it must be 'mean' or 'sum'")
        check_fields(TRAINING_LIMITS, self)

    @property
    def completed_plans(self) -> frozenset[int]:
        """Steps at which a plan was at its end and the schedule began again."""
        return completed_plans(self.earlier_plans)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values, by the names under which files store them."""
        return {stored_name(item): getattr(self, item.name) for item in fields(self)}


@dataclass
class Progress:
    """Position of a run: together with the arrays, all that an exact resume needs."""

    step: int = 0
    """Updates made so far."""
    smooth_nats: float = 0.0
    """Training loss in nats per symbol, as an exponential moving average over steps."""
    best_nats: float | None = None
    """Loss of the best validation in nats per symbol; None before the first validation."""
    best_exact_match: float | None = None
    """Its share of answers that are exactly right, where that decides which is best; else None."""
    best_step: int = 0
    """Step of the best validation."""
    since_best: int = 0
    """Validations since the best one."""
    last_nats: float | None = None
    """Validation loss of the last validation; None before the first one."""
    evaluated: int = 0
    """Step of the last validation; a validation that was interrupted is repeated on resume."""
    solved: bool = False
    """Whether the last validation found every answer right (pairs only), which ends the run."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite, and which made no update."""
    nonfinite: int = 0
    """Those of them, or rollbacks, in a row."""
    lr_scale: float = 1.0
    """Factor on the learning rate: each rollback halves it."""

    def is_best(self, nats: float, exact_match: float | None = None) -> bool:
        """Return whether a validation is better than the best so far.

        Args:
            nats: its loss, which decides, or ties only if there is an exact match.
            exact_match: its share of answers that are exactly right; None to leave it out.

        Example:
            >>> Progress(best_nats=0.2, best_exact_match=0.5).is_best(0.3, exact_match=0.6)
            True
        """
        if self.best_nats is None:
            return True
        if exact_match is None:
            return nats < self.best_nats
        return (-exact_match, nats) < (-(self.best_exact_match or 0.0), self.best_nats)

    def validation_due(self, config: TrainingConfig) -> bool:
        """Whether this step should be validated and has not been yet."""
        if self.step <= self.evaluated:
            return False
        due = config.eval_every and self.step % config.eval_every == 0
        return bool(due) or self.step >= config.steps or self.step in config.completed_plans

    def finished(self, config: TrainingConfig) -> bool:
        """Whether the planned end was reached and validated, or another end came before it."""
        at_end = self.evaluated >= self.step >= config.steps
        return at_end or self.solved or self.on_plateau(config)

    def on_plateau(self, config: TrainingConfig) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        return 0 < config.patience <= self.since_best
