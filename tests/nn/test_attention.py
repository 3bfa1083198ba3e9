"""Attention: gradients by definition, padding without effect, a plain reference, and decoding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charrnn.errors import StorageError, UsageError
from charrnn.nn.attention import join_heads, split_heads
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.ops import log_softmax
from charrnn.randomness import DropoutDraws
from charrnn.types import Array
from tests.nn.gradients import assert_same, gradients_of

T, D, V, H = 7, 4, 3, 4
LENGTHS = np.array([3, 1, 5])
B = len(LENGTHS)
ENDS = np.array([6, 3, 7])
"""Where each row ends: its answer follows its inputs."""

layers = pytest.mark.parametrize("layers", [1, 2])
heads = pytest.mark.parametrize("heads", [1, 2])


def config_of(cell: str, layers: int, heads: int, **more: Any) -> ModelConfig:
    return ModelConfig(
        D,
        V,
        cell=cell,
        hidden=H,
        layers=layers,
        bidirectional="context",
        attention=heads,
        **more,
    )


class Problem:
    """One batch of rows of different lengths, and the loss of it as a function of the weights."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.inputs = rng.integers(D, size=(T, B))
        self.targets = rng.integers(V, size=(T, B))
        t = np.arange(T)[:, None]
        self.weights = rng.normal(1, 0.5, size=(T, B)) * ((t >= LENGTHS) & (t < ENDS))

    def loss(self, network: Network) -> Any:
        """Return Σ weights · nats, with the same dropout at each call."""
        drops = network.config.dropout or network.config.recurrent_dropout
        network.reset_state()
        network.forward(self.inputs, DropoutDraws(7) if drops else None, LENGTHS)
        return np.sum(self.weights * network.loss(self.targets))


@layers
@heads
@pytest.mark.parametrize("dropout", [{}, {"dropout": 0.4}, {"recurrent_dropout": 0.4}], ids=str)
def test_every_gradient_is_the_complex_step_derivative(
    build: Callable[..., Network],
    rng: np.random.Generator,
    cell: str,
    layers: int,
    heads: int,
    dropout: dict[str, Any],
) -> None:
    config = config_of(cell, layers, heads, **dropout)
    network = build(config, T, B, size=0.7)
    problem = Problem(rng)
    gradients = gradients_of(network, problem)
    stepped = network.parameters.astype(complex)
    perturbed = Network(config, stepped, T, B, stepped.like())
    expected = network.parameters.like()
    for i in range(len(stepped.vector)):
        stepped.vector[i] += 1e-30j
        expected.vector[i] = problem.loss(perturbed).imag / 1e-30
        stepped.vector[i] = stepped.vector[i].real
    assert_same(gradients, expected, 1e-10)


