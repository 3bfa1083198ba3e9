"""Distillation: the probabilities of teachers, what they generate, and what a student learns."""

import os

import numpy as np
import pytest

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.inference.ensemble import nats_by_window
from charrnn.inference.model import Model
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.distillation import (
    GENERATION_SHARE,
    WARM_UP,
    Teachers,
    teachers_by_time,
)
from charrnn.training.presets import Budget
from charrnn.training.text_dataset import DistilledText, TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

TEXT = "the cat sat on a mat. "
VOCABULARY = Vocabulary("".join(sorted(set(TEXT))))
V = len(VOCABULARY)
CONFIG = TrainingConfig(steps=20, batch_size=4, seq_length=16)


def teacher(seed: int, cell: str = "lstm", symbols: Vocabulary = VOCABULARY) -> Model:
    """Return a model of large random weights: its probabilities depend on what it has read."""
    config = ModelConfig(len(symbols), len(symbols), cell=cell, hidden=12)
    parameters = initialise(config, np.random.default_rng(seed))
    parameters.vector *= 2
    record = CorpusRecord("text", "0" * 64, 1000, 0.1)
    return Model(Checkpoint(config, symbols, parameters, record, 0))


def text(characters: int) -> Array:
    """Return ids in random order."""
    return np.random.default_rng(5).integers(V, size=characters).astype(np.uint8)


@pytest.mark.parametrize("characters", [2, 3, 100, 700, 5_000])
def test_the_probabilities_of_the_text_are_those_of_the_ensemble(characters: int) -> None:
    models = [teacher(0), teacher(1, "mlstm")]
    ids = text(characters)
    found = Teachers(models).distil(ids, 0, seed=0).probabilities
    assert found.shape == (characters, V)
    nats = [np.concatenate([*nats_by_window(model, ids)]) for model in models]
    expected = np.exp(-np.array(nats)).mean(axis=0)
    assert np.abs(found[np.arange(1, characters), ids[1:]] - expected).max() < 2e-3
    assert found.astype(float).sum(axis=1) == pytest.approx(np.ones(characters), abs=2e-3)


