"""Elementary operations: known values, extremes, and complex-step derivatives."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.nn.ops import (
    MAX_ONE_HOT_POSITIONS,
    affine,
    affine_backward,
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    lookup,
    lookup_backward,
    rows,
    sigmoid,
    sigmoid_slope,
    tanh_slope,
)
from charrnn.types import Array

STEP = 1e-30j
"""So small that its square vanishes beside 1: the derivative is exact to rounding."""


def test_sigmoid_at_known_points() -> None:
    x = np.array([0.0, math.log(3), -math.log(3), 1.0])
    y = sigmoid(x, out=np.empty_like(x))
    np.testing.assert_allclose(y, [0.5, 0.75, 0.25, 1 / (1 + math.exp(-1))], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_of_extremes_is_zero_and_one(dtype: type[np.floating]) -> None:
    x = np.array([-1e4, -800, 800, 1e4, -np.inf, np.inf], dtype)
    with np.errstate(over="ignore"):
        y = sigmoid(x, out=x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [0, 0, 1, 1, 0, 1])


@given(st.floats(-50, 50))
def test_sigmoid_of_minus_x_is_the_rest(x: float) -> None:
    y = sigmoid(np.array([x, -x]), out=np.empty(2))
    assert y.sum() == pytest.approx(1, abs=1e-15)


def test_sigmoid_may_overwrite_its_input(rng: np.random.Generator) -> None:
    x = rng.normal(size=7)
    expected = sigmoid(x, out=np.empty(7))
    assert sigmoid(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


def tanh(x: Array, out: Array) -> Array:
    return np.tanh(x, out=out)


@pytest.mark.parametrize(
    ("function", "slope"), [(sigmoid, sigmoid_slope), (tanh, tanh_slope)], ids=["sigmoid", "tanh"]
)
def test_a_slope_is_the_complex_step_derivative(
    function: Callable[..., Array], slope: Callable[..., Array]
) -> None:
    x = np.linspace(-6, 6, 101)
    numeric = function(x + STEP, out=np.empty(101, complex)).imag / STEP.imag
    analytic = slope(function(x, out=np.empty(101)), out=np.empty(101))
    np.testing.assert_allclose(analytic, numeric, rtol=1e-10)


def test_rows_is_a_view_of_the_same_numbers() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    rows(x)[5, 3] = -1
    assert rows(x).shape == (6, 4)
    assert x[1, 2, 3] == -1


def test_rows_raises_rather_than_copy() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    with pytest.raises(ValueError, match="copy"):
        rows(x.transpose(1, 0, 2))
    with pytest.raises(ValueError, match="copy"):
        rows(x[:, :2])


def test_affine_adds_the_bias_to_every_row(rng: np.random.Generator) -> None:
    x, W, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    y = affine(x, W, b, out=np.full((2, 3, 5), np.nan))
    for t in range(2):
        for row in range(3):
            for k in range(5):
                expected = b[k] + sum(x[t, row, d] * W[d, k] for d in range(4))
                assert y[t, row, k] == pytest.approx(expected, rel=1e-12)


def test_affine_backward_is_the_complex_step_derivative(rng: np.random.Generator) -> None:
    inputs: dict[str, Array] = {
        "x": rng.normal(size=(2, 3, 4)),
        "W": rng.normal(size=(4, 5)),
        "b": rng.normal(size=5),
    }
    dy = rng.normal(size=(2, 3, 5))
    gradients = {name: np.full_like(array, np.nan) for name, array in inputs.items()}
    x, W = inputs["x"], inputs["W"]
    affine_backward(dy, x, W, gradients["W"], gradients["b"], gradients["x"])
    for name, array in inputs.items():
        for index in np.ndindex(array.shape):
            stepped = {key: value.astype(complex) for key, value in inputs.items()}
            stepped[name][index] += STEP
            y = affine(**stepped, out=np.zeros(dy.shape, complex))
            numeric = np.sum(dy * y).imag / STEP.imag
            assert gradients[name][index] == pytest.approx(numeric, rel=1e-10)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6), st.floats(-1e4, 1e4))
def test_log_softmax_does_not_see_a_shift(logits: list[float], shift: float) -> None:
    y = np.array(logits)
    plain = log_softmax(y, out=np.empty_like(y))
    shifted = log_softmax(y + shift, out=np.empty_like(y))
    np.testing.assert_allclose(shifted, plain, atol=1e-10)
    assert np.exp(plain).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_softmax_is_safe_at_ten_thousand(dtype: type[np.floating]) -> None:
    y = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4]], dtype)
    log_p = log_softmax(y, out=np.empty_like(y))
    np.testing.assert_allclose(log_p[0], [0, -1e4, -2e4])
    np.testing.assert_allclose(log_p[1], -math.log(3), rtol=1e-6)


def test_cross_entropy_of_known_odds() -> None:
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])) + 7
    log_p = np.empty_like(logits)
    nats = cross_entropy(logits, np.array([[1, 2]]), out=log_p)
    np.testing.assert_allclose(nats, [[math.log(4), -math.log(0.7)]], rtol=1e-14)
    np.testing.assert_allclose(np.exp(log_p[0, 0]), [0.5, 0.25, 0.25], rtol=1e-14)


def test_cross_entropy_of_an_impossible_character_is_finite() -> None:
    logits = np.array([[[1e4, -1e4]]])
    nats = cross_entropy(logits, np.array([[1]]), out=np.empty_like(logits))
    np.testing.assert_array_equal(nats, [[2e4]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("each", [True, False], ids=["weights", "one weight"])
def test_cross_entropy_backward_is_the_complex_step_derivative(
    rng: np.random.Generator, each: bool, smoothing: float
) -> None:
    logits, targets = rng.normal(size=(2, 3, 4)), rng.integers(4, size=(2, 3))
    weights: Array | float = rng.normal(size=(2, 3)) if each else 0.25
    log_p = np.empty_like(logits)
    cross_entropy(logits, targets, out=log_p)
    gradient = cross_entropy_backward(log_p, targets, weights, smoothing)
    assert gradient is log_p
    for index in np.ndindex(logits.shape):
        stepped = logits.astype(complex)
        stepped[index] += STEP
        stepped_log_p = np.empty_like(stepped)
        nats = cross_entropy(stepped, targets, out=stepped_log_p)
        smoothed = (1 - smoothing) * nats - smoothing * stepped_log_p.mean(axis=-1)
        numeric = np.sum(weights * smoothed).imag / STEP.imag
        assert gradient[index] == pytest.approx(numeric, rel=1e-10, abs=1e-14)


def test_cross_entropy_backward_of_probabilities_is_the_complex_step_derivative(
    rng: np.random.Generator,
) -> None:
    logits, targets = rng.normal(size=(2, 3, 4)), rng.integers(4, size=(2, 3))
    weights, q = rng.normal(size=(2, 3)), rng.dirichlet(np.ones(4), size=(2, 3))
    log_p = np.empty_like(logits)
    cross_entropy(logits, targets, out=log_p)
    gradient = cross_entropy_backward(log_p, targets, weights, probabilities=q)
    for index in np.ndindex(logits.shape):
        stepped = logits.astype(complex)
        stepped[index] += STEP
        stepped_log_p = np.empty_like(stepped)
        cross_entropy(stepped, targets, out=stepped_log_p)
        loss = -np.sum(weights[..., None] * q * stepped_log_p)
        assert gradient[index] == pytest.approx(loss.imag / STEP.imag, rel=1e-10, abs=1e-14)


def test_lookup_is_the_product_with_one_hot_vectors(rng: np.random.Generator) -> None:
    table, ids = rng.normal(size=(6, 4)), rng.integers(6, size=(5, 3)).astype(np.uint8)
    out = np.full((5, 3, 4), np.nan)
    lookup(table[None], ids, out=out[None])
    np.testing.assert_allclose(out, np.eye(6)[ids] @ table, rtol=1e-15)


@pytest.mark.parametrize("V", [1, 2, 65, 1000])
@pytest.mark.parametrize("positions", [1, MAX_ONE_HOT_POSITIONS, MAX_ONE_HOT_POSITIONS + 1, 210])
@pytest.mark.parametrize("id_type", [np.uint16, np.int64])
def test_lookup_backward_adds_up_the_rows_that_share_an_id(
    rng: np.random.Generator, V: int, positions: int, id_type: type[np.integer]
) -> None:
    dy, ids = rng.normal(size=(2, positions, 1, 3)), rng.integers(V, size=(positions, 1))
    expected = np.zeros((2, V, 3))
    for gate in range(2):
        np.add.at(expected[gate], ids, dy[gate])
    out = lookup_backward(dy, ids.astype(id_type), out=np.full((2, V, 3), np.nan))
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("positions", [4, MAX_ONE_HOT_POSITIONS + 1])
def test_lookup_backward_leaves_zero_where_nothing_was_read(positions: int) -> None:
    dy, ids = np.ones((1, positions, 1, 2)), np.full((positions, 1), 8)
    out = lookup_backward(dy, ids, out=np.full((1, 9, 2), np.nan))[0]
    np.testing.assert_array_equal(out[:-1], 0)
    np.testing.assert_array_equal(out[-1], positions)
