"""Truncated backpropagation: what is carried from one window to the next, and what is not."""

from collections.abc import Callable

import numpy as np
import pytest

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.randomness import DropoutDraws
from charrnn.types import Array, Ids

T, B, V, H = 6, 3, 5, 4
HALF = T // 2

layers = pytest.mark.parametrize("layers", [1, 2])


def model(cell: str, layers: int, dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(V, V, cell=cell, hidden=H, layers=layers, dropout=dropout)


def another(network: Network, T: int, B: int = B) -> Network:
    """Return a network of other windows over the same weights, from the same states if B is."""
    assert network.gradients is not None
    twin = Network(network.config, network.parameters, T, B, network.gradients.like())
    if B == network.B:
        twin.load_states(network.states())
    return twin


def states(network: Network) -> dict[str, Array]:
    return {name: state.copy() for name, state in network.states().items()}


def text(rng: np.random.Generator) -> tuple[Ids, Ids]:
    ids = rng.integers(V, size=(T + 1, B))
    return ids[:-1], ids[1:]


def walk(network: Network, inputs: Ids, targets: Ids, weights: Array | float = 1.0) -> Array:
    """Walk one window there and back; return its nats."""
    network.forward(inputs)
    nats = network.loss(targets)
    network.backward(targets, weights)
    return nats


def gradient(network: Network) -> Array:
    """Return a copy of the gradient, of which there is some."""
    assert network.gradients is not None
    assert np.linalg.norm(network.gradients.vector) > 1e-3
    return network.gradients.vector.copy()


@layers
def test_two_carried_halves_equal_one_window(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    whole = build(model(cell, layers), T, B)
    half = another(whole, HALF)
    inputs, _ = text(rng)
    logits = [half.forward(inputs[:HALF]).copy()]
    half.carry_state()
    logits.append(half.forward(inputs[HALF:]).copy())
    np.testing.assert_allclose(np.concatenate(logits), whole.forward(inputs), rtol=1e-12)
    whole.carry_state()
    half.carry_state()
    for name, state in states(whole).items():
        np.testing.assert_allclose(states(half)[name], state, rtol=1e-12, err_msg=name)


@layers
def test_the_gradient_of_the_second_half_takes_the_carried_state_as_given(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    network = build(model(cell, layers), HALF, B)
    inputs, targets = text(rng)
    walk(network, inputs[:HALF], targets[:HALF])
    network.carry_state()
    given = another(network, HALF)
    walk(network, inputs[HALF:], targets[HALF:])
    walk(given, inputs[HALF:], targets[HALF:])
    np.testing.assert_array_equal(gradient(network), gradient(given))


@layers
def test_truncation_loses_what_the_past_did_and_nothing_else(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    """The window's gradient = both halves' + what the second half's loss sends into the first."""
    whole = build(model(cell, layers), T, B)
    half = another(whole, HALF)
    inputs, targets = text(rng)
    second_only = np.zeros((T, B))
    second_only[HALF:] = 1

    walk(whole, inputs, targets)
    full = gradient(whole)
    walk(whole, inputs, targets, 1 - second_only)
    first_in_window = gradient(whole)
    walk(whole, inputs, targets, second_only)
    second_in_window = gradient(whole)
    np.testing.assert_allclose(full, first_in_window + second_in_window, rtol=1e-9, atol=1e-12)

    walk(half, inputs[:HALF], targets[:HALF])
    np.testing.assert_allclose(gradient(half), first_in_window, rtol=1e-9, atol=1e-12)
    half.carry_state()
    walk(half, inputs[HALF:], targets[HALF:])
    lost = second_in_window - gradient(half)
    assert np.linalg.norm(lost) > 1e-3
    by_name = whole.parameters.like(lost)
    np.testing.assert_allclose(by_name["W_hy"], 0, atol=1e-12)  # the readout has no past
    np.testing.assert_allclose(by_name["b_y"], 0, atol=1e-12)


def assert_equal_training_steps(first: Network, second: Network, inputs: Ids, targets: Ids) -> None:
    """Take one step with dropout in each; logits, loss, gradient and states must be equal."""
    results = []
    for network in (first, second):
        logits = network.forward(inputs, DropoutDraws(5)).copy()
        nats = network.loss(targets)
        network.backward(targets, 1.0)
        network.carry_state()
        results.append((logits, nats, gradient(network), *states(network).values()))
    for of_first, of_second in zip(*results, strict=True):
        np.testing.assert_array_equal(of_first, of_second)


@layers
def test_a_window_leaves_nothing_behind(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    used = build(model(cell, layers, dropout=0.5), T, B)
    new = another(used, T)
    start = states(used)
    inputs, targets = text(rng)
    for step in range(2):
        used.forward(rng.integers(V, size=(T, B)), DropoutDraws(4, step))
        other = rng.integers(V, size=(T, B))
        used.loss(other)
        used.backward(other, 3.0)
        used.carry_state()
    for name, state in used.states().items():
        state[...] = start[name]
    assert_equal_training_steps(used, new, inputs, targets)


@layers
def test_a_window_without_dropout_leaves_nothing_behind_for_one_with_it(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    used = build(model(cell, layers, dropout=0.5), T, B)
    new = another(used, T)
    inputs, targets = text(rng)
    used.forward(inputs)  # nothing is dropped
    assert_equal_training_steps(used, new, inputs, targets)


@layers
def test_dropout_is_not_carried(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    """What is dropped is hidden from above; the layer itself remembers all of it."""
    dropped = build(model(cell, layers, dropout=0.5), T, B)
    plain = another(dropped, T)
    inputs, _ = text(rng)
    assert not np.allclose(dropped.forward(inputs, DropoutDraws(4)), plain.forward(inputs))
    dropped.carry_state()
    plain.carry_state()
    for name in (n for n in states(plain) if n.startswith("layers.0.")):
        np.testing.assert_array_equal(states(dropped)[name], states(plain)[name])


@layers
def test_resetting_a_sequence_starts_it_from_zero_and_leaves_the_others(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    network = build(model(cell, layers), T, B)
    untouched = another(network, T)
    from_zero = another(network, T, B=1)
    inputs, _ = text(rng)
    network.reset_state(np.array([False, True, False]))
    logits = network.forward(inputs)
    expected = untouched.forward(inputs)
    np.testing.assert_array_equal(logits[:, [0, 2]], expected[:, [0, 2]])
    assert not np.allclose(logits[:, 1], expected[:, 1])
    np.testing.assert_allclose(logits[:, 1:2], from_zero.forward(inputs[:, 1:2]), rtol=1e-12)


def test_reset_without_a_mask_is_the_state_of_a_new_network(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(model(cell, 2), T, B)
    inputs, _ = text(rng)
    network.forward(inputs)
    network.carry_state()
    network.reset_state()
    new = Network(network.config, network.parameters, T, B)
    assert list(network.states()) == list(new.states())
    np.testing.assert_array_equal(network.forward(inputs), new.forward(inputs))


def test_sequences_of_a_batch_are_independent(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(model(cell, 2), T, B)
    twin = another(network, T)
    inputs, _ = text(rng)
    before = network.forward(inputs).copy()
    changed = inputs.copy()
    changed[:, 0] = (changed[:, 0] + 1) % V
    after = twin.forward(changed)
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])
    assert not np.allclose(after[:, 0], before[:, 0])


def test_the_future_does_not_reach_back(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(model(cell, 2), T, B)
    twin = another(network, T)
    inputs, _ = text(rng)
    before = network.forward(inputs).copy()
    changed = inputs.copy()
    changed[HALF] = (changed[HALF] + 1) % V
    after = twin.forward(changed)
    np.testing.assert_array_equal(after[:HALF], before[:HALF])
    assert not np.allclose(after[HALF:], before[HALF:])