def test_what_is_generated_follows_the_probabilities_that_are_returned() -> None:
    models = [teacher(0), teacher(1)]
    made = Teachers(models).distil(text(300), 20_000, seed=1)
    G = len(made.generated)
    p = made.probabilities[300:].astype(float)
    p /= p.sum(axis=1, keepdims=True)
    nats = -np.log(p[np.arange(G), made.generated])
    entropy = -(p * np.log(np.maximum(p, 1e-9))).sum(axis=1)
    assert abs((nats - entropy).mean()) < 4 * (nats - entropy).std() / np.sqrt(G)
    # And they are those that the teachers give behind what was generated:
    ids = made.generated.reshape(-1, G // 512)[7]
    again = Teachers(models).distil(ids, 0, seed=0).probabilities[WARM_UP // 8 :]
    same = made.probabilities[300:].reshape(-1, len(ids), V)[7, WARM_UP // 8 :]
    assert np.abs(again.astype(float) - same).max() < 0.05
    assert np.bincount(made.generated, minlength=V).min() > 0


def test_neither_threads_nor_repetition_change_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    teachers = Teachers([teacher(0)])
    first = teachers.distil(text(900), 2_048, seed=3)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    again = teachers.distil(text(900), 2_048, seed=3)
    assert (first.generated == again.generated).all()
    assert (first.probabilities == again.probabilities).all()
    other = teachers.distil(text(900), 2_048, seed=4)
    assert (first.generated != other.generated).any()


def test_progress_reaches_the_number_of_characters() -> None:
    told: list[int] = []
    Teachers([teacher(0)]).distil(text(900), 1_024, seed=0, progress=told.append)
    assert sum(told) == 900 - 1 + 1_024


def test_an_error_ends_all_parts() -> None:
    def fail(characters: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Teachers([teacher(0)]).distil(text(900), 10**6, seed=0, progress=fail)


def test_teachers_need_one_vocabulary() -> None:
    with pytest.raises(ValueError, match="one teacher or more"):
        Teachers([])
    with pytest.raises(ValueError, match="as many outputs"):
        Teachers([teacher(0), teacher(1, symbols=Vocabulary("abc"))])


def test_the_time_limits_how_much_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Teachers([teacher(0)])
    monkeypatch.setattr(Teachers, "generation_speed", lambda _: 20_000.0)
    assert one.default_generated(1_000_000, None) == 3_000_320
    assert one.default_generated(1_000_000, 60) == 3_000_320
    few = one.default_generated(10**9, 1)
    assert few == pytest.approx(GENERATION_SHARE * 60 * 20_000, abs=512)
    assert one.default_generated(10**9, 2) == pytest.approx(few * 2, abs=512)


def test_more_teachers_generate_more_slowly() -> None:
    one = teacher(0)
    speeds = [Teachers([one] * count).generation_speed() for count in (1, 8)]
    assert 2 < speeds[0] / speeds[1] < 20


@pytest.mark.parametrize(
    ("minutes", "speed", "teachers"),
    [
        (3.0, 1.0, 0),
        (10.0, 1.0, 0),
        (20.0, 0.4, 0),
        (30.0, 0.4, 4),
        (30.0, 1.0, 4),
        (120.0, 1.0, 4),
    ],
)
def test_a_run_that_would_overfit_trains_teachers(
    minutes: float, speed: float, teachers: int
) -> None:
    budget = Budget(minutes=minutes, relative_speed=speed)
    assert teachers_by_time(1_000_000, budget) == teachers
    assert teachers_by_time(100_000_000, budget) == 0
    assert teachers_by_time(1_000_000, Budget(epochs=100)) == 0


@pytest.mark.parametrize(
    ("minutes", "speed", "teachers"),
    [(7.9, 1.0, 0), (8.0, 1.0, 4), (15.0, 0.5, 0), (16.0, 0.5, 4), (40.0, 0.25, 4)],
)
def test_a_short_run_has_no_time_for_teachers(minutes: float, speed: float, teachers: int) -> None:
    """Although a network would overfit so short a text."""
    assert teachers_by_time(400_000, Budget(minutes=minutes, relative_speed=speed)) == teachers


def one_hot(ids: Array) -> Array:
    return np.eye(V, dtype=np.float16)[ids]


def weights(dataset: TextDataset, workers: int = 1) -> Array:
    """Return the weights after `CONFIG.steps` steps."""
    config = ModelConfig(V, V, cell="mlstm", hidden=8)
    initial = initialise(config, np.random.default_rng(0))
    plan = TrainingConfig(**(vars(CONFIG) | {"workers": workers}))
    with Trainer(config, plan, dataset, initial) as trainer:
        for _ in range(plan.steps):
            trainer.step()
        return trainer.parameters.vector.copy()


def test_a_sure_teacher_is_the_text_itself() -> None:
    """With all probability on the characters, a step is that of training without teachers."""
    ids, more = text(700), text(2_000)[700:]
    both = np.concatenate([ids, more])
    taught = DistilledText(ids, ids=both, probabilities=one_hot(both))
    assert (weights(taught) == weights(TextDataset(both))).all()
    assert (weights(taught) != weights(TextDataset(ids))).any()


def test_workers_share_what_teachers_say() -> None:
    ids = text(900)
    made = Teachers([teacher(0)]).distil(ids, 1_024, seed=0)
    both = np.concatenate([ids, made.generated])
    taught = DistilledText(ids, ids=both, probabilities=made.probabilities)
    assert weights(taught, workers=2) == pytest.approx(weights(taught), abs=1e-5)
    assert np.abs(weights(taught) - weights(TextDataset(both))).max() > 1e-3
