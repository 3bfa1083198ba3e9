"""Presets: default settings of a run, chosen by text length and training budget.

The `default` preset chooses the hidden size by the minutes given, and more dropout for more units,
more epochs and shorter texts. It was chosen on the built-in corpora and on inner splits of the
training parts of two more texts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

from charrnn.data.text_batches import shrink_batch_shape
from charrnn.errors import UsageError
from charrnn.limits import BUDGET_LIMITS, check_fields, unknown
from charrnn.nn.cells import CELLS, Cell, LSTMCell
from charrnn.nn.model_config import ModelConfig
from charrnn.optim.optimisers import OPTIMISERS, Adagrad
from charrnn.training_config import TrainingConfig

Settings: TypeAlias = dict[str, Any]
"""Fields of `ModelConfig` and `TrainingConfig` by name."""


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of minutes (of wall time), epochs or steps."""

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None
    relative_speed: float = 1.0
    """Measured characters per second of training, as a share of `typical_speed`; 1 before the
    measurement."""

    def __post_init__(self) -> None:
        budget = {"minutes": self.minutes, "epochs": self.epochs, "steps": self.steps}
        given = {name: value for name, value in budget.items() if value is not None}
        if len(given) != 1:
            raise UsageError("give exactly one of --minutes, --epochs and --steps", "--minutes 3")
        check_fields(BUDGET_LIMITS, self)

    def epochs_of(self, characters: int, hidden: int, characters_per_step: int) -> float:
        """Return the estimated number of epochs over a text of `characters` characters."""
        if self.epochs is not None:
            return self.epochs
        if self.steps is not None:
            return self.steps * characters_per_step / characters
        rate = typical_speed(hidden) * self.relative_speed
        return 60 * (self.minutes or 0) * rate / characters

    @property
    def typical_minutes(self) -> float:
        """The minutes in which a machine of the typical speed trains as much; 3 by default."""
        return 3.0 if self.minutes is None else self.minutes * self.relative_speed

    def steps_of(self, steps_per_epoch: int) -> int | None:
        """Return the number of steps, or None if time decides."""
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return max(1, round(self.epochs * steps_per_epoch))
        return None


def typical_speed(hidden: int) -> float:
    """Return roughly the characters per second of one LSTM layer where the sizes were chosen.

    That is on two cores with AVX-512; with AVX2 it is about half as many.
    """
    return 70_000.0 * math.pow(256 / max(1, hidden), 1.7)


def default(characters: int, budget: Budget, hidden: int | None) -> Settings:
    """Return a hidden size chosen by minutes and speed, with dropout chosen by size and epochs."""
    minutes = budget.typical_minutes
    fitting = next((H for H, enough in HIDDEN_BY_MINUTES if minutes < enough), MAX_PRESET_HIDDEN)
    return regularised(hidden or fitting, characters, budget)


def small(characters: int, budget: Budget, hidden: int | None) -> Settings:
    """Return settings of a small network, for a first run or a slow machine."""
    return regularised(hidden or MIN_PRESET_HIDDEN, characters, budget)


def large(characters: int, budget: Budget, hidden: int | None) -> Settings:
    """Return settings of a large network, for half an hour or more."""
    return regularised(hidden or MAX_PRESET_HIDDEN, characters, budget)


def regularised(hidden: int, characters: int, budget: Budget) -> Settings:
    """Return cell, dropout, decay and optimiser for a hidden size, a text length and a budget.

    Muon is chosen for the sizes on which it was compared with Adagrad.
    """
    passes = budget.epochs_of(characters, hidden, TYPICAL_CHARS_PER_STEP)
    settings: Settings = {
        "cell": TEXT_CELL,
        "hidden": hidden,
        "weight_decay": decay_for_width(hidden),
    }
    if hidden <= MAX_MUON_HIDDEN:
        return settings | {"optimiser": "muon"} | muon_dropout(passes, hidden, characters)
    weighed = weighed_epochs(passes, hidden, characters)
    for rate, enough in DROPOUT_BY_EPOCHS:
        if weighed < enough:
            return settings | {"dropout": rate}
    return settings | {"weight_decay": WEIGHT_DECAY} | MANY_EPOCHS


def weighed_epochs(epochs: float, hidden: int, characters: int) -> float:
    """Return epochs · (units / 256)² · √(10⁶ / characters), which the dropout depends on.

    A network overfits the sooner, the more units it has and the shorter the text is.
    """
    return epochs * (hidden / 256) ** 2 * math.sqrt(1e6 / max(1, characters))


def muon_dropout(epochs: float, hidden: int, characters: int) -> Settings:
    """Return the dropout for a run with Muon on a text, or on pairs of texts."""
    weighed = weighed_epochs(epochs, hidden, characters)
    for rate, enough in MUON_DROPOUT_BY_EPOCHS:
        if weighed < enough:
            return {"dropout": rate}
    return MANY_EPOCHS


TYPICAL_CHARS_PER_STEP = 2048
"""Characters of a batch by default: 64 time steps times 32 sequences."""

