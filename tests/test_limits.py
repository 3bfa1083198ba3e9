"""Limits of numeric settings: one error for each value outside, and nothing huge is allocated."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from charrnn import LSTM
from charrnn.errors import StorageError, UsageError
from charrnn.limits import (
    BUDGET_LIMITS,
    MODEL_LIMITS,
    NOT_OPTIONS,
    TRAINING_LIMITS,
    Limits,
    format_value,
    option_name,
    unknown,
)
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.system.memory import memory_limit, require_memory
from charrnn.training.presets import Budget
from charrnn.training_config import TrainingConfig

HUGE = (10**39, 2**200, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), "3", True)


def make(kind: str, **settings: Any) -> Any:
    if kind == "model":
        return ModelConfig(**({"inputs": 5, "outputs": 5} | settings))
    if kind == "training":
        return TrainingConfig(**({"steps": 5} | settings))
    return Budget(**settings)


TABLES = {"model": MODEL_LIMITS, "training": TRAINING_LIMITS, "budget": BUDGET_LIMITS}
NAMES = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("value", HUGE, ids=repr)
def test_every_number_has_limits(kind: str, name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make(kind, **{name: value})
    shown_name = name if name in NOT_OPTIONS else option_name(name)
    assert caught.value.problem.startswith(f"{shown_name} is ")
    assert len(str(caught.value)) <= 180
    assert caught.value.advice


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_value_that_is_suggested_is_accepted(kind: str, name: str) -> None:
    make(kind, **{name: TABLES[kind][name].usual})


@pytest.mark.parametrize("kind", [ModelConfig, TrainingConfig])
def test_no_numeric_field_is_without_limits(kind: type[Any]) -> None:
    limited = MODEL_LIMITS if kind is ModelConfig else TRAINING_LIMITS
    numeric = {field.name for field in fields(kind) if "str" not in str(field.type)}
    assert numeric == set(limited)


def test_bounds_belong_to_the_range_or_not() -> None:
    assert 0 in Limits(0, 1, 0.5)
    assert 1 in Limits(0, 1, 0.5)
    assert 0 not in Limits(0, 1, 0.5, above=True)
    assert 1 not in Limits(0, 1, 0.5, below=True)


def test_a_huge_integer_is_shown_in_powers_of_two() -> None:
    assert format_value(-(10**5000)) == "-about 2**16609"
    assert format_value("x" * 100) == "'" + "x" * 39 + "…"


def test_the_closest_name_is_suggested() -> None:
    assert unknown("cell", "gru2", ["rnn", "gru"]).advice == ("gru",)
    assert unknown("cell", "", ["rnn", "gru"]).advice == ("rnn",)


def test_a_seed_that_is_negative_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="seed is -1"):
        LSTM(3, 4, 5, seed=-1)


class TestMemory:
    def test_the_limit_is_the_machines(self) -> None:
        limit = memory_limit()
        assert limit is None or limit > 1e8

    def test_what_does_not_fit_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charrnn.system.memory.memory_limit", lambda: 1000)
        require_memory(1000, "x")
        with pytest.raises(StorageError, match="x would need"):
            require_memory(1001, "x", "less")

    def test_without_a_known_limit_nothing_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("charrnn.system.memory.memory_limit", lambda: None)
        require_memory(10**18, "x")

    @pytest.mark.skipif(memory_limit() is None, reason="the system does not tell")
    def test_weights_and_windows_are_checked_before_they_are_allocated(self) -> None:
        rng = np.random.default_rng(0)
        with pytest.raises(StorageError, match="the weights would need"):
            initialise(ModelConfig(5, 5, hidden=2**16, layers=1000), rng)
        config = ModelConfig(5, 5, hidden=8)
        parameters = initialise(config, rng)
        with pytest.raises(StorageError, match=r"sequences of 16,777,216 .* --batch-size"):
            Network(config, parameters, 2**24, 2**20)
