"""Defaults that `train --help` names are those of the configurations, presets and the run."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from charrnn.cli.app import load_command
from charrnn.cli.train.loop import SAVE_SECONDS
from charrnn.cli.train.network_plans import DEFAULT_NETWORKS, DEFAULT_NGRAMS
from charrnn.cli.train.planning import EVALUATION_SHARE, VALIDATION_SHARE
from charrnn.cli.train.request import DEFAULT_MINUTES
from charrnn.nn.model_config import ModelConfig
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS
from charrnn.training.distillation import (
    GENERATED_PER_CHARACTER,
    GENERATION_SHARE,
    MIN_TYPICAL_MINUTES,
    TEACHERS,
)
from charrnn.training.pair_presets import (
    LABEL_SMOOTHING_RULE,
    MAX_ATTENDED,
    NETWORKS_RULE,
    PATIENCE,
    TRANSDUCTION,
)
from charrnn.training.prepared_data import PreparedPairs, PreparedText
from charrnn.training.presets import (
    MAX_PRESET_HIDDEN,
    MAX_WARMUP_SHARE,
    MIN_PRESET_HIDDEN,
    WEIGHT_DECAY,
    Budget,
    plan,
)
from charrnn.training_config import TrainingConfig

Call = Callable[..., Result]

DEFAULTS = {
    parameter.name: match[1]
    for parameter in load_command("train").params
    if (match := re.search(r"Default: (.*)", parameter.help or "", re.DOTALL))
}


def planned(**given: Any) -> dict[str, Any]:
    """Return every setting of a run on a large text whose budget is the default one."""
    found = plan("default", given, 60, 10**6, Budget(minutes=DEFAULT_MINUTES))
    return vars(found.model) | vars(found.training)


FIGURES: dict[str, Callable[[], object]] = {
    "cell": lambda: planned()["cell"],
    "layers": lambda: planned()["layers"],
    "hidden": lambda: f"{MIN_PRESET_HIDDEN} to {MAX_PRESET_HIDDEN}, by the time given",
    "init": lambda: planned()["init"],
    "gain": lambda: f"{planned()['gain']:g}",
    "input_init": lambda: "normal:1, for an rnn uniform",
    "input_gain": lambda: f"{planned()['input_gain']:g}",
    "forget_bias": lambda: f"{planned()['forget_bias']:g}",
    "optimiser": lambda: planned()["optimiser"],
    "schedule": lambda: planned()["schedule"],
    "warmup_steps": lambda: f"{planned()['warmup_steps']}, at most a third",
    "weight_decay": lambda: (
        f"texts with adagrad or muon {WEIGHT_DECAY:g} or more, with teachers a third of it"
    ),
    "ema_decay": lambda: f"{planned()['ema_decay']:g}",
    "balance": lambda: f"{planned()['balance']:g}",
    "label_smoothing": lambda: LABEL_SMOOTHING_RULE,
    "clip_norm": lambda: f"{planned()['clip_norm']:g}",
    "seq_length": lambda: f"{planned()['seq_length']}",
    "batch_size": lambda: f"{planned()['batch_size']}",
    "state_reset_prob": lambda: f"{planned()['state_reset_prob']:g}",
    "minutes": lambda: f"{DEFAULT_MINUTES:g}",
    "on_nonfinite": lambda: planned()["on_nonfinite"],
    "train_teachers": lambda: (
        f"{TEACHERS}, if --minutes are so many that a single network overfits, at least "
        f"{MIN_TYPICAL_MINUTES:g} on two cores with AVX-512 and more on slower ones, and nothing "
        "of the network is given; else 0"
    ),
    "patience": lambda: f"{planned()['patience']}, for pairs {PATIENCE}",
    "eval_every": lambda: (
        f"{PreparedText.planned_validations} validations "
        f"a run, for pairs {PreparedPairs.planned_validations}; with --minutes as many "
        f"before the last as take {EVALUATION_SHARE:.0%} of the time"
    ),
    "val_limit": lambda: (
        f"{MAX_VALIDATION_CHARACTERS:,}; with --minutes as many as take {VALIDATION_SHARE:.0%} of"
    ),
    "attention": lambda: (
        f"{TRANSDUCTION['attention']} for many-to-many of up to {MAX_ATTENDED:,} characters, else 0"
    ),
    "networks": lambda: (
        f"with --minutes and many-to-one up to {DEFAULT_NETWORKS}, if there is time; "
        f"{NETWORKS_RULE}; else 1"
    ),
    "ngrams": lambda: f"with --minutes {DEFAULT_NGRAMS}, else 0",
    "save_every": lambda: "every half minute",
    "generated": lambda: (
        f"{GENERATED_PER_CHARACTER} for each of the training text; with --minutes at most what "
        f"takes about {GENERATION_SHARE:.0%} of the time"
    ),
    "corpus": lambda: "--builtin python-docs",
}
"""How the help names each default: a text that begins what follows "Default:"."""

IN_WORDS = {
    "bidirectional": "by layout; `test_bidirectional` has it",
    "dropout": "by units and epochs; `test_presets` holds the rule",
    "recurrent_dropout": "by epochs; `test_presets` holds the rule",
    "lr": "a rule of optimiser, cell and units, tested below",
    "network_plans": "that of the first network; `test_networks` has it",
    "workers": "measured",
    "backend": "what is installed",
    "out": "the name of the corpus",
    "name": "the name of the corpus",
    "sample_every": "at each validation",
}


def test_no_default_in_the_help_is_left_out_here() -> None:
    assert set(DEFAULTS) == set(FIGURES) | set(IN_WORDS)


@pytest.mark.parametrize("name", FIGURES)
def test_a_default_in_the_help_is_the_real_one(name: str) -> None:
    said = " ".join(DEFAULTS[name].split())
    assert re.match(rf"{re.escape(str(FIGURES[name]()))}(?![\w.]*\d)", said), said


def test_the_learning_rates_are_the_optimisers() -> None:
    for name, kind in OPTIMISERS.items():
        assert f"{kind.default_lr:g} {name}" in DEFAULTS["lr"]
        assert planned(optimiser=name)["lr"] == kind.default_lr


def test_the_other_figures_in_words() -> None:
    assert SAVE_SECONDS == 30
    assert pytest.approx(1 / 3) == MAX_WARMUP_SHARE
    assert (planned()["cell"], planned()["weight_decay"]) == ("mlstm", WEIGHT_DECAY)
    assert ModelConfig(5, 5).input_init is None
    assert TrainingConfig(steps=1).clip_value is None


def test_validations_by_steps_are_as_many_as_the_help_says(
    run_cli: Call, corpus: Any, tiny: tuple[str, ...]
) -> None:
    at = tiny.index("--eval-every")
    quick = [*tiny[:at], *tiny[at + 2 :]]
    quick[quick.index("--steps") + 1] = "100"
    quick.remove("--quiet")
    result = run_cli("train", corpus, *quick)
    assert result.exit_code == 0
    assert result.stderr.count(": validation ") == PreparedText.planned_validations