MIN_PRESET_HIDDEN, MAX_PRESET_HIDDEN = 128, 768
HIDDEN_BY_MINUTES = ((MIN_PRESET_HIDDEN, 0.3), (256, 0.75), (384, 6), (512, 60))
"""Pairs (hidden size of the single layer, typical minutes below which it is chosen); for
longer runs `MAX_PRESET_HIDDEN`."""

DROPOUT_BY_EPOCHS = ((0.0, 6), (0.1, 8), (0.25, 24), (0.4, 40))
"""Pairs (dropout rate, bound): the rate applies below a bound of `weighed_epochs`."""
MUON_DROPOUT_BY_EPOCHS = ((0.0, 10), (0.1, 15), (0.25, 25), (0.5, 60))
"""The same with Muon, whose weight decay of the matrices leaves less to dropout."""

MAX_MUON_HIDDEN, MAX_MUON_LAYERS = 512, 2
"""Largest hidden size and number of layers on which Muon was compared with Adagrad."""
MUON_CELLS = ("lstm", "mlstm", "gru")
"""Cells for which Muon was better on texts; for an RNN it was worse."""

TEXT_CELL = "mlstm"
"""The cell for texts: after as many steps its loss is lower than that of an LSTM."""
LSTM_CELLS = ("lstm", "mlstm")
"""Cells for which the same other settings are best."""

MANY_EPOCHS: Settings = {"dropout": 0.5, "recurrent_dropout": 0.25}
"""Settings above the last bound. Without recurrent dropout a network overfits; with it the
validation loss falls to the end, at a lower learning rate."""

WEIGHT_DECAY = 2e-3
"""Weight decay for Adagrad at its default learning rate. It also lowers the loss of a
single epoch: Adagrad's steps become ever smaller, and count for more if the weights shrink."""


MAX_HIDDEN_AT_FULL_LR = 384
"""Hidden size up to which the default learning rate is safe."""

MAX_LR_SCALE_WITH_RECURRENT_DROPOUT = 0.5
"""Largest factor of the learning rate with recurrent dropout, which scales up the weights it keeps:
at the full learning rate a network with a dropout of 0.5 diverged."""
MUON_LR_SCALE_WITH_RECURRENT_DROPOUT = 0.75
"""The factor for Muon, besides that of the hidden size."""


def default_lr_for(settings: Settings, *, of_text: bool = False) -> float:
    """Return the learning rate of the optimiser, scaled for the cell, hidden size and dropout.

    Unknown names of an optimiser or cell are not refused here but by the configurations.

    Args:
        settings: those of the model and of training.
        of_text: whether a text is trained on: an LSTM of few units has a higher rate with Muon.
    """
    optimiser = OPTIMISERS.get(settings.get("optimiser", TrainingConfig.optimiser), Adagrad)
    cell = CELLS.get(settings.get("cell", ModelConfig.cell), Cell)
    with_muon = optimiser is OPTIMISERS["muon"]
    hidden = settings.get("hidden", ModelConfig.hidden)
    factor = lr_scale_for_width(hidden)
    one_lstm = issubclass(cell, LSTMCell) and settings.get("layers", 1) == 1
    if settings.get("recurrent_dropout"):
        most = MAX_LR_SCALE_WITH_RECURRENT_DROPOUT
        factor = factor * MUON_LR_SCALE_WITH_RECURRENT_DROPOUT if with_muon else min(most, factor)
    elif of_text and one_lstm and with_muon:
        factor = min(MAX_MUON_LR_SCALE, MAX_HIDDEN_AT_FULL_LR / hidden)
    if settings.get("bidirectional"):
        factor *= LR_SCALE_BIDIRECTIONAL
    return round(optimiser.default_lr * cell.lr_scale * factor, 4)


MAX_MUON_LR_SCALE = 2.0
"""Largest factor of Muon's learning rate on a text, for fewer than `MAX_HIDDEN_AT_FULL_LR` units.
Runs of 15 seconds end lower at twice the rate, those of 3,000 steps as low."""

LR_SCALE_BIDIRECTIONAL = 0.5
"""Factor where layers read in both directions: what reads them has twice as many inputs."""


def lr_scale_for_width(hidden: int) -> float:
    """Return the factor of the learning rate for a hidden size.

    Optimisers that scale each gradient move all weights of a unit by about as much, so the more
    inputs a unit has, the more its sum changes (Yang et al. 2022, arXiv 2203.03466): at
    Adagrad's 0.4, two of three networks of 512 units diverged during training.
    """
    return MAX_HIDDEN_AT_FULL_LR / max(MAX_HIDDEN_AT_FULL_LR, hidden)


def decay_for_width(hidden: int) -> float:
    """Return the weight decay at which a step shrinks the weights by one factor for every size.

    The decay is multiplied by the learning rate, which is lower for more units.
    """
    return round(WEIGHT_DECAY / lr_scale_for_width(hidden), 4)


