"""Gradient monitor: its numbers are right, and the run gives the same numbers without it."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.analysis import gradient_monitor
from charrnn.analysis.gradient_monitor import (
    MAX_TIME_SHARE,
    NORMS_EVERY,
    PROFILE_LAGS,
    PROFILE_WINDOWS,
    RECENT_STEPS,
    SPIKE_RATIO,
    GradientMonitor,
    norms_by_layer,
    parameter_norms,
    recent_norms,
)
from charrnn.analysis.gradient_profile import gradient_profile
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.events import GradientSnapshot, Step
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

V = 6
TEXT = np.random.default_rng(8).integers(V, size=400).astype(np.uint8)
NOTHING = TEXT[:0]
PLAN = TrainingConfig(
    steps=3 * NORMS_EVERY,
    warmup_steps=3,
    seq_length=5,
    batch_size=3,
    state_reset_prob=0.3,
    clip_norm=0.2,
    seed=6,
)


def begin(cell: str, plan: TrainingConfig = PLAN, layers: int = 2) -> Trainer:
    config = ModelConfig(V, V, cell=cell, hidden=5, layers=layers)
    return Trainer(config, plan, TextDataset(TEXT), initialise(config, np.random.default_rng(1)))


class Spy:
    """Watches through a watcher, and notes down what it could have seen."""

    def __init__(self, trainer: Trainer, clock: Callable[[], None] = lambda: None) -> None:
        self.trainer, self.monitor, self.clock = trainer, GradientMonitor(trainer), clock
        self.gradients: list[dict[str, Array]] = []
        self.weights: list[dict[str, Array]] = [copies(trainer.parameters)]

    def before_update(self, gradient: Array) -> None:
        self.clock()
        before = gradient.copy()
        self.gradients.append(copies(self.trainer.parameters.like(before)))
        self.monitor.before_update(gradient)
        assert np.array_equal(gradient, before)

    def after_update(self) -> GradientSnapshot | None:
        before = copies(self.trainer.parameters)
        snapshot = self.monitor.after_update()
        for name, array in self.trainer.parameters.items():
            assert np.array_equal(array, before[name])
        self.weights.append(before)
        return snapshot


def copies(parameters: Parameters) -> dict[str, Array]:
    return {name: array.astype(np.float64) for name, array in parameters.items()}


def watched(trainer: Trainer, spy: Spy) -> tuple[list[Step], list[GradientSnapshot]]:
    trainer.watch = spy
    events = list(train(trainer))
    steps = [event for event in events if isinstance(event, Step)]
    return steps, [event for event in events if isinstance(event, GradientSnapshot)]


def test_a_watched_run_is_the_same_to_the_last_bit(cell: str) -> None:
    ends = []
    for watching_it in (False, True):
        with begin(cell) as trainer:
            if watching_it:
                trainer.watch = GradientMonitor(trainer)
            events = list(train(trainer))
            assert any(isinstance(event, GradientSnapshot) for event in events) == watching_it
            kept = [
                replace(event, seconds=0.0, chars_per_second=0.0)
                for event in events
                if isinstance(event, Step)
            ]
            arrays = (trainer.parameters.vector, trainer.states.vector)
            ends.append((kept, [array.tobytes() for array in arrays], trainer.progress))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_norms_and_updates_are_those_of_a_second_computation(cell: str, optimiser: str) -> None:
    plan = replace(PLAN, optimiser=optimiser, lr=0.01)
    with begin(cell, plan) as trainer:
        spy = Spy(trainer)
        steps, snapshots = watched(trainer, spy)
    assert [snapshot.step for snapshot in snapshots] == [
        NORMS_EVERY,
        2 * NORMS_EVERY,
        3 * NORMS_EVERY,
    ]
    for snapshot in snapshots:
        gradient = spy.gradients[snapshot.step - 1]
        before, after = spy.weights[snapshot.step - 1], spy.weights[snapshot.step]
        assert list(snapshot.gradient_norms) == list(trainer.parameters)
        for name, value in snapshot.gradient_norms.items():
            assert value == pytest.approx(np.linalg.norm(gradient[name].ravel()), rel=1e-5)
        squares = sum(value**2 for value in snapshot.gradient_norms.values())
        assert math.sqrt(squares) == pytest.approx(steps[snapshot.step - 1].gradient_norm, rel=1e-5)
        for name, ratio in snapshot.update_to_weight.items():
            moved = np.linalg.norm((after[name] - before[name]).ravel())
            assert ratio == pytest.approx(moved / np.linalg.norm(before[name].ravel()), rel=1e-3)
            assert ratio > 0
        still_zero = {name for name, array in before.items() if not array.any()}
        assert set(snapshot.update_to_weight) == set(before) - still_zero
    assert steps[-1].gradient_norm_clipped <= 0.2 * (1 + 1e-6)


def test_the_gradient_by_lag_is_the_profile_of_the_weights_at_that_step(cell: str) -> None:
    with begin(cell) as trainer:
        spy = Spy(trainer)
        spy.monitor.profile_every = NORMS_EVERY
        _, snapshots = watched(trainer, spy)
        weights = trainer.parameters
        assert not np.array_equal(weights["W_hy"], spy.weights[0]["W_hy"])
        last = gradient_profile(
            trainer.model_config, weights, TEXT, lags=PROFILE_LAGS, windows=PROFILE_WINDOWS
        )
    assert all(snapshot.gradient_by_lag is not None for snapshot in snapshots)
    found = snapshots[-1].gradient_by_lag
    assert found is not None
    assert list(found) == [f"layers.{line.layer}.{line.state}" for line in last.main_states]
    for line in last.main_states:
        told = found[f"layers.{line.layer}.{line.state}"]
        assert list(told) == ["ratio", "horizon_chars", "rate_per_char"]
        assert len(told["ratio"]) == PROFILE_LAGS + 1
        assert told["ratio"] == pytest.approx(line.ratio, rel=1e-3)
        assert told["horizon_chars"] == line.horizon_chars
        assert told["rate_per_char"] == line.rate_per_char


@pytest.mark.parametrize(("look_seconds", "step_seconds"), [(2.0, 0.01), (0.003, 0.02), (1e-9, 1)])
def test_the_interval_keeps_to_the_share_of_time(
    look_seconds: float, step_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    taken = []

    def profiled(self: GradientMonitor) -> dict[str, Any]:
        nonlocal now
        now += look_seconds
        taken.append(self.trainer.progress.step)
        return {}

    def tick() -> None:
        nonlocal now
        now += step_seconds

    monkeypatch.setattr(gradient_monitor, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(GradientMonitor, "_profile", profiled)
    with begin("rnn") as trainer:
        _, snapshots = watched(trainer, Spy(trainer, tick))
    [every] = {snapshot.profile_every for snapshot in snapshots}
    affordable = look_seconds / (MAX_TIME_SHARE * step_seconds)
    assert every % NORMS_EVERY == 0
    assert affordable * (1 - 1e-9) <= every < affordable + NORMS_EVERY + 1e-6
    assert snapshots[0].gradient_by_lag is not None
    for snapshot in snapshots[1:]:
        assert (snapshot.gradient_by_lag is not None) == (snapshot.step % every == 0)


def test_the_first_profile_is_that_of_the_first_weights() -> None:
    with begin("gru") as trainer:
        spy = Spy(trainer)
        start = spy.monitor._by_lag
        spy.monitor.profile_every = 1000
        _, snapshots = watched(trainer, spy)
    assert snapshots[0].gradient_by_lag is start
    assert [snapshot.gradient_by_lag for snapshot in snapshots[1:]] == [None, None]


def test_norms_are_those_of_each_array() -> None:
    parameters = Parameters({"W": (2, 2), "b": (3,)})
    parameters["W"][...] = [[3, 0], [0, 4]]
    assert parameter_norms(parameters) == {"W": 5.0, "b": 0.0}


def test_the_norm_of_a_layer_is_the_root_of_the_sum_of_squares() -> None:
    joined = norms_by_layer(
        {"layers.0.W_hh": 3.0, "layers.0.b_h": 4.0, "layers.1.b_h": 2.0, "W_hy": 5.0, "b_y": 12.0}
    )
    assert joined == {"layers.0": 5.0, "layers.1": 2.0, "readout": 13.0}
    assert norms_by_layer({}) == {}


def row(step: int, before: float, after: float | None = None) -> dict[str, Any]:
    clipped = before if after is None else after
    return {"step": step, "gradient_norm": before, "gradient_norm_clipped": clipped}


class TestRecent:
    def test_nothing_is_known_before_the_first_step(self) -> None:
        assert recent_norms([]) is None
        assert recent_norms([{"step": 3, "validation_nats_per_char": 1.0}]) is None
        assert (
            recent_norms([{"step": 3, "gradient_norm": None, "gradient_norm_clipped": None}])
            is None
        )

    def test_it_counts_how_often_the_clip_binds(self) -> None:
        found = recent_norms([row(1, 0.5), row(2, 2.0, 1.0), row(3, 1.0, 1.0), row(4, 4.0, 1.0)])
        assert found is not None
        assert (found.steps, found.clipped, found.median_norm) == (4, 0.5, 1.5)

    def test_rounding_is_no_clipping(self) -> None:
        found = recent_norms([row(1, 1.0, 1.0 - 1e-12)])
        assert found is not None
        assert found.clipped == 0.0

    def test_a_spike_stands_out_from_the_median(self) -> None:
        quiet = [row(step, 1.0) for step in range(1, 10)]
        found = recent_norms(
            [*quiet, row(10, SPIKE_RATIO), row(11, SPIKE_RATIO * 1.01), row(12, 1.0)]
        )
        assert found is not None
        assert found.spikes == (11,)
        assert found.median_norm == 1.0

    def test_no_gradient_has_no_spikes(self) -> None:
        found = recent_norms([row(step, 0.0) for step in range(5)])
        assert found is not None
        assert (found.spikes, found.median_norm, found.clipped) == ((), 0.0, 0.0)

    def test_only_the_last_rows_count(self) -> None:
        rows = [row(0, 1000.0, 1.0), *(row(step, 1.0) for step in range(1, RECENT_STEPS + 1))]
        found = recent_norms(rows)
        assert found is not None
        assert (found.steps, found.spikes, found.clipped) == (RECENT_STEPS, (), 0.0)
        shorter = recent_norms(rows, last=3)
        assert shorter is not None
        assert shorter.steps == 3
