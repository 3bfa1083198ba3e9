"""Jacobians and Lyapunov exponents: closed forms, complex steps, and composition."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from charrnn.analysis.gradient_profile import gradient_profile
from charrnn.analysis.jacobians import (
    jacobian,
    jacobians,
    log_bounds,
    log_extremes,
    recurrent_matrices,
    spectra,
)
from charrnn.analysis.lyapunov import benettin, lyapunov
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

V = 5
STEP = 1e-30


def text(length: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, V, length).astype(np.uint8)


def random_network(
    cell: str, layers: int = 1, hidden: int = 4, seed: int = 0, scale: float = 0.7
) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell, hidden, layers)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[:] = np.random.default_rng(seed).normal(0, scale, parameters.vector.shape)
    return config, parameters


def linear(W: Array) -> tuple[ModelConfig, Parameters]:
    """A plain RNN that stays at zero, where tanh′ is exactly 1: J_k = (Wᵀ)ᵏ."""
    config = ModelConfig(V, V, "rnn", len(W))
    parameters = Parameters(config.shapes(), np.float64)
    parameters["layers.0.W_hh"][0] = W
    return config, parameters


def orthogonal(n: int) -> Array:
    Q: Array = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n))).Q
    return Q


def random_state(config: ModelConfig, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    network = Network(config, Parameters(config.shapes()), 1, 1)
    return {name: rng.normal(0, 0.5, config.hidden) for name, _ in network.states().items()}


def complex_step(
    config: ModelConfig, parameters: Parameters, ids: Ids, state: dict[str, Array]
) -> Array:
    """∂s_T/∂s_0, column by column, from the forward walk alone."""
    names, H = list(state), config.hidden
    S = len(names) * H
    network = Network(config, parameters.astype(np.complex128), len(ids), S)
    for place, (name, begin) in enumerate(network.states().items()):
        begin[...] = state[name]
        begin[place * H + np.arange(H), np.arange(H)] += 1j * STEP
    network.forward(np.repeat(ids[:, None], S, axis=1))
    network.carry_state()
    return np.concatenate(list(network.states().values()), axis=1).imag.T / STEP


def close(J: Array, expected: Array, tolerance: float = 1e-9) -> None:
    """Errors are relative to the largest singular value."""
    assert np.abs(J - expected).max() <= tolerance * np.linalg.norm(expected, 2)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_jacobian_is_what_complex_steps_say(cell: str, layers: int) -> None:
    for seed in range(12):
        config, parameters = random_network(cell, layers, 1 + seed % 5, seed)
        state, ids = random_state(config, seed), text(12, seed)
        found = list(jacobians(config, parameters, ids, state))
        close(np.ldexp(*found[-1]), complex_step(config, parameters, ids, state), 1e-12)
        values = np.linalg.svd(complex_step(config, parameters, ids, state), compute_uv=False)
        assert log_extremes(*found[-1])[0] == pytest.approx(math.log(values[0]), abs=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_jacobians_compose(cell: str, layers: int) -> None:
    """J(0→T) = J(k→T) J(0→k), on all of the state."""
    config, parameters = random_network(cell, layers)
    state, ids = random_state(config), text(20)
    network = Network(config, parameters, 9, 1)
    for name, begin in network.states().items():
        begin[...] = state[name]
    network.forward(ids[:9, None])
    network.carry_state()
    middle = {name: begin[0].copy() for name, begin in network.states().items()}
    product = jacobian(config, parameters, ids[9:], middle) @ jacobian(
        config, parameters, ids[:9], state
    )
    close(jacobian(config, parameters, ids, state), product, 1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_alone_is_its_block_of_the_whole(cell: str) -> None:
    """Nothing leads down, so the top layer's own block is its Jacobian with fixed inputs."""
    config, parameters = random_network(cell, 2)
    state, ids = random_state(config), text(10)
    whole = jacobian(config, parameters, ids, state)
    half = len(whole) // 2
    close(jacobian(config, parameters, ids, state, layer=0), whole[:half, :half], 1e-12)
    close(jacobian(config, parameters, ids, state, layer=1), whole[half:, half:], 1e-12)
    assert np.all(whole[:half, half:] == 0)


