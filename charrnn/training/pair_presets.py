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
    default_lr_for,
    differs_from_preset,
)
from charrnn.training_config import TrainingConfig

MAX_POSITIONS = 2**15
"""T × B of the longest batch: what its buffers have room for."""

DENSE: Settings = {"hidden": 256, "batch_size": 32}
"""Settings where most positions are predicted: those of texts."""

SPARSE: Settings = {
    "hidden": 128,
    "batch_size": 64,
    "optimiser": "muon",
    "lr": 0.2,
    "weight_decay": 0.002,
}
"""Settings for one label at the end of a text. With smaller batches the loss stayed that of chance,
and Adagrad alone did not learn a dependency over a hundred characters, which Muon learns."""

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


def recipe_of(layout: Layout) -> Settings:
    """Return the settings for the number of predictions that an example of this layout has."""
    return TABLE if layout.is_table else SPARSE if layout.classifies else DENSE


def plan_pairs(
    preset: str,
    given: Mapping[str, object],
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
    settings = recipe_of(pairing.layout_spec) | SIZES[preset]
    most = min(MAX_POSITIONS // longest, len(train) // MIN_BATCHES_PER_EPOCH)
    settings["batch_size"] = max(1, min(settings["batch_size"], most))
    forget_bias = max(FORGET_BIAS, round(chrono_bias(longest), 2))  # at least that for texts
    settings |= {"seq_length": longest, "patience": PATIENCE, "forget_bias": forget_bias}
    characters, hidden = int(train.starts[-1]), settings["hidden"]
    epochs = budget.epochs_of(
        characters, hidden, round(settings["batch_size"] * train.lengths.mean())
    )
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
    settings["bidirectional"] = backward_use(pairing.layout_spec, settings)
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
