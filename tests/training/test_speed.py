"""Speed calibration: it leaves the run unchanged, and computes the gain of workers correctly."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training import speed as calibration
from charrnn.training.speed import (
    MAX_CALLS,
    MAX_MEASUREMENT_SECONDS,
    MIN_SPEEDUP,
    Speed,
    measure_speed,
)
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

V = 5
TEXT = np.random.default_rng(4).integers(V, size=200).astype(np.uint8)


def begin(cell: str) -> Trainer:
    config = ModelConfig(V, V, cell=cell, hidden=4, layers=2, dropout=0.2)
    training = TrainingConfig(
        steps=8, seq_length=6, batch_size=4, state_reset_prob=0.2, ema_decay=0.9
    )
    return Trainer(
        config, training, TextDataset(TEXT), initialise(config, np.random.default_rng(2))
    )


def everything(trainer: Trainer) -> list[np.ndarray]:
    return [
        trainer.parameters.vector.copy(),
        trainer.model.vector.copy(),
        trainer.states.vector.copy(),
        *(array.copy() for array in trainer.optimiser.state.values()),
        np.array([trainer.optimiser.updates, trainer.progress.step]),
    ]


@pytest.mark.parametrize("steps", [0, 3])
def test_measuring_leaves_the_run_as_it_was(cell: str, steps: int) -> None:
    with begin(cell) as measured, begin(cell) as plain:
        for trainer in (measured, plain):
            for _ in range(steps):
                trainer.step()
        measure_speed(measured, max_seconds=0.0)
        for left, right in zip(everything(measured), everything(plain), strict=True):
            np.testing.assert_array_equal(left, right)
        assert measured.step().nats == plain.step().nats
        for left, right in zip(everything(measured), everything(plain), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("characters", [30, 200])
def test_everything_takes_time_even_on_a_short_text(cell: str, characters: int) -> None:
    with begin(cell) as trainer:
        speed = measure_speed(trainer, max_seconds=0.0)
    assert 0 < speed.validation_character < speed.stream_character
    assert 0 < speed.step == speed.step_alone
    assert not speed.workers_are_faster


def test_sharing_pays_when_it_is_clearly_faster() -> None:
    def pays(step: float) -> bool:
        return Speed(step, 1.0, 1.0, 1.0).workers_are_faster

    assert pays(0.5)
    assert pays(0.99 / MIN_SPEEDUP)
    assert not pays(1.01 / MIN_SPEEDUP)
    assert not pays(5.0)


def clock(durations: list[float]) -> Iterator[float]:
    """Yield the times before and after each piece of work."""
    now = 0.0
    for duration in durations:
        yield now
        now += duration
        yield now


@pytest.mark.parametrize(
    ("durations", "expected", "calls"),
    [
        ([0.01] * 4 + [MAX_MEASUREMENT_SECONDS] * 5, 0.01, 6),  # ends once patience is used up…
        (
            [MAX_MEASUREMENT_SECONDS, 2 * MAX_MEASUREMENT_SECONDS],
            1.5 * MAX_MEASUREMENT_SECONDS,
            3,
        ),  # … but never before two values
        ([0.001] * 13 + [0.02] * 20, 0.001, MAX_CALLS + 1),  # nor after too many
    ],
)
def test_the_time_of_work_is_a_median_without_the_first(
    monkeypatch: pytest.MonkeyPatch, durations: list[float], expected: float, calls: int
) -> None:
    ticks = clock(durations)
    monkeypatch.setattr(calibration, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    done: list[int] = []

    def work(call: int) -> float:
        done.append(call)
        return 3.0

    seconds = calibration._seconds(work, lambda: False)
    assert done == [0, *range(calls - 1)]
    assert seconds == pytest.approx(3 * expected)