def test_vectors_may_be_read_instead_of_characters() -> None:
    config, parameters = random_network("gru", 2)
    ids = text(10)
    close(jacobian(config, parameters, np.eye(V)[ids]), jacobian(config, parameters, ids), 1e-13)


def test_an_orthogonal_linear_network_keeps_all_lengths() -> None:
    """All singular values of J_k are 1."""
    for J, exponent in jacobians(*linear(orthogonal(8)), text(60)):
        assert log_extremes(J, exponent) == pytest.approx((0, 0), abs=1e-12)


def test_a_normal_matrix_shrinks_by_its_radius() -> None:
    """A symmetric matrix with eigenvalues up to 0.9: σ_max(J_k) = 0.9ᵏ."""
    Q = orthogonal(6)
    W = Q @ np.diag([0.9, -0.8, 0.5, 0.3, -0.2, 0.1]) @ Q.T
    for k, (J, exponent) in enumerate(jacobians(*linear(W), text(60)), 1):
        assert math.exp(log_extremes(J, exponent)[0]) == pytest.approx(0.9**k, rel=1e-11)
    (matrix,) = recurrent_matrices(*linear(W))
    assert matrix.departure_from_normality == pytest.approx(0, abs=1e-12)
    assert matrix.spectral_radius == pytest.approx(0.9)


def test_any_linear_network_has_powers_of_its_matrix() -> None:
    """J_k = (W_hhᵀ)ᵏ."""
    W = np.random.default_rng(0).normal(0, 0.4, (6, 6))
    for k, found in enumerate(jacobians(*linear(W), text(60)), 1):
        close(np.ldexp(*found), np.linalg.matrix_power(W.T, k), 1e-12)


def test_a_jordan_block_grows_first_although_its_radius_is_below_one() -> None:
    """A spectral radius of 0.9, and a norm of 3.91 after 9 steps."""
    W = np.array([[0.9, 1.0], [0.0, 0.9]])
    norms = []
    for k, found in enumerate(jacobians(*linear(W), text(60)), 1):
        J = np.ldexp(*found)
        np.testing.assert_allclose(J, [[0.9**k, 0], [k * 0.9 ** (k - 1), 0.9**k]], rtol=1e-13)
        norms.append(math.exp(log_extremes(*found)[0]))
    assert int(np.argmax(norms)) + 1 == 9
    assert max(norms) == pytest.approx(3.91, abs=0.005)
    (matrix,) = recurrent_matrices(*linear(W))
    assert matrix.spectral_radius == pytest.approx(0.9, abs=1e-6)
    assert matrix.departure_from_normality == pytest.approx(1.0, abs=1e-6)
    assert matrix.largest_singular_value == pytest.approx(np.linalg.norm(W, 2))


def test_one_tanh_unit_multiplies_its_slopes() -> None:
    """J_k = ∏ w (1 − h²)."""
    config, parameters = random_network("rnn", hidden=1)
    ids = text(30)
    w = float(parameters["layers.0.W_hh"][0, 0, 0])
    h, product = 0.0, 1.0
    for character in ids:
        x = parameters["layers.0.W_xh"][0, character, 0] + parameters["layers.0.b_h"][0, 0]
        h = math.tanh(float(x) + h * w)
        product *= w * (1 - h * h)
    assert jacobian(config, parameters, ids)[0, 0] == pytest.approx(product, rel=1e-12)


def test_the_bound_of_pascanu_holds() -> None:
    """σ_max(J_k) ≤ ∏ max(1 − h²) σ_max(W_hh) in a thousand random networks."""
    for seed in range(1000):
        config, parameters = random_network("rnn", hidden=1 + seed % 4, seed=seed)
        state, ids = random_state(config, seed), text(4, seed)
        bounds = log_bounds(config, parameters, ids, state, 0)
        assert bounds is not None
        for found, bound in zip(jacobians(config, parameters, ids, state), bounds, strict=True):
            assert log_extremes(*found)[0] <= bound + 1e-12


