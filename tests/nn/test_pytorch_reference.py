"""Golden values: networks and optimisers against PyTorch, a run against its first losses."""

from pathlib import Path

import numpy as np
import pytest

from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.optim.optimisers import MATRIX_SCALE, OPTIMISERS, Muon
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

GATES = {"rnn": ["h"], "lstm": ["i", "f", "g", "o"], "gru": ["r", "z", "n"]}
"""The order in which PyTorch stacks the gates of each cell."""

with np.load(Path(__file__).parent / "golden" / "pytorch.npz", allow_pickle=False) as file:
    GOLDEN: dict[str, Array] = dict(file)


def ours(cell: str, layers: int, theirs: dict[str, Array], *, gradients: bool) -> dict[str, Array]:
    """PyTorch's weights, or their gradients, in our names, gate order and layout.

    PyTorch has two biases a gate where one would do: weights add up, gradients are the same.
    """
    order = [GATES[cell].index(gate) for gate in CELLS[cell].gates]

    def matrices(array: Array) -> Array:
        H = array.shape[0] // len(order)
        return array.reshape(len(order), H, -1)[order].transpose(0, 2, 1)

    def biases(array: Array) -> Array:
        return array.reshape(len(order), -1)[order]

    arrays = {"W_hy": theirs["readout.weight"].T, "b_y": theirs["readout.bias"]}
    for layer in range(layers):
        below, name = f"layers.{layer}", f"rnn.{{}}_l{layer}"
        b_x, b_h = (biases(theirs[name.format(bias)]) for bias in ("bias_ih", "bias_hh"))
        arrays[f"{below}.W_xh"] = matrices(theirs[name.format("weight_ih")])
        arrays[f"{below}.W_hh"] = matrices(theirs[name.format("weight_hh")])
        arrays[f"{below}.b_h"] = b_x.copy()
        shared = [gate for gate, kind in enumerate(CELLS[cell].gates) if kind != "n"]
        if gradients:
            np.testing.assert_allclose(b_x[shared], b_h[shared], rtol=1e-12)
        else:
            arrays[f"{below}.b_h"][shared] += b_h[shared]
        if "b_n" in CELLS[cell].shapes(1, 1):
            arrays[f"{below}.b_n"] = b_h[CELLS[cell].gates.index("n")]
    return arrays


def stored(network: str, kind: str) -> dict[str, Array]:
    prefix = f"{network}.{kind}."
    return {name.removeprefix(prefix): a for name, a in GOLDEN.items() if name.startswith(prefix)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", GATES)
def test_outputs_loss_and_gradients_are_pytorchs(cell: str, layers: int) -> None:
    name = f"{cell}{layers}"
    ids, logits = GOLDEN[f"{name}.ids"], GOLDEN[f"{name}.logits"]
    T, B, V = logits.shape
    states = stored(name, "s")
    config = ModelConfig(V, V, cell=cell, hidden=states["h"].shape[-1], layers=layers)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.fill_from(ours(cell, layers, stored(name, "w"), gradients=False))
    gradients = parameters.like()
    network = Network(config, parameters, T, B, gradients)
    for state_name, state in network.states().items():
        _, layer, letter = state_name.split(".")
        state[...] = states[letter][int(layer)]
        assert np.abs(state).max() > 0.1

    np.testing.assert_allclose(network.forward(ids[:-1]), logits, rtol=0, atol=1e-9)
    loss = network.loss(ids[1:]).mean()
    assert loss == pytest.approx(float(GOLDEN[f"{name}.loss"]), abs=1e-9)
    network.backward(ids[1:], 1 / (T * B))
    expected = ours(cell, layers, stored(name, "g"), gradients=True)
    assert set(expected) == set(gradients)
    for weight, gradient in gradients.items():
        assert np.abs(expected[weight]).max() > 1e-4
        np.testing.assert_allclose(gradient, expected[weight], rtol=0, atol=1e-9, err_msg=weight)


@pytest.mark.parametrize(
    ("path", "lr", "decay"),
    [
        ("adam", 0.01, 0.0),
        ("adam_decay", 0.01, 0.1),
        ("adamw", 0.01, 0.0),
        ("adamw_decay", 0.01, 0.1),
        ("rmsprop", 0.01, 0.0),
        ("sgd", 0.01, 0.0),
        ("adagrad", 0.1, 0.0),
    ],
)
def test_an_optimiser_takes_the_steps_of_pytorch(path: str, lr: float, decay: float) -> None:
    w = GOLDEN["start"].copy()
    optimiser = OPTIMISERS[path.removesuffix("_decay")](w, decay)
    for gradient, expected in zip(GOLDEN["gradients"], GOLDEN[f"{path}.path"], strict=True):
        optimiser.update(w, gradient.copy(), lr)
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-9)
    assert np.abs(w - GOLDEN["start"]).max() > 0.05


def test_muon_takes_the_steps_of_pytorch_within_its_precision() -> None:
    """PyTorch iterates in bfloat16, whose numbers have three significant digits."""
    w = GOLDEN["muon.start"].ravel().copy()
    side = len(GOLDEN["muon.start"])
    optimiser = Muon(w, 0.0, {"layers.0.W_hh": (1, side, side)})
    before = GOLDEN["muon.start"]
    for gradient, expected in zip(GOLDEN["muon.gradients"], GOLDEN["muon.path"], strict=True):
        optimiser.update(w, gradient.ravel().copy(), 0.1 / MATRIX_SCALE)
        change = np.linalg.norm(expected - before)
        assert np.linalg.norm(w.reshape(side, side) - expected) < 0.05 * change
        before = expected
        w[...] = expected.ravel()
    assert change > 0.3 * 0.1 * np.sqrt(side)


def test_every_optimiser_that_pytorch_has_too_has_a_golden_path() -> None:
    paths = {name.removesuffix(".path") for name in GOLDEN if name.endswith(".path")}
    assert {"adagrad", "adam", "adamw", "muon", "rmsprop", "sgd"} <= paths & set(OPTIMISERS)


FIRST_LOSSES: dict[str, list[float]] = {
    "rnn": [
        2.45739,
        2.41217,
        2.30485,
        2.27489,
        2.36326,
        2.23629,
        2.23124,
        2.19887,
        2.16399,
        2.14602,
    ],
    "lstm": [
        2.39660,
        2.37862,
        2.38893,
        2.37945,
        2.35056,
        2.34740,
        2.29921,
        2.29331,
        2.28144,
        2.25379,
    ],
    "gru": [
        2.38960,
        2.36072,
        2.31351,
        2.27121,
        2.28740,
        2.16314,
        2.03813,
        2.00098,
        1.97619,
        2.04635,
    ],
}


@pytest.mark.parametrize("cell", FIRST_LOSSES)
def test_the_first_ten_losses_of_a_run_stay_what_they_were(cell: str) -> None:
    """Weights, windows, resets, dropout masks, clipping and schedule: any change shows here."""
    text = np.array([(i * i + i // 7) % 11 for i in range(1200)], np.uint8)
    model = ModelConfig(11, 11, cell=cell, hidden=12, layers=2, dropout=0.2)
    config = TrainingConfig(
        steps=10,
        lr=0.1,
        warmup_steps=3,
        seq_length=12,
        batch_size=8,
        state_reset_prob=0.3,
        clip_norm=0.5,
        seed=5,
    )
    with Trainer(
        model, config, TextDataset(text), initialise(model, np.random.default_rng(5))
    ) as trainer:
        losses = [trainer.step().nats for _ in range(10)]
    np.testing.assert_allclose(losses, FIRST_LOSSES[cell], rtol=0, atol=1e-4)
