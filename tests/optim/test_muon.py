"""Muon: Newton–Schulz iterations, and steps against a plain computation in float64."""

from itertools import pairwise

import numpy as np
import pytest

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.optim import optimisers
from charrnn.optim.newton_schulz import ITERATIONS, NEWTON_SCHULZ, Orthogonaliser
from charrnn.optim.optimisers import OPTIMISERS, Adagrad, Muon
from charrnn.types import Array

H, V = 6, 9


def parameters(cell: str = "lstm", layers: int = 2, hidden: int = H) -> Parameters:
    config = ModelConfig(V, V, cell=cell, hidden=hidden, layers=layers)
    made = Parameters(config.shapes(), np.float64)
    made.vector[...] = np.random.default_rng(3).normal(size=made.vector.shape)
    return made


def begin(weights: Parameters, decay: float = 0.0, threads: int = 1) -> Muon:
    return Muon(weights.vector, decay, weights.shapes, threads)


def gradients(weights: Parameters, count: int) -> list[Array]:
    rng = np.random.default_rng(4)
    return [rng.normal(size=weights.vector.shape) for _ in range(count)]


def plain_orthogonal(M: Array) -> Array:
    """Apply the quintic to singular values, one by one."""
    a, b, c = NEWTON_SCHULZ
    U, S, Vt = np.linalg.svd(M / (np.linalg.norm(M) + 1e-7))
    for _ in range(ITERATIONS):
        S = a * S + b * S**3 + c * S**5
    found: Array = (U * S) @ Vt
    return found


def is_matrix(name: str) -> bool:
    return name in ("layers.0.W_hh", "layers.1.W_hh", "layers.1.W_xh")


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_the_iterations_change_the_singular_values_only(size: int) -> None:
    M = np.random.default_rng(size).normal(size=(size, size))
    np.testing.assert_allclose(
        Orthogonaliser(size, M.dtype)(M), plain_orthogonal(M), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_singular_values_that_are_not_tiny_end_near_one(dtype: type) -> None:
    rng = np.random.default_rng(5)
    U, V = (np.linalg.qr(rng.normal(size=(50, 50)))[0] for _ in range(2))
    M = ((U * np.geomspace(1, 0.02, 50)) @ V).astype(dtype)
    S = np.linalg.svd(Orthogonaliser(50, M.dtype)(M), compute_uv=False)
    assert S.min() > 0.65
    assert S.max() < 1.25


def test_a_matrix_of_zeros_stays_one() -> None:
    zeros = np.zeros((4, 4), np.float32)
    np.testing.assert_array_equal(Orthogonaliser(4, zeros.dtype)(zeros), zeros)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_step_is_that_of_a_plain_computation(cell: str, decay: float) -> None:
    weights = parameters(cell)
    expected = {name: array.copy() for name, array in weights.items()}
    momentum = {name: np.zeros_like(array) for name, array in weights.items()}
    squares = {name: np.zeros_like(array) for name, array in weights.items()}
    optimiser = begin(weights, decay)
    for gradient in gradients(weights, 4):
        given = weights.like(gradient.copy())
        for name, w in expected.items():
            g = given[name]
            w *= 1 - 0.2 * decay * (optimisers.MATRIX_DECAY if is_matrix(name) else 1)
            if is_matrix(name):
                momentum[name] = 0.95 * momentum[name] + g
                change = np.array([plain_orthogonal(gate) for gate in momentum[name]])
                w -= 0.2 * optimisers.MATRIX_SCALE * change
            else:
                squares[name] += g**2
                w -= 0.2 * g / (np.sqrt(squares[name]) + 1e-8)
        optimiser.update(weights.vector, gradient.copy(), 0.2)
        for name, w in expected.items():
            np.testing.assert_allclose(weights[name], w, rtol=0, atol=1e-9, err_msg=name)
    assert sum(map(is_matrix, weights)) == 3


def test_other_parameters_take_the_steps_of_adagrad() -> None:
    weights, twin = parameters(), parameters()
    muon, adagrad = begin(weights), Adagrad(twin.vector)
    for gradient in gradients(weights, 3):
        muon.update(weights.vector, gradient.copy(), 0.1)
        adagrad.update(twin.vector, gradient.copy(), 0.1)
    for name in weights:
        assert np.array_equal(weights[name], twin[name]) != is_matrix(name)


def test_matrices_change_at_every_so_many_updates_and_then_by_so_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimisers, "HIDDEN_PER_PERIOD", 2)
    weights = parameters(layers=1)
    optimiser = begin(weights)
    assert optimiser.period == 3
    found = [weights["layers.0.W_hh"].copy()]
    for gradient in gradients(weights, 6):
        optimiser.update(weights.vector, gradient.copy(), 0.1)
        found.append(weights["layers.0.W_hh"].copy())
    moved = [not np.array_equal(one, other) for one, other in pairwise(found)]
    assert moved == [False, False, True] * 2
    momentum = np.zeros((4, H, H))
    for gradient in gradients(weights, 3):
        momentum = 0.95 * momentum + weights.like(gradient.copy())["layers.0.W_hh"]
    change = 3 * 0.1 * optimisers.MATRIX_SCALE * np.array([plain_orthogonal(M) for M in momentum])
    np.testing.assert_allclose(found[0] - found[3], change, rtol=0, atol=1e-9)