def test_the_constant_error_carousel_turns_without_loss() -> None:
    """No recurrent weights and a forget gate of exactly 1: ∂c_T/∂c_0 = I bit for bit."""
    config, parameters = random_network("lstm")
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.W_xh"][1] = 0
    parameters["layers.0.b_h"][1] = 37
    J = jacobian(config, parameters, text(60), random_state(config))
    np.testing.assert_array_equal(J[4:, 4:], np.eye(4))


def test_a_constant_forget_gate_forgets_by_its_powers() -> None:
    """∂c_T/∂c_0 is I times f to the power of T."""
    config, parameters = random_network("lstm")
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.W_xh"][1] = 0
    parameters["layers.0.b_h"][1] = math.log(19)
    J = jacobian(config, parameters, text(60))
    np.testing.assert_allclose(J[4:, 4:], np.eye(4) * 0.95**60, rtol=1e-12)


def test_an_update_gate_of_one_keeps_the_state() -> None:
    """∂h_T/∂h_0 of a GRU is I bit for bit."""
    config, parameters = random_network("gru")
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.W_xh"][1] = 0
    parameters["layers.0.b_h"][1] = 40
    np.testing.assert_array_equal(jacobian(config, parameters, text(60)), np.eye(4))


def test_two_thousand_steps_neither_underflow_nor_overflow() -> None:
    for factor in (0.1, 30.0):
        *_, last = jacobians(*linear(factor * orthogonal(3)), text(2000))
        assert log_extremes(*last) == pytest.approx([2000 * math.log(factor)] * 2, rel=1e-12)


def test_spectra_are_those_of_the_jacobians() -> None:
    config, parameters = random_network("lstm", 2)
    found = spectra(config, parameters, text(200), lags=(1, 3, 8), windows=1)
    assert [(x.layer, x.lag_chars) for x in found] == [
        (layer, k) for layer in range(2) for k in (1, 3, 8)
    ]
    for x in found:
        assert x.log_largest is not None
        assert x.log_bound is None
        if x.condition_number is not None:
            assert x.log_smallest is not None
            assert x.condition_number == pytest.approx(math.exp(x.log_largest - x.log_smallest))
    rnn = spectra(*random_network("rnn", 2), text(200), lags=(1, 5), windows=2)
    assert all(x.log_bound is not None and x.log_largest is not None for x in rnn)
    assert all((x.log_largest or 0) <= (x.log_bound or 0) + 1e-12 for x in rnn)


def test_a_singular_matrix_has_no_condition_number() -> None:
    config, parameters = linear(np.diag([1.0, 0.0]))
    first = spectra(config, parameters, text(100), lags=(1,))[0]
    assert first.log_largest == pytest.approx(0)
    assert first.condition_number is None
    assert first.log_smallest is None


def maps(matrices: list[Array]) -> list[Callable[[Array], Array]]:
    return [partial(np.matmul, J) for J in matrices]


def test_exponents_of_the_henon_map_add_up_to_the_logarithm_of_its_area() -> None:
    """Their sum is exactly ln 0.3, and the first one is 0.419."""
    x, y = 0.1, 0.1
    matrices = []
    for _ in range(8000):
        matrices.append(np.array([[-2.8 * x, 1.0], [0.3, 0.0]]))
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    exponents = benettin(maps(matrices), np.eye(2), drop=100)
    assert exponents.sum() == pytest.approx(math.log(0.3), abs=1e-12)
    assert exponents[0] == pytest.approx(0.4192, abs=1e-2)


def test_exponents_of_the_cat_map() -> None:
    """They are ± ln of the golden ratio squared."""
    golden = math.log((3 + math.sqrt(5)) / 2)
    exponents = benettin(maps([np.array([[2.0, 1.0], [1.0, 1.0]])] * 500), np.eye(2), drop=50)
    np.testing.assert_allclose(exponents, [golden, -golden], atol=1e-12)


