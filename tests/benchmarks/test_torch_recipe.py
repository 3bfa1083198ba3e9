"""The recipe on PyTorch takes the steps of charrnn; it refuses what it lacks. Needs torch."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.export.pytorch_weights import to_pytorch
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim import optimisers
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

pytest.importorskip("torch")

import torch

from tests.benchmarks import peer_runs
from tests.benchmarks.torch_recipe import Recipe

V, H = 7, 8
CONFIG = TrainingConfig(
    steps=8,
    lr=0.1,
    schedule="constant",
    warmup_steps=0,
    weight_decay=0.05,
    seq_length=5,
    batch_size=3,
    state_reset_prob=0.3,
    clip_norm=0.2,
)


def weights_of_both(model: ModelConfig, config: TrainingConfig, steps: int) -> list[dict[str, Any]]:
    """Return the weights after some steps of charrnn, those of the recipe, and the first ones."""
    ids = np.random.default_rng(1).integers(V, size=400)
    initial = initialise(model, np.random.default_rng(2))
    recipe = Recipe(ids, model, config, initial)
    with Trainer(model, config, TextDataset(ids), initial) as trainer:
        for number in range(steps):
            lr = trainer.step().lr
            recipe.step(number, lr)
        first = to_pytorch(model, initial)
        return [to_pytorch(model, trainer.parameters), recipe.net.state_dict(), first]


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("optimiser", "lr"),
    [
        *(("adagrad", 0.1), ("muon", 0.1), ("adam", 1e-2)),
        *(("adamw", 1e-2), ("rmsprop", 1e-3), ("sgd", 0.5)),
    ],
)
def test_steps_of_the_recipe_are_those_of_charrnn(
    optimiser: str, lr: float, layers: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimisers, "HIDDEN_PER_PERIOD", H // 2)  # matrices change at every second
    monkeypatch.setattr(optimisers, "FULL_LR_HIDDEN", H / 3)
    model = ModelConfig(V, V, hidden=H, layers=layers)
    config = replace(CONFIG, optimiser=optimiser, lr=lr)
    ours, theirs, first = weights_of_both(model, config, steps)
    assert ours.keys() == theirs.keys()
    for name, expected in ours.items():
        np.testing.assert_allclose(theirs[name].numpy(), expected, atol=1e-5, err_msg=name)
    changed = [name for name in first if np.abs(ours[name] - first[name]).max() > 1e-3]
    assert len(changed) == 2 + 3 * layers  # all but the second biases


def test_elements_of_the_gradient_are_clipped_too() -> None:
    config = replace(CONFIG, optimiser="sgd", lr=1.0, clip_norm=None, clip_value=1e-4)
    ours, theirs, first = weights_of_both(ModelConfig(V, V, hidden=8), config, 1)
    for name, expected in ours.items():
        np.testing.assert_allclose(theirs[name].numpy(), expected, atol=1e-6, err_msg=name)
    change = np.abs(ours["readout.bias"] - first["readout.bias"]).max()
    assert change == pytest.approx(1e-4)


def test_labels_are_smoothed_too() -> None:
    config = replace(CONFIG, optimiser="sgd", lr=1.0, clip_norm=None, label_smoothing=0.5)
    ours, theirs, _ = weights_of_both(ModelConfig(V, V, hidden=8), config, 2)
    for name, expected in ours.items():
        np.testing.assert_allclose(theirs[name].numpy(), expected, atol=1e-6, err_msg=name)
    plain, *_ = weights_of_both(
        ModelConfig(V, V, hidden=8), replace(config, label_smoothing=0.0), 2
    )
    assert np.abs(ours["readout.bias"] - plain["readout.bias"]).max() > 1e-3


@pytest.mark.parametrize(
    ("model", "training", "named"),
    [
        ({"cell": "gru"}, {}, "cell gru"),
        ({"recurrent_dropout": 0.25}, {}, r"recurrent_dropout 0\.25"),
        ({}, {"optimiser": "adagrad-damped"}, "optimiser adagrad-damped"),
        ({}, {"ema_decay": 0.9, "patience": 2}, r"ema_decay 0\.9, patience 2"),
        ({}, {"loss": "sum"}, "loss sum"),
    ],
)
def test_a_setting_without_a_form_is_refused_by_name(
    model: dict[str, Any], training: dict[str, Any], named: str
) -> None:
    network = ModelConfig(V, V, hidden=8, **model)
    with pytest.raises(ValueError, match=f"no form of {named}$"):
        Recipe(np.zeros(100, np.int64), network, replace(CONFIG, **training))


@pytest.mark.parametrize("shape", [(6, 6), (4, 12), (12, 4)])
def test_muon_in_float32_takes_the_steps_of_pytorch(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first = [torch.randn(shape) for _ in range(2)]
    ours, theirs = ([torch.nn.Parameter(w.clone()) for w in first] for _ in range(2))
    muon = peer_runs.FloatMuon(ours, 0.1, weight_decay=0.5)
    plain = torch.optim.Muon(theirs, 0.1, weight_decay=0.5, adjust_lr_fn="original")
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(shape)
            other.grad = one.grad.clone()
        muon.step()
        plain.step()
    for one, other, before in zip(ours, theirs, first, strict=True):
        change = torch.linalg.norm(other - before)
        assert torch.linalg.norm(one - other) < 0.02 * change  # bfloat16 has three digits


def test_a_rate_rises_by_steps_and_falls_with_the_time_that_is_left() -> None:
    rate = peer_runs.Rate(2, lambda done: 1 - done)
    assert [rate(0, 0.0), rate(1, 0.2)] == [0.5, 1.0]
    assert rate(2, 0.6) == pytest.approx(0.5)
    assert rate(9, 1.0) == 0
    slow = peer_runs.Rate(100, lambda done: 1 - done)
    assert [slow(0, 0.0), slow(1, 0.4)] == [0.01, 0.6]  # a third of the time is over


def test_a_run_is_validated_at_its_marks_and_ends_at_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = SimpleNamespace(perf_counter=count().__next__)  # a step takes one
    monkeypatch.setattr(peer_runs, "time", seconds)
    done: list[float] = []
    marks = (1.5, 4)
    points = peer_runs.timed(lambda number, share: done.append(share), marks, lambda: len(done))
    assert list(points) == [(2, 2), (4, 4)]
    assert done == [0, 0.25, 0.5, 0.75]


def test_a_run_of_so_many_steps_ends_with_them() -> None:
    done: list[float] = []
    marks = (1e6, 2e6)
    (point,) = peer_runs.timed(lambda n, share: done.append(share), marks, lambda: 1.5, steps=4)
    assert done == [0, 0.25, 0.5, 0.75]
    assert point[1] == 1.5