def test_every_gradient_is_the_central_difference(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(config_of(cell, 1, 1), T, B, size=0.7)
    problem = Problem(rng)
    gradients = gradients_of(network, problem)
    expected, vector = network.parameters.like(), network.parameters.vector
    for i, weight in enumerate(vector.copy()):
        vector[i] = weight + 1e-5
        above = problem.loss(network)
        vector[i] = weight - 1e-5
        expected.vector[i] = (above - problem.loss(network)) / 2e-5
        vector[i] = weight
    assert_same(gradients, expected, 1e-5)


@layers
@heads
def test_more_padding_changes_no_prediction_and_no_gradient(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int, heads: int
) -> None:
    network = build(config_of(cell, layers, heads), T, B)
    problem = Problem(rng)
    gradients = gradients_of(network, problem)
    log_p = network.logits.copy()
    parameters = network.parameters
    longer = Network(network.config, parameters, T + 4, B, parameters.like())

    def padded(array: Array) -> Array:
        """Put other symbols behind each row, and behind the batch."""
        filled = rng.integers(V, size=(T + 4, B)).astype(array.dtype)
        real = np.arange(T)[:, None] < ENDS
        filled[:T][real] = array[real]
        return filled

    longer_problem = Problem(rng)
    longer_problem.inputs, longer_problem.targets = map(padded, (problem.inputs, problem.targets))
    longer_problem.weights = np.zeros((T + 4, B))
    longer_problem.weights[:T] = problem.weights
    assert_same(gradients_of(longer, longer_problem), gradients, 1e-9)
    scored = problem.weights != 0
    np.testing.assert_allclose(longer.logits[:T][scored], log_p[scored], atol=1e-12)


@heads
def test_it_is_the_formula_one_answer_position_at_a_time(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, heads: int
) -> None:
    """The equations of the module's page, written with loops over rows, positions and heads."""
    network = build(config_of(cell, 1, heads), T, B, size=0.7)
    problem = Problem(rng)
    problem.loss(network)
    w, d = network.parameters, H // heads
    forward, (backward,) = network.layers[0], network.backward_cells
    for row, n in enumerate(LENGTHS):
        annotations = [
            (forward.h[s + 1, row], backward.h[n - s, row]) for s in range(n)
        ]  # the backward cell reads input s as its (n - s)-th
        for t in range(n, ENDS[row]):
            query = forward.h[t + 1, row] @ w["attention.W_query"]
            context = np.zeros(H)
            for head in range(heads):
                own = slice(head * d, (head + 1) * d)
                parts = [a[own] + b[own] for a, b in annotations]
                scores = np.array([part @ query[own] / np.sqrt(d) for part in parts])
                alpha = np.exp(scores) / np.exp(scores).sum()
                context[own] = sum(a * part for a, part in zip(alpha, parts, strict=True))
            r = np.tanh(
                forward.h[t + 1, row] @ w["attention.W_output"]
                + context @ w["attention.W_context"]
                + w["attention.b"]
            )
            np.testing.assert_allclose(network.logits[t, row], r @ w["W_hy"] + w["b_y"], atol=1e-12)


@layers
@heads
def test_an_answer_written_step_by_step_is_that_of_one_batch(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int, heads: int
) -> None:
    network = build(config_of(cell, layers, heads), T, B)
    problem = Problem(rng)
    problem.loss(network)
    at = np.full(B, T)
    expected = {t: network.logits[t].copy() for t in range(T)}
    assert network.attention is not None
    annotations = network.attention.annotations
    first = Network(network.config, network.parameters, int(LENGTHS.max()) + 1, B)
    first.forward(problem.inputs[: first.T], lengths=LENGTHS)
    states = first.states_at(LENGTHS + 1)
    step = Network(network.config, network.parameters, 1, B)
    step.load_states(states)
    assert step.attention is not None
    step.attention.annotations = annotations
    for k in range(1, 2):
        at = LENGTHS + k
        inputs = problem.inputs[at.clip(max=T - 1), np.arange(B)][None]
        logits = step.forward(inputs, lengths=np.full(B, -1))[0]
        for row in np.flatnonzero(at < ENDS):
            np.testing.assert_allclose(logits[row], expected[at[row]][row], atol=1e-12)
        step.carry_state()


def test_inputs_whose_shares_exceed_the_memory_are_refused() -> None:
    config = config_of("lstm", 1, 2)
    parameters = initialise(config, np.random.default_rng(0))
    with pytest.raises(StorageError, match="500,000 characters") as caught:
        Network(config, parameters, 500_000, 1, parameters.like())
    assert caught.value.advice[0] == "--attention 0"


def test_heads_are_divided_and_joined() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 12))
    for count in (1, 2, 3):
        heads = split_heads(x, count)
        assert heads.shape == (2, count, 3, 12 // count)
        np.testing.assert_array_equal(join_heads(heads), x)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"attention": 1}, "--attention needs inputs that are read in both directions"),
        ({"attention": 1, "bidirectional": "each"}, "answered by a text"),
        ({"attention": 3, "bidirectional": "context"}, "--attention 3 does not divide --hidden 4"),
        ({"attention": -1, "bidirectional": "context"}, "--attention is -1"),
    ],
)
def test_networks_that_cannot_attend_are_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        ModelConfig(D, V, hidden=H, **more)


def test_a_distant_input_has_a_gradient_of_its_own() -> None:
    """The gradient of the last answer by the first input's annotation takes no step in time."""
    config = ModelConfig(D, V, cell="rnn", hidden=8, bidirectional="context", attention=1, gain=0.1)
    plain = ModelConfig(D, V, cell="rnn", hidden=8, bidirectional="context", gain=0.1)
    n, found = 40, []
    for one in (config, plain):
        parameters = initialise(one, np.random.default_rng(0), np.float64)
        network = Network(one, parameters, n + 3, 1, parameters.like())
        ids = np.random.default_rng(1).integers(0, D, (n + 3, 1))
        network.forward(ids, lengths=np.array([n]))
        targets = np.ones((n + 3, 1), np.int64)
        network.loss(targets)
        weights = np.zeros((n + 3, 1))
        weights[-1] = 1
        network.backward(targets, weights)
        found.append(np.abs(network.layers[0].da[:, n // 2]).max())
    assert found[0] > 1e-6
    assert found[1] < 1e-12


def test_the_probabilities_of_an_answer_are_normalised(
    build: Callable[..., Network], rng: np.random.Generator
) -> None:
    network = build(config_of("lstm", 1, 2), T, B)
    Problem(rng).loss(network)
    p = np.exp(log_softmax(network.logits, np.empty_like(network.logits)))
    np.testing.assert_allclose(p.sum(axis=-1), 1)
