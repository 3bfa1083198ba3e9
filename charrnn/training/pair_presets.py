"""Presets for pairs: default network size, batch size, forget bias and dropout.

The rule was chosen on the built-in pairs and on pairs of other kinds, each with a split inside its
training part.
"""

from collections.abc import Mapping
from typing import Any

from charrnn.data.layouts import Layout, PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.errors import TextError, UsageError
from charrnn.nn.initialisers import chrono_bias
from charrnn.nn.model_config import FORGET_BIAS, ModelConfig
from charrnn.training.presets import (
    MUON_CELLS,
    Budget,
    Plan,
    Settings,
    config_from_settings,
    decay_for_width,
    default_lr_for,
    differs_from_preset,
    muon_dropout,
)
from charrnn.training_config import TrainingConfig

MAX_POSITIONS = 2**15
"""T × B of the longest batch: what its buffers have room for."""

DENSE: Settings = {"hidden": 256, "batch_size": 32}
"""Settings where most positions are predicted: those of texts."""

TRANSDUCTION: Settings = {
    "batch_size": 32,
    "optimiser": "muon",
    "bidirectional": True,
    "attention": 1,
    "label_smoothing": 0.1,
}
"""Settings for a text to a text. On plurals, transliterations and phonemes Muon had more answers
right than Adagrad after as many epochs, and attention and label smoothing more than none in the
same time."""
LABEL_SMOOTHING_RULE = f"{TRANSDUCTION['label_smoothing']:g} for many-to-many, else 0"
"""What the rule of label smoothing is, for help."""

MAX_ATTENDED = 1_000
"""Longest example, in characters, for which attention is the default: its memory and its time grow
with the square of the length."""

MANY_TRANSDUCED = 25_000
"""Training pairs from which a text to a text has the settings `MANY_TRANSDUCTIONS`."""
MANY_TRANSDUCTIONS: Settings = {"batch_size": 128, "lr": 0.5}
"""Settings for a text to a text of many pairs: more passes in the same time."""

TRANSDUCTION_HIDDEN_BY_MINUTES, MAX_TRANSDUCTION_HIDDEN = ((256, 1.5), (384, 8)), 512
"""Pairs (hidden size for many texts to texts, typical minutes below which it is chosen), and that
for more. Reading in both directions takes twice the time of the texts by which minutes are typical:
three minutes of such a machine are 1.4 typical ones."""

TRANSDUCTION_NETWORKS = ((1, 8),)
"""Pairs (networks for many texts to texts, typical minutes below which they are trained); two for
more. A network that overfits in half of the time gains less from the other half than from a second
network."""
MAX_TRANSDUCTION_NETWORKS = 2
NETWORKS_RULE = (
    f"for many-to-many with {MANY_TRANSDUCED:,} pairs or more, {MAX_TRANSDUCTION_NETWORKS} if "
    "there is time"
)
"""What the rule of networks is, for help."""

LABELS: Settings = {
    "batch_size": 64,
    "optimiser": "muon",
    "lr": 0.2,
    "weight_decay": 0.002,
}
"""Settings for one label at the end of a text. With smaller batches the loss stayed that of chance,
and Adagrad alone did not learn a dependency over a hundred characters, which Muon learns."""

LABEL_HIDDEN, LARGE_LABEL_HIDDEN = 128, 160
"""Hidden sizes for labels; the larger one for many pairs, if there is time."""

MANY_LABELLED = 15_000
"""Training pairs from which labels have the settings `MANY_LABELS`, and longer rounds."""
MANY_LABELS: Settings = {"batch_size": 128, "lr": 0.3, "bidirectional": True}
"""Settings for labels of many pairs, instead of those of `LABELS`."""

LABEL_EPOCHS = 32
"""Epochs for which there must be time with the larger size: four networks of eight."""

LABEL_DROPOUT, MIN_PAIRS_FOR_LABEL_DROPOUT = 0.5, 3_000
"""Dropout for labels, and training pairs from which it applies."""

TABLE: Settings = {"hidden": 128, "batch_size": 32, "dropout": 0.0}
"""Settings for a table, which has no unseen inputs to generalise to."""

BIDIRECTIONAL_USES = ("each",)
"""Uses of backward cells that won at equal time, and are the default."""

MIN_BATCHES_PER_EPOCH = 4
"""Batches that an epoch should have at least."""

DROPOUTS = ((0.0, 4), (0.1, 7.5))
"""Dropout for fewer epochs than stand beside it."""
MAX_DROPOUT = 0.3

PATIENCE = 8
"""Validations without a new best, of some two dozen, after which a run ends."""

SIZES: dict[str, Settings] = {
    "default": {},
    "small": {"hidden": 128},
    "large": {"hidden": 512},
}


def recipe_of(layout: Layout, train: Examples, budget: Budget) -> Settings:
    """Return the settings for the number of predictions that an example of this layout has.

    Args:
        layout: the layout of the pairs.
        train: the training pairs.
        budget: the time, epochs or steps.
    """
    if layout.is_table:
        return TABLE
    if layout.classifies:
        return _label_settings(train, budget)
    if layout.is_searched:
        many = MANY_TRANSDUCTIONS if len(train) >= MANY_TRANSDUCED else {}
        return TRANSDUCTION | many | {"hidden": _transduction_hidden(len(train), budget)}
    return DENSE


