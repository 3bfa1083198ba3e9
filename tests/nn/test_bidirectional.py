"""Bidirectional layers: gradients by definition, padding without effect, and a plain reference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charrnn.errors import UsageError
from charrnn.nn.bidirectional import USES, W_CTX
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.randomness import DropoutDraws
from charrnn.types import Array, Ids
from tests.nn.gradients import assert_same, gradients_of

T, D, V, H = 6, 4, 3, 3
LENGTHS = np.array([3, 1, 5])
B = len(LENGTHS)
ENDS = np.array([6, 3, 6])
"""Where each row ends, where `use` is `context`: its answer follows its inputs."""

use = pytest.mark.parametrize("use", USES)
layers = pytest.mark.parametrize("layers", [1, 2])
dropout = pytest.mark.parametrize(
    "dropout",
    [{}, {"dropout": 0.4}, {"recurrent_dropout": 0.4}],
    ids=["all units", "dropout", "recurrent dropout"],
)


def scored_positions(use: str, times: int = T) -> Array:
    """Return which positions (T, B) have a target."""
    t = np.arange(times)[:, None]
    if use == "each":
        scored: Array = t < LENGTHS
    elif use == "last":
        scored = t == LENGTHS - 1
    else:
        scored = (t >= LENGTHS) & (t < ENDS)
    return scored


class Problem:
    """One batch of rows of different lengths, and the loss of it as a function of the weights."""

    def __init__(self, use: str, rng: np.random.Generator) -> None:
        self.inputs = rng.integers(D, size=(T, B))
        self.targets = rng.integers(V, size=(T, B))
        self.weights = rng.normal(1, 0.5, size=(T, B)) * scored_positions(use)

    def loss(self, network: Network) -> Any:
        """Return Σ weights · nats, with the same dropout at each call."""
        config = network.config
        drops = config.dropout or config.recurrent_dropout
        network.reset_state()
        network.forward(self.inputs, DropoutDraws(7) if drops else None, LENGTHS)
        return np.sum(self.weights * network.loss(self.targets))


@use
@layers
@dropout
def test_every_gradient_is_the_complex_step_derivative(
    build: Callable[..., Network],
    rng: np.random.Generator,
    cell: str,
    layers: int,
    use: str,
    dropout: dict[str, Any],
) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H, layers=layers, bidirectional=use, **dropout)
    network = build(config, T, B, size=0.7)
    problem = Problem(use, rng)
    gradients = gradients_of(network, problem)
    stepped = network.parameters.astype(complex)
    perturbed = Network(config, stepped, T, B, stepped.like())
    expected = network.parameters.like()
    for i in range(len(stepped.vector)):
        stepped.vector[i] += 1e-30j
        expected.vector[i] = problem.loss(perturbed).imag / 1e-30
        stepped.vector[i] = stepped.vector[i].real
    assert_same(gradients, expected, 1e-10)


@use
@layers
def test_every_gradient_is_the_central_difference(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int, use: str
) -> None:
    network = build(ModelConfig(D, V, cell=cell, hidden=H, layers=layers, bidirectional=use), T, B)
    problem = Problem(use, rng)
    gradients = gradients_of(network, problem)
    expected, vector = network.parameters.like(), network.parameters.vector
    for i, weight in enumerate(vector.copy()):
        vector[i] = weight + 1e-5
        above = problem.loss(network)
        vector[i] = weight - 1e-5
        expected.vector[i] = (above - problem.loss(network)) / 2e-5
        vector[i] = weight
    assert_same(gradients, expected, 1e-6)


@use
@layers
def test_more_padding_changes_no_prediction_and_no_gradient(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int, use: str
) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H, layers=layers, bidirectional=use)
    network = build(config, T, B)
    problem = Problem(use, rng)
    gradients = gradients_of(network, problem)
    logits = network.logits.copy()
    parameters = network.parameters
    longer = Network(config, parameters, T + 4, B, parameters.like())

    def padded(array: Array) -> Array:
        """Put other symbols behind each row, and behind the batch."""
        filled = rng.integers(V, size=(T + 4, B)).astype(array.dtype)
        real = np.arange(T)[:, None] < (ENDS if use == "context" else LENGTHS)
        filled[:T] = np.where(real, array, filled[:T])
        return filled

    longer.forward(padded(problem.inputs), lengths=LENGTHS)
    targets = padded(problem.targets)
    longer.loss(targets)
    weights = np.concatenate([problem.weights, np.zeros((4, B))])
    longer.backward(targets, weights)
    scored = scored_positions(use)
    np.testing.assert_allclose(longer.logits[:T][scored], logits[scored], rtol=1e-12)
    assert longer.gradients is not None
    np.testing.assert_allclose(longer.gradients.vector, gradients.vector, rtol=1e-9, atol=1e-12)


def read(config: ModelConfig, weights: dict[str, Array], x: Array, a: Array | float = 0) -> Array:
    """Return the outputs (T, H) of one cell over vectors x (T, D), its pre-activations plus a."""
    cell = CELLS[config.cell](weights, None, len(x), 1)
    cell.project_inputs(np.ascontiguousarray(x[:, None]))
    cell.a += a
    return cell.forward()[:, 0].copy()


@use
def test_each_row_is_read_as_two_plain_cells_would(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, use: str
) -> None:
    """Two layers, one row at a time without padding, written down once more in a plain way."""
    config = ModelConfig(D, V, cell=cell, hidden=H, layers=2, bidirectional=use)
    network = build(config, T, B)
    problem = Problem(use, rng)
    network.reset_state()
    logits = network.forward(problem.inputs, lengths=LENGTHS)
    p = network.parameters
    for row, n in enumerate(LENGTHS):
        end = ENDS[row] if use == "context" else n
        x = np.eye(D)[problem.inputs[:end, row]]
        for layer in range(2):
            forward, backward = (p.subset(name) for name in config.cell_names(layer))
            reverse = read(config, backward, x[:n][::-1])[::-1]
            added = np.zeros((len(forward["W_xh"]), end, 1, H))
            if use == "context" and layer == 0:
                added[: len(forward["W_hh"]), n, 0] = reverse[0] @ p[W_CTX]
            beside = np.concatenate([reverse, np.repeat(reverse[:1], end - n, axis=0)])
            if layer == 1 and use != "each":
                beside[:] = reverse[0]
            x = np.concatenate([read(config, forward, x, added), beside], axis=1)
        expected = x @ p["W_hy"] + p["b_y"]
        scored = scored_positions(use)[:end, row]
        assert scored.any()
        np.testing.assert_allclose(logits[:end, row][scored], expected[scored], rtol=1e-10)


def test_a_context_is_carried_to_where_an_answer_is_written_step_by_step(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H, layers=2, bidirectional="context")
    network = build(config, T, B)
    inputs: Ids = rng.integers(D, size=(T, B))
    network.reset_state()
    logits = network.forward(inputs, lengths=LENGTHS).copy()
    writer = Network(config, network.parameters, 1, B)
    writer.load_states(network.states_at(LENGTHS))
    for step in range(T):
        read = np.full(B, -1 if step else 0)  # GO stands at the first step
        at = np.minimum(LENGTHS + step, T - 1)
        symbols = inputs[at, np.arange(B)][None]
        written = writer.forward(symbols, lengths=read)[0]
        inside = LENGTHS + step < T
        np.testing.assert_allclose(written[inside], logits[at, np.arange(B)][inside], rtol=1e-10)
        writer.carry_state()


def test_the_backward_cells_have_weights_of_their_own(cell: str) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H, bidirectional="last")
    one_way = ModelConfig(D, V, cell=cell, hidden=H)
    cell_weights = one_way.size - (H + 1) * V
    assert config.size == 2 * cell_weights + (2 * H + 1) * V
    parameters = initialise(config, np.random.default_rng(0))
    assert not np.array_equal(parameters["layers.0.W_hh"], parameters["layers.0_reverse.W_hh"])


def test_an_unknown_use_is_refused() -> None:
    with pytest.raises(UsageError, match="no use of backward states called 'both'"):
        ModelConfig(D, V, bidirectional="both")