def min_char_rnn(characters: int, budget: Budget, hidden: int | None) -> Settings:
    """Return the recipe of Karpathy's min-char-rnn.py (2015), with all its settings.

    It sums the losses of a window instead of averaging them, without which clipping each element at
    ±5 would have no effect, and has ε under Adagrad's root.
    """
    return {
        "cell": "rnn",
        "hidden": 100,
        "init": "normal:0.01",
        "input_init": "normal:0.01",
        "readout_init": "normal:0.01",
        "optimiser": "adagrad-damped",
        "lr": 0.1,
        "schedule": "constant",
        "warmup_steps": 0,
        "clip_norm": None,
        "clip_value": 5.0,
        "seq_length": 25,
        "batch_size": 1,
        "state_reset_prob": 0.0,
        "loss": "sum",
    }


PRESETS: dict[str, Callable[[int, Budget, int | None], Settings]] = {
    "default": default,
    "small": small,
    "large": large,
    "min-char-rnn": min_char_rnn,
}
"""Presets by name: functions of the text length, the budget, and the hidden size or None."""

MAX_WARMUP_SHARE = 1 / 3
"""Largest share of a run for warm-up. Adagrad needs warm-up: its first steps are as large as the
learning rate, whatever the gradient, until squared gradients have accumulated."""


@dataclass(frozen=True)
class Plan:
    """Settings of a run; `training.steps` is 0 until a budget of minutes is converted to steps."""

    model: ModelConfig
    training: TrainingConfig
    budget: Budget
    notes: tuple[str, ...]


STUDENT_DECAY = 1 / 3
"""Weight decay of a network with teachers, as a factor of that of one without: their probabilities
and the text that they generate leave less to overfit."""


def plan(
    preset: str,
    given: Mapping[str, Any],
    vocabulary: int,
    characters: int,
    budget: Budget,
    *,
    has_teachers: bool = False,
) -> Plan:
    """Complete the settings `given` from a preset, and shrink the batch shape for a short text.

    Args:
        preset: the name of a preset.
        given: settings that are not the preset's.
        vocabulary: number of different characters.
        characters: length of the training text, and of what teachers generate.
        budget: how long to train.
        has_teachers: whether the network learns the probabilities of teachers.

    Raises:
        UsageError: for an unknown preset, or settings out of their range.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    if given.get("bidirectional"):
        raise UsageError("--bidirectional is for pairs: a text has no end yet", "without it")
    settings = PRESETS[preset](characters, budget, given.get("hidden"))
    if "dropout" in given or differs_from_preset("cell", given, settings):
        settings.pop("recurrent_dropout", None)  # it belongs to the preset's dropout and cell
    if settings.get("optimiser") == "muon" and (
        given.get("cell", ModelConfig.cell) not in MUON_CELLS
        or given.get("layers", 1) > MAX_MUON_LAYERS
    ):
        settings.pop("optimiser")
    if differs_from_preset("optimiser", given, settings) and given["optimiser"] != "adagrad":
        for name in ("lr", "weight_decay"):  # these belong to the preset's optimiser
            settings.pop(name, None)
    if has_teachers and "weight_decay" in settings:
        settings["weight_decay"] = round(STUDENT_DECAY * settings["weight_decay"], 4)
    settings |= {**given, "bidirectional": None}
    if given.get("clip_value") is not None:
        settings.setdefault("clip_norm", None)
    settings.setdefault("lr", default_lr_for(settings, of_text=True))
    model = config_from_settings(
        ModelConfig, settings | {"inputs": vocabulary, "outputs": vocabulary}
    )
    training = config_from_settings(TrainingConfig, settings | {"steps": 0})
    T, B = shrink_batch_shape(characters, training.seq_length, training.batch_size)
    notes = []
    if (training.seq_length, training.batch_size) != (T, B):
        notes.append(
            f"{characters:,} characters are few for {training.batch_size} sequences of "
            f"{training.seq_length}: training with {B} of {T}"
        )
        training = replace(training, seq_length=T, batch_size=B, workers=min(training.workers, B))
    return Plan(model, training, budget, tuple(notes))


def differs_from_preset(name: str, given: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether the given cell or optimiser, by `name`, has other settings than a preset's."""
    usual = {"cell": ModelConfig.cell, "optimiser": TrainingConfig.optimiser}
    own = settings.get(name, usual[name])
    chosen = given.get(name, own)
    return bool(chosen != own) and not {chosen, own} <= set(LSTM_CELLS)


def with_steps(training: TrainingConfig, steps: int, evaluations: int) -> TrainingConfig:
    """Return `training` with a number of steps, a warm-up limited to it, and `eval_every`."""
    warmup_steps = min(training.warmup_steps, int(MAX_WARMUP_SHARE * steps))
    eval_every = training.eval_every or max(1, -(-steps // max(1, evaluations)))
    return replace(training, steps=steps, warmup_steps=warmup_steps, eval_every=eval_every)


def config_from_settings(kind: type[Any], settings: Settings) -> Any:
    """Return a configuration of class `kind` from those settings that are its fields."""
    names = {item.name for item in fields(kind)}
    return kind(**{name: value for name, value in settings.items() if name in names})