def _label_settings(train: Examples, budget: Budget) -> Settings:
    """Return the settings for labels: more units for many pairs, if there is time for them."""
    settings = LABELS | {"hidden": LABEL_HIDDEN}
    if len(train) >= MANY_LABELLED:
        settings |= MANY_LABELS
        epochs = budget.epochs_of(int(train.starts[-1]), LARGE_LABEL_HIDDEN, 1)
        if budget.minutes is None or epochs >= LABEL_EPOCHS:
            settings["hidden"] = LARGE_LABEL_HIDDEN
    if len(train) >= MIN_PAIRS_FOR_LABEL_DROPOUT:
        settings["dropout"] = LABEL_DROPOUT
    return settings


def _transduction_hidden(pairs: int, budget: Budget) -> int:
    """Return the hidden size for a text to a text."""
    if budget.minutes is None or pairs < MANY_TRANSDUCED:
        return TRANSDUCTION_HIDDEN_BY_MINUTES[0][0]
    return next(
        (H for H, enough in TRANSDUCTION_HIDDEN_BY_MINUTES if budget.typical_minutes < enough),
        MAX_TRANSDUCTION_HIDDEN,
    )


def networks_by_time(layout: Layout, pairs: int, budget: Budget) -> int:
    """Return how many networks share the time of a run by default.

    Args:
        layout: the layout of the pairs.
        pairs: the number of training pairs.
        budget: the time of the whole run.
    """
    if budget.minutes is None or not layout.is_searched or pairs < MANY_TRANSDUCED:
        return 1
    return next(
        (count for count, enough in TRANSDUCTION_NETWORKS if budget.typical_minutes < enough),
        MAX_TRANSDUCTION_NETWORKS,
    )


def plan_pairs(
    preset: str,
    given: Mapping[str, Any],
    pairing: PairVocabulary,
    train: Examples,
    budget: Budget,
) -> Plan:
    """Complete what was `given`; `UsageError` for what makes no sense with pairs."""
    if preset not in SIZES:
        raise UsageError(f"--preset {preset} is for texts", *[f"--preset {size}" for size in SIZES])
    longest = int(train.lengths.max())
    if longest > MAX_POSITIONS:
        raise TextError(
            f"the longest example has {longest:,} characters, and examples are never cut",
            f"examples of at most {MAX_POSITIONS:,}",
        )
    layout = pairing.layout_spec
    settings = recipe_of(layout, train, budget) | SIZES[preset]
    most = min(MAX_POSITIONS // longest, len(train) // MIN_BATCHES_PER_EPOCH)
    settings["batch_size"] = max(1, min(settings["batch_size"], most))
    forget_bias = max(FORGET_BIAS, round(chrono_bias(longest), 2))  # at least that for texts
    settings |= {"seq_length": longest, "patience": PATIENCE, "forget_bias": forget_bias}
    characters, hidden = int(train.starts[-1]), given.get("hidden", settings["hidden"])
    epochs = budget.epochs_of(
        characters, hidden, round(settings["batch_size"] * train.lengths.mean())
    )
    if layout.is_searched:
        # Recurrent dropout, which texts have in many epochs, lowers the exact match.
        settings["dropout"] = muon_dropout(epochs, hidden, characters)["dropout"]
        settings["weight_decay"] = decay_for_width(hidden)
    dropout = next((rate for rate, enough in DROPOUTS if epochs < enough), MAX_DROPOUT)
    settings.setdefault("dropout", dropout)
    if differs_from_preset("optimiser", given, settings) or differs_from_preset(
        "cell", given, settings
    ):
        for name in ("lr", "weight_decay"):  # these belong to the preset's optimiser and cell
            settings.pop(name, None)
    if settings.get("optimiser") == "muon" and given.get("cell", "lstm") not in MUON_CELLS:
        settings["optimiser"] = "adam"
    settings |= given
    if given.get("attention"):
        settings.setdefault("bidirectional", True)
    settings["bidirectional"] = backward_use(layout, settings)
    attends = settings["bidirectional"] == "context" and longest <= MAX_ATTENDED
    if "attention" not in given and not attends:
        settings["attention"] = 0
    notes = []
    if settings["batch_size"] > len(train):
        notes.append(
            f"{len(train)} examples do not fill a batch of {settings['batch_size']}: all in one"
        )
        settings["batch_size"] = len(train)
    settings.setdefault("lr", default_lr_for(settings))
    shape = {"inputs": pairing.inputs, "outputs": pairing.outputs}
    model = config_from_settings(ModelConfig, settings | shape)
    training = config_from_settings(
        TrainingConfig, settings | {"steps": 0, "state_reset_prob": 1.0}
    )
    return Plan(model, training, budget, tuple(notes))


def backward_use(layout: Layout, settings: Mapping[str, Any]) -> str | None:
    """Return `ModelConfig.bidirectional` for a layout, where `settings` ask for it.

    By default where an answer is predicted at each input, which later inputs may decide.

    Raises `UsageError` if an input of the layout is a single symbol.
    """
    if not settings.get("bidirectional", layout.backward_use in BIDIRECTIONAL_USES):
        return None
    if layout.backward_use is None:
        raise UsageError(
            f"--bidirectional reads texts, and an input of {layout.name} is one symbol",
            "without it",
        )
    return layout.backward_use
