"""Presets: settings chosen from the budget and from the size of the text."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.text_batches import TextBatches
from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.presets import (
    MAX_WARMUP_SHARE,
    PRESETS,
    WEIGHT_DECAY,
    Budget,
    plan,
    with_steps,
)
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

LARGE = 1_000_000
THREE_MINUTES = Budget(minutes=3)


@pytest.mark.parametrize(
    "given",
    [{}, {"minutes": 1, "steps": 1}, {"epochs": 1, "steps": 1}, {"minutes": 0, "epochs": 1}],
)
def test_a_budget_is_exactly_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="exactly one of --minutes, --epochs and --steps"):
        Budget(**given)


@pytest.mark.parametrize("name", ["minutes", "epochs", "steps"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_above_zero_and_finite(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"--{name} is .*; it must be "):
        Budget(**{name: value})  # type: ignore[arg-type]


def test_a_budget_counts_steps_if_it_can() -> None:
    assert Budget(steps=7).steps_of(100) == 7
    assert Budget(epochs=2.5).steps_of(100) == 250
    assert Budget(epochs=1e-9).steps_of(100) == 1
    assert Budget(minutes=3).steps_of(100) is None


def test_a_budget_knows_how_often_a_text_is_read() -> None:
    assert Budget(epochs=2.5).epochs_of(1000, 256, 100) == 2.5
    assert Budget(steps=30).epochs_of(1000, 256, 100) == 3
    once, twice = (Budget(minutes=m).epochs_of(LARGE, 256, 2048) for m in (1, 2))
    assert twice == pytest.approx(2 * once)
    assert Budget(minutes=1).epochs_of(LARGE, 512, 2048) < once


@given(st.floats(0.1, 600), st.floats(0.1, 600))
def test_more_time_never_means_fewer_units(a: float, b: float) -> None:
    less, more = (
        plan("default", {}, 60, LARGE, Budget(minutes=minutes)).model for minutes in sorted((a, b))
    )
    assert less.hidden <= more.hidden
    assert less.cell == more.cell == "mlstm"


@pytest.mark.parametrize(("relative", "hidden"), [(0.5, 256), (1.0, 384), (2.5, 384)])
def test_a_slow_machine_has_a_smaller_network(relative: float, hidden: int) -> None:
    budget = Budget(minutes=1, relative_speed=relative)
    assert plan("default", {}, 60, LARGE, budget).model.hidden == hidden
    assert plan("default", {"hidden": 384}, 60, LARGE, budget).model.hidden == 384


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_reading_more_often_never_means_less_dropout(a: float, b: float) -> None:
    less, more = (
        plan("default", {}, 60, LARGE, Budget(epochs=epochs)).model for epochs in sorted((a, b))
    )
    assert 0 <= less.dropout <= more.dropout < 1


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_the_smaller_a_text_the_more_dropout_for_as_many_passes(a: int, b: int) -> None:
    small, large = (
        plan("default", {}, 60, characters, Budget(epochs=5)).model.dropout
        for characters in sorted((a, b))
    )
    assert 0 <= large <= small < 1


def test_presets_grow_from_small_to_large() -> None:
    sizes = [
        plan(preset, {}, 60, LARGE, THREE_MINUTES).model.hidden
        for preset in ("small", "default", "large")
    ]
    assert all(a < b for a, b in pairwise(sizes))


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_said_overrules_every_preset(preset: str) -> None:
    said = {"cell": "gru", "hidden": 31, "dropout": 0.05, "batch_size": 3, "seed": 9, "lr": 0.123}
    planned = plan(preset, said, 60, LARGE, THREE_MINUTES)
    fields = vars(planned.model) | vars(planned.training)
    assert {name: fields[name] for name in said} == said
    assert (planned.model.inputs, planned.model.outputs) == (60, 60)
    assert planned.training.steps == 0
    assert planned.budget is THREE_MINUTES
    assert planned.notes == ()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_each_optimiser_begins_with_its_own_rate(optimiser: str) -> None:
    planned = plan("default", {"optimiser": optimiser}, 60, LARGE, THREE_MINUTES)
    assert planned.training.lr == OPTIMISERS[optimiser].default_lr


@pytest.mark.parametrize("preset", PRESETS)
def test_to_say_what_a_preset_means_changes_nothing(preset: str) -> None:
    silent = plan(preset, {}, 60, LARGE, THREE_MINUTES)
    said = {"cell": silent.model.cell, "optimiser": silent.training.optimiser}
    assert plan(preset, said, 60, LARGE, THREE_MINUTES) == silent


@pytest.mark.parametrize(
    ("given", "budget", "optimiser"),
    [
        ({}, Budget(epochs=2), "muon"),
        ({"hidden": 384}, Budget(epochs=7), "muon"),  # with dropout
        ({"hidden": 512}, Budget(epochs=40), "muon"),
        ({"cell": "gru"}, Budget(epochs=2), "muon"),
        ({"cell": "rnn"}, Budget(epochs=2), "adagrad"),
        ({"cell": "lstm", "layers": 1}, Budget(epochs=2), "muon"),
        ({"layers": 2}, Budget(epochs=2), "muon"),
        ({"layers": 3}, Budget(epochs=2), "adagrad"),
        ({"hidden": 768}, Budget(epochs=0.1), "adagrad"),
        ({"optimiser": "sgd"}, Budget(epochs=2), "sgd"),
    ],
)
def test_muon_is_the_default_where_it_was_compared(
    given: dict[str, Any], budget: Budget, optimiser: str
) -> None:
    planned = plan("default", given, 60, LARGE, budget)
    assert planned.training.optimiser == optimiser
    assert (planned.training.lr == 0.5) == (optimiser == "sgd")


def test_adagrad_keeps_the_weight_decay_of_muon() -> None:
    muon = plan("default", {}, 60, LARGE, Budget(epochs=2)).training
    adagrad = plan("default", {"optimiser": "adagrad"}, 60, LARGE, Budget(epochs=2)).training
    assert (adagrad.lr, adagrad.weight_decay) == (muon.lr, muon.weight_decay)


def test_more_units_never_mean_a_higher_rate() -> None:
    rates = [
        plan("default", {"hidden": hidden}, 60, LARGE, THREE_MINUTES).training.lr
        for hidden in (1, 192, 256, 384, 512, 1024)
    ]
    assert rates == pytest.approx([0.8, 0.8, 0.6, 0.4, 0.3, 0.15])


@pytest.mark.parametrize("given", [{"layers": 2}, {"optimiser": "adagrad"}, {"cell": "gru"}])
def test_only_one_lstm_layer_with_muon_has_a_higher_rate_for_few_units(
    given: dict[str, Any],
) -> None:
    few, many = (
        plan("default", given | {"hidden": hidden}, 60, LARGE, THREE_MINUTES).training.lr
        for hidden in (128, 384)
    )
    assert few == many


@pytest.mark.parametrize(
    ("said", "thinned"),
    [({}, 0.25), ({"dropout": 0.1}, 0), ({"cell": "gru"}, 0), ({"recurrent_dropout": 0.1}, 0.1)],
)
def test_many_passes_drop_recurrent_weights_unless_said_otherwise(
    said: dict[str, Any], thinned: float
) -> None:
    planned = plan("default", {"hidden": 768} | said, 60, LARGE, Budget(epochs=40))
    assert planned.model.recurrent_dropout == thinned
    assert planned.training.lr == pytest.approx(0.2 * CELLS[planned.model.cell].lr_scale)


@pytest.mark.parametrize(("hidden", "rate"), [(256, 0.3), (512, 0.225), (768, 0.2)])
def test_many_epochs_have_a_lower_rate(hidden: int, rate: float) -> None:
    found = plan("default", {"hidden": hidden}, 60, LARGE, Budget(epochs=100))
    assert (found.model.dropout, found.model.recurrent_dropout) == (0.5, 0.25)
    assert found.training.lr == rate


def test_a_step_shrinks_weights_as_much_whatever_the_units() -> None:
    for hidden in (384, 512, 768, 2000):
        training = plan("default", {"hidden": hidden}, 60, LARGE, THREE_MINUTES).training
        assert training.lr * training.weight_decay == pytest.approx(0.4 * WEIGHT_DECAY, rel=0.02)


def test_dropout_is_chosen_for_the_units_that_were_said() -> None:
    few, many = (
        plan("default", {"hidden": hidden}, 60, LARGE, Budget(epochs=8)).model.dropout
        for hidden in (64, 1024)
    )
    assert few == 0 < many


def test_clipping_by_value_replaces_clipping_by_norm_unless_both_are_said() -> None:
    def clips(**said: float) -> tuple[float | None, float | None]:
        training = plan("default", said, 60, LARGE, THREE_MINUTES).training
        return training.clip_norm, training.clip_value

    assert clips() == (TrainingConfig.clip_norm, None)
    assert clips(clip_value=5.0) == (None, 5.0)
    assert clips(clip_value=5.0, clip_norm=2.0) == (2.0, 5.0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("characters", [2, 3, 10, 100, 1000])
def test_a_small_text_shrinks_the_windows_and_says_so(preset: str, characters: int) -> None:
    planned = plan(preset, {"workers": 2}, 5, characters, THREE_MINUTES)
    training = planned.training
    wanted = plan(preset, {}, 5, LARGE, THREE_MINUTES).training
    TextBatches(
        np.zeros(characters, np.uint8),
        training.seq_length,
        training.batch_size,
        training.seed,
        training.state_reset_prob,
    )
    shrunk = (training.seq_length, training.batch_size) != (wanted.seq_length, wanted.batch_size)
    assert len(planned.notes) == shrunk
    assert not shrunk or f"{characters:,} characters are few for" in planned.notes[0]
    assert training.workers <= max(training.batch_size, 2)
    assert training.workers <= training.batch_size or not shrunk


def test_an_unknown_preset_is_told_the_known_ones() -> None:
    known = "there are default, small, large, min-char-rnn"
    with pytest.raises(UsageError, match=f"no preset called 'huge'; {known}"):
        plan("huge", {}, 60, LARGE, THREE_MINUTES)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"cell": "gnu"}, "no cell called 'gnu'"),
        ({"optimiser": "lion"}, "no optimiser called 'lion'"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"init": "xavier"}, "no initialiser called 'xavier'"),
    ],
)
def test_settings_without_meaning_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan("default", said, 60, LARGE, THREE_MINUTES)


@given(st.integers(1, 10_000), st.integers(0, 50), st.integers(0, 500))
def test_steps_fix_the_warm_up_and_the_evaluations(
    steps: int, evaluations: int, warmup_steps: int
) -> None:
    training = with_steps(TrainingConfig(steps=0, warmup_steps=warmup_steps), steps, evaluations)
    assert training.steps == steps
    assert training.warmup_steps <= min(warmup_steps, MAX_WARMUP_SHARE * steps)
    assert (
        training.warmup_steps == warmup_steps
        or training.warmup_steps > MAX_WARMUP_SHARE * steps - 1
    )
    assert 1 <= training.eval_every <= steps
    assert -(-steps // training.eval_every) <= max(1, evaluations)


def test_an_interval_that_was_said_stays() -> None:
    assert with_steps(TrainingConfig(steps=0, eval_every=17), 1000, 10).eval_every == 17


RECIPE_2015 = {
    "cell": "rnn",
    "hidden": 100,
    "layers": 1,
    "dropout": 0.0,
    "init": "normal:0.01",
    "gain": 1.0,
    "input_init": "normal:0.01",
    "input_gain": 1.0,
    "readout_init": "normal:0.01",
    "optimiser": "adagrad-damped",
    "lr": 0.1,
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "clip_norm": None,
    "clip_value": 5.0,
    "seq_length": 25,
    "batch_size": 1,
    "state_reset_prob": 0.0,
    "loss": "sum",
    "label_smoothing": 0.0,
    "ema_decay": 0.0,
}


def test_min_char_rnn_is_the_recipe_of_2015() -> None:
    planned = plan("min-char-rnn", {}, 60, LARGE, THREE_MINUTES)
    fields = vars(planned.model) | vars(planned.training)
    assert {name: fields[name] for name in RECIPE_2015} == RECIPE_2015
    weights = initialise(planned.model, np.random.default_rng(0), np.float64)
    for name in ("layers.0.W_xh", "layers.0.W_hh", "W_hy"):
        assert weights[name].std() == pytest.approx(0.01, rel=0.05)
    for name in ("layers.0.b_h", "b_y"):
        np.testing.assert_array_equal(weights[name], 0)


def essay(weights: dict[str, Array], text: Array, steps: int) -> list[float]:
    """Train as the loop of the essay does, column by column; return the loss of each window."""
    Wxh, Whh = weights["layers.0.W_xh"][0].T.copy(), weights["layers.0.W_hh"][0].T.copy()
    bh, Why, by = weights["layers.0.b_h"][0].copy(), weights["W_hy"].T.copy(), weights["b_y"].copy()
    parameters = [Wxh, Whh, bh, Why, by]
    memories = [np.zeros_like(p) for p in parameters]
    losses, p, hprev = [], len(text), np.zeros_like(bh)
    for _ in range(steps):
        if p + 25 + 1 > len(text):
            hprev, p = np.zeros_like(bh), 0
        inputs, targets = text[p : p + 25], text[p + 1 : p + 26]
        hs, ps, loss = {-1: hprev}, {}, 0.0
        for t in range(25):
            hs[t] = np.tanh(Wxh[:, inputs[t]] + Whh @ hs[t - 1] + bh)
            y = Why @ hs[t] + by
            ps[t] = np.exp(y) / np.exp(y).sum()
            loss -= np.log(ps[t][targets[t]])
        dWxh, dWhh, dbh, dWhy, dby = gradients = [np.zeros_like(p) for p in parameters]
        dhnext = np.zeros_like(bh)
        for t in reversed(range(25)):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            dWhy += np.outer(dy, hs[t])
            dby += dy
            draw = (1 - hs[t] ** 2) * (Why.T @ dy + dhnext)
            dbh += draw
            dWxh[:, inputs[t]] += draw
            dWhh += np.outer(draw, hs[t - 1])
            dhnext = Whh.T @ draw
        for parameter, gradient, memory in zip(parameters, gradients, memories, strict=True):
            np.clip(gradient, -5, 5, out=gradient)
            memory += gradient * gradient
            parameter -= 0.1 * gradient / np.sqrt(memory + 1e-8)
        losses.append(float(loss))
        hprev, p = hs[24], p + 25
    return losses


def test_min_char_rnn_trains_as_the_loop_of_the_essay() -> None:
    text = np.array([(i * i + i // 5) % 9 for i in range(190)], np.uint8)
    planned = plan("min-char-rnn", {"hidden": 12}, 9, len(text), THREE_MINUTES)
    assert planned.notes == ()
    config = with_steps(planned.training, steps=40, evaluations=1)
    initial = initialise(planned.model, np.random.default_rng(3), np.float64)
    with Trainer(planned.model, config, TextDataset(text), initial) as trainer:
        assert trainer.steps_per_epoch == 7  # the steps go through several epochs
        steps = [trainer.step() for _ in range(config.steps)]
    losses = essay(dict(initial), text, config.steps)
    np.testing.assert_allclose([25 * step.nats for step in steps], losses, rtol=1e-7)
    assert any(step.gradient_norm_clipped < step.gradient_norm for step in steps)
    assert losses[-1] < 0.9 * losses[0]


def test_presets_are_plain_settings_of_the_two_configs() -> None:
    known = {*vars(ModelConfig(1, 1)), *vars(TrainingConfig(steps=1))}
    for preset in PRESETS.values():
        assert set(preset(LARGE, THREE_MINUTES, None)) <= known
