"""Gradients of networks: equal to complex-step derivatives and to central differences.

f(w + ih) = f(w) + ih f′(w) + O(h²): the imaginary part has no difference to cancel, so h may be as
small as it likes (Squire & Trapp 1998). The same code runs on complex weights, so it is the forward
of training that is derived, not a copy of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import DropoutDraws
from charrnn.types import Array, Ids
from tests.nn.gradients import assert_same

T, B, D, V, H = 4, 2, 4, 3, 3
STEP = 1e-30
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Problem:
    """One batch from a carried state, and the weight of each position."""

    inputs: Ids | Array
    targets: Ids
    weights: Array | float
    states: dict[str, Array]
    dropout_seed: int | None

    def draws(self) -> DropoutDraws | None:
        """Return the random numbers of the same dropout masks each time."""
        return None if self.dropout_seed is None else DropoutDraws(self.dropout_seed)

    def loss(self, network: Network) -> Any:
        """Return Σ weights · nats of the batch."""
        for name, state in network.states().items():
            state[...] = self.states[name]
        network.forward(self.inputs, self.draws())
        return np.sum(self.weights * network.loss(self.targets))


def pose(network: Network, rng: np.random.Generator, dense: bool) -> Problem:
    """Return a random batch for a network that `build` made."""
    inputs = network.config.inputs
    return Problem(
        inputs=rng.normal(size=(T, B, inputs)) if dense else rng.integers(inputs, size=(T, B)),
        targets=rng.integers(V, size=(T, B)),
        weights=rng.normal(1, 0.5, size=(T, B)),
        states={name: state.copy() for name, state in network.states().items()},
        dropout_seed=7 if network.config.dropout or network.config.recurrent_dropout else None,
    )


def by_complex_steps(network: Network, problem: Problem) -> Parameters:
    """Return the derivative of the loss by every parameter, one at a time."""
    stepped = network.parameters.astype(complex)
    perturbed = Network(network.config, stepped, T, B, stepped.like())  # for the same dropout masks
    result = network.parameters.like()
    for i in range(len(stepped.vector)):
        stepped.vector[i] += STEP * 1j
        result.vector[i] = problem.loss(perturbed).imag / STEP
        stepped.vector[i] = stepped.vector[i].real
    return result


layers = pytest.mark.parametrize("layers", [1, 2, 3])
dense = pytest.mark.parametrize("dense", [False, True], ids=["ids", "dense"])
dropout = pytest.mark.parametrize(
    "dropout",
    [{}, {"dropout": 0.4}, {"recurrent_dropout": 0.4}],
    ids=["all units", "dropout", "recurrent dropout"],
)


@layers
@dense
@dropout
def test_every_gradient_is_the_complex_step_derivative(
    build: Callable[..., Network],
    rng: np.random.Generator,
    cell: str,
    layers: int,
    dense: bool,
    dropout: dict[str, Any],
) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H, layers=layers, **dropout)
    network = build(config, T, B, size=0.7)
    problem = pose(network, rng, dense)
    assert all(np.abs(state).min() > 0 for state in problem.states.values())
    problem.loss(network)
    assert network.gradients is not None
    network.gradients.vector.fill(np.nan)  # to see that each is overwritten
    network.backward(problem.targets, problem.weights)
    assert_same(network.gradients, by_complex_steps(network, problem), TOLERANCE)


def test_every_gradient_is_the_central_difference(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(ModelConfig(D, V, cell=cell, hidden=H, layers=2), T, B)
    problem = replace(pose(network, rng, dense=False), weights=1 / (T * B))
    problem.loss(network)
    assert network.gradients is not None
    network.backward(problem.targets, problem.weights)
    expected = network.parameters.like()
    vector = network.parameters.vector
    for i, weight in enumerate(vector.copy()):
        vector[i] = weight + 1e-5
        above = problem.loss(network)
        vector[i] = weight - 1e-5
        expected.vector[i] = (above - problem.loss(network)) / 2e-5
        vector[i] = weight
    assert_same(network.gradients, expected, 1e-7)


def test_a_vocabulary_beyond_the_one_hot_product_has_the_same_gradient(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(ModelConfig(300, V, cell=cell, hidden=H), T, B)
    problem = pose(network, rng, dense=False)
    problem.loss(network)
    assert network.gradients is not None
    network.backward(problem.targets, problem.weights)
    by_lookup = network.gradients.vector.copy()
    one_hot = replace(problem, inputs=np.eye(300)[problem.inputs])
    one_hot.loss(network)
    network.backward(problem.targets, problem.weights)
    assert np.linalg.norm(by_lookup) > 0.1
    np.testing.assert_allclose(by_lookup, network.gradients.vector, rtol=1e-10, atol=1e-13)


def stack(cell: str, rng: np.random.Generator) -> list[tuple[Cell, Cell]]:
    """Return two layers, each in float64 with gradients and, with the same numbers, in complex."""
    made = []
    for inputs in (D, H):
        shapes = CELLS[cell].shapes(inputs, H)
        weights = {name: rng.normal(0, 0.7, shape) for name, shape in shapes.items()}
        gradients = {name: np.zeros(shape) for name, shape in shapes.items()}
        real = CELLS[cell](weights, gradients, T, B)
        complex_weights = {name: array.astype(complex) for name, array in weights.items()}
        holomorphic = CELLS[cell](complex_weights, None, T, B)
        for name, history in real.state_history.items():
            history[0] = rng.normal(0, 0.7, (B, H))
            holomorphic.state_history[name][0] = history[0]
        made.append((real, holomorphic))
    return made


def test_the_gradient_of_the_inputs_passes_through_a_stack_of_layers(
    rng: np.random.Generator, cell: str
) -> None:
    (lower, lower_complex), (upper, upper_complex) = stack(cell, rng)
    x, dh = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))

    lower.project_inputs(x)
    h = lower.forward()
    upper.project_inputs(h)
    upper.forward()
    upper.backward(dh)
    dh_lower, dx = np.full((T, B, H), np.nan), np.full((T, B, D), np.nan)
    upper.project_inputs_backward(h, dx=dh_lower)
    lower.backward(dh_lower)
    lower.project_inputs_backward(x, dx=dx)

    numeric = np.empty_like(x)
    for index in np.ndindex(x.shape):
        stepped = x.astype(complex)
        stepped[index] += STEP * 1j
        lower_complex.project_inputs(stepped)
        upper_complex.project_inputs(lower_complex.forward())
        numeric[index] = np.sum(dh * upper_complex.forward()).imag / STEP
    assert np.abs(dx[0]).max() > 1e-3
    np.testing.assert_allclose(dx, numeric, rtol=0, atol=TOLERANCE * np.abs(numeric).max())


def test_backward_may_be_repeated_and_gives_the_same(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(ModelConfig(D, V, cell=cell, hidden=H, layers=2), T, B)
    problem = pose(network, rng, dense=False)
    assert network.gradients is not None
    vectors = []
    for _ in range(2):
        problem.loss(network)
        network.backward(problem.targets, problem.weights)
        vectors.append(network.gradients.vector.copy())
    assert np.linalg.norm(vectors[0]) > 0.1
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_network_without_gradients_has_no_backward_pass(cell: str) -> None:
    config = ModelConfig(D, V, cell=cell, hidden=H)
    network = Network(config, Parameters(config.shapes()), T, B)
    network.forward(np.zeros((T, B), int))
    network.loss(np.zeros((T, B), int))
    with pytest.raises(ValueError, match="without gradients"):
        network.backward(np.zeros((T, B), int), 1.0)
