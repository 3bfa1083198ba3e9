"""Traits of options: each belongs to a parameter of `train` or to a field of a configuration."""

from dataclasses import fields

from charrnn.cli.app import load_command
from charrnn.cli.train.option_traits import ALWAYS_SHOWN, NEVER_SHOWN, RESUMABLE, TRAITS
from charrnn.nn.model_config import ModelConfig
from charrnn.training_config import TrainingConfig

PARAMETERS = {parameter.name for parameter in load_command("train").params}
FIELDS = {item.name for kind in (ModelConfig, TrainingConfig) for item in fields(kind)}


def test_every_name_with_traits_exists() -> None:
    assert TRAITS.keys() <= PARAMETERS | FIELDS


def test_every_field_of_a_configuration_has_an_option_or_is_never_shown() -> None:
    assert set(NEVER_SHOWN) >= FIELDS - PARAMETERS
    assert set(ALWAYS_SHOWN) <= FIELDS


def test_few_settings_of_a_run_may_be_given_with_resume() -> None:
    assert {"on_nonfinite", "workers"} == RESUMABLE & FIELDS