def test_lyapunov_exponents_of_linear_networks() -> None:
    """ln |eigenvalue|; all zero for an orthogonal matrix."""
    found = lyapunov(*linear(orthogonal(4)), text(1000), exponents=4, windows=3)
    assert found is not None
    np.testing.assert_allclose(np.array(found.nats_per_char, float), 0, atol=1e-12)
    W = orthogonal(3) @ np.diag([0.9, 0.5, 0.2]) @ orthogonal(3).T
    found = lyapunov(*linear(W), text(1000), exponents=3, windows=2)
    assert found is not None
    np.testing.assert_allclose(
        np.array(found.nats_per_char, float), np.log([0.9, 0.5, 0.2]), atol=1e-9
    )


@pytest.mark.parametrize("cell", CELLS)
def test_lyapunov_exponent_agrees_with_the_jacobian_over_a_long_text(cell: str) -> None:
    config, parameters = random_network(cell, 2, hidden=3, scale=1.0)
    ids = text(700)
    found = lyapunov(config, parameters, ids, lags=200, windows=6)
    assert found is not None
    assert found.nats_per_char[0] is not None
    assert found.standard_error[0] is not None
    *_, last = jacobians(config, parameters, ids)
    rate = log_extremes(*last)[0] / len(ids)
    assert found.nats_per_char[0] == pytest.approx(rate, abs=0.05 + 4 * found.standard_error[0])


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_matrices_equal_plain_arithmetic(cell: str) -> None:
    config, parameters = random_network(cell, 2)
    found = recurrent_matrices(config, parameters)
    assert [x.gate for x in found] == list(CELLS[cell].gates) * 2
    for x in found:
        W = parameters[f"layers.{x.layer}.W_hh"][CELLS[cell].gates.index(x.gate)]
        eigenvalues = np.roots(np.poly(W))
        assert x.spectral_radius == pytest.approx(np.abs(eigenvalues).max(), rel=1e-9)
        largest = math.sqrt(np.linalg.eigvalsh(W @ W.T).max())
        assert x.largest_singular_value == pytest.approx(largest, rel=1e-9)
        departure = np.trace(W @ W.T) - np.sum(np.abs(eigenvalues) ** 2)
        assert x.departure_from_normality == pytest.approx(departure, rel=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_numbers_that_are_not_finite_are_none(cell: str) -> None:
    config, parameters = random_network(cell, hidden=1)
    assert spectra(config, parameters, text(30), lags=(1, 5)) != ()
    assert lyapunov(config, parameters, text(3)) is not None
    parameters["layers.0.W_hh"][...] = np.nan
    assert spectra(config, parameters, text(30)) == ()
    assert lyapunov(config, parameters, text(30)) is None
    assert recurrent_matrices(config, parameters) == ()
    dead = initialise(ModelConfig(V, V, "rnn", 3, init="normal:0"), np.random.default_rng(0))
    config = ModelConfig(V, V, "rnn", 3, init="normal:0")
    assert all(x.log_largest is None for x in spectra(config, dead, text(30), lags=(1, 2)))
    nothing = lyapunov(config, dead, text(30))
    assert nothing is not None
    assert nothing.nats_per_char == (None,)


def test_measuring_changes_nothing_and_is_repeatable() -> None:
    config, parameters = random_network("lstm", 2)
    before = parameters.vector.copy()
    ids = text(300)
    for measure in (spectra, lyapunov, gradient_profile):
        assert measure(config, parameters, ids) == measure(config, parameters, ids)
    np.testing.assert_array_equal(parameters.vector, before)


def test_dropout_of_training_is_not_applied_when_inspecting(cell: str) -> None:
    config, parameters = random_network(cell, layers=2)
    dropping = replace(config, dropout=0.5, recurrent_dropout=0.5)
    ids = text(200)
    found, expected = (spectra(kind, parameters, ids, lags=(1, 3)) for kind in (dropping, config))
    assert found == expected
    seen, wanted = (gradient_profile(kind, parameters, ids, lags=8) for kind in (dropping, config))
    assert seen == wanted
    assert lyapunov(dropping, parameters, ids) == lyapunov(config, parameters, ids)