def test_the_matrices_do_not_move_less_in_a_wide_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisers, "FULL_LR_HIDDEN", H // 2)
    weights, twin = parameters(layers=1), parameters(layers=1)
    begin(weights).update(weights.vector, gradients(weights, 1)[0], 0.1)
    monkeypatch.setattr(optimisers, "FULL_LR_HIDDEN", H)
    begin(twin).update(twin.vector, gradients(twin, 1)[0], 0.2)
    np.testing.assert_allclose(weights["layers.0.W_hh"], twin["layers.0.W_hh"], rtol=1e-12)


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_threads_change_no_bit(threads: int) -> None:
    weights, twin = parameters(), parameters()
    alone, shared = begin(weights), begin(twin, threads=threads)
    for gradient in gradients(weights, 3):
        alone.update(weights.vector, gradient.copy(), 0.1)
        shared.update(twin.vector, gradient.copy(), 0.1)
    np.testing.assert_array_equal(weights.vector, twin.vector)


def test_slots_and_the_count_are_the_whole_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisers, "HIDDEN_PER_PERIOD", 2)
    weights = parameters()
    optimiser = begin(weights, 0.1)
    drawn = gradients(weights, 8)
    for gradient in drawn[:4]:
        optimiser.update(weights.vector, gradient.copy(), 0.05)
    twin_weights = parameters()
    twin_weights.vector[...] = weights.vector
    twin = begin(twin_weights, 0.1)
    twin.updates = optimiser.updates
    for slot, array in optimiser.state.items():
        twin.state[slot][...] = array
    for gradient in drawn[4:]:
        optimiser.update(weights.vector, gradient.copy(), 0.05)
        twin.update(twin_weights.vector, gradient.copy(), 0.05)
    np.testing.assert_array_equal(twin_weights.vector, weights.vector)


def test_the_input_matrix_of_the_first_layer_is_no_matrix_between_hidden_units() -> None:
    weights = parameters(hidden=V)  # as square as the others
    optimiser, twin = begin(weights), parameters(hidden=V)
    adagrad = Adagrad(twin.vector)
    for gradient in gradients(weights, 2):
        optimiser.update(weights.vector, gradient.copy(), 0.1)
        adagrad.update(twin.vector, gradient.copy(), 0.1)
    np.testing.assert_array_equal(weights["layers.0.W_xh"], twin["layers.0.W_xh"])
    assert not np.array_equal(weights["layers.1.W_xh"], twin["layers.1.W_xh"])


def test_compiled_and_plain_steps_agree() -> None:
    backend = pytest.importorskip("charrnn.training.numba_backend")
    config = ModelConfig(V, V, hidden=H, layers=2)
    ends = []
    for kind in (Muon, backend.COMPILED_OPTIMISERS[OPTIMISERS["muon"]]):
        weights = Parameters(config.shapes())
        weights.vector[...] = parameters().vector
        optimiser = kind(weights.vector, 0.1, weights.shapes)
        for gradient in gradients(weights, 3):
            optimiser.update(weights.vector, gradient.astype(np.float32), 0.1)
        ends.append(weights.vector)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4, atol=1e-6)
