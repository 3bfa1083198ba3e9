"""Quantisation: its error, what is kept, and which precision is chosen by its loss."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from charrnn.errors import DivergedError, TextError
from charrnn.export import quantisation
from charrnn.export.quantisation import PRECISIONS, quantise, restored, smallest
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

FLOATS = st.floats(-100, 100, width=32)
MATRICES = arrays.arrays(np.float32, st.tuples(*[st.integers(1, 5)] * 3), elements=FLOATS)


@example(np.full((1, 1, 1), 1.0204e-41, np.float32))
@given(MATRICES)
def test_an_int8_number_is_off_by_at_most_half_a_step_of_its_column(array: Array) -> None:
    stored = quantise(array, "int8")
    assert stored.values.dtype == np.int8
    assert stored.scale is not None
    assert stored.scale.shape == (array.shape[0], array.shape[2])
    assert np.abs(stored.values.astype(int)).max() <= 127
    error = np.abs(stored.restored() - array)
    allowed = 0.5001 * np.abs(array).max(axis=1) / 127 + 1e-30
    assert (error <= allowed[:, None, :]).all()


@given(MATRICES)
def test_float16_and_float32_keep_their_digits(array: Array) -> None:
    assert np.array_equal(quantise(array, "float32").restored(), array)
    half = quantise(array, "float16")
    assert half.values.dtype == np.float16
    np.testing.assert_allclose(half.restored(), array, rtol=2**-10, atol=2**-24)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_biases_are_kept(precision: str) -> None:
    bias = np.array([0.1, -3.0], np.float32)
    assert np.array_equal(quantise(bias, precision).restored(), bias)


def test_a_column_of_zeros_stays_zero() -> None:
    array = np.array([[0, 1], [0, -1]], np.float32)
    assert np.array_equal(quantise(array, "int8").restored(), array)


def network() -> tuple[ModelConfig, Parameters, Array]:
    """Return a network with random weights, and a text for it."""
    config = ModelConfig(5, 5, cell="gru", hidden=8)
    parameters = initialise(config, np.random.default_rng(0))
    return config, parameters, np.random.default_rng(1).integers(5, size=3000)


def test_int8_is_chosen_where_it_costs_little() -> None:
    config, parameters, ids = network()
    found = smallest(config, parameters, ids)
    assert found.precision == "int8"
    assert set(found.nats) == {"float32", "int8"}
    assert abs(found.added_nats) < 0.01
    weights = restored(parameters, found.arrays)
    assert not np.array_equal(weights.vector, parameters.vector)
    np.testing.assert_allclose(weights.vector, parameters.vector, atol=0.02)


def test_a_precision_that_costs_too_much_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    config, parameters, ids = network()
    costs = {"int8": 0.02, "float16": 0.001, "float32": 0.0}
    sizes = {np.dtype(np.int8): "int8", np.dtype(np.float16): "float16"}
    losses = {tuple(parameters.vector): "float32"}
    plain = quantisation.restored

    def noted(like: Parameters, stored: dict[str, quantisation.Stored]) -> Parameters:
        found = plain(like, stored)
        losses[tuple(found.vector)] = sizes[stored["W_hy"].values.dtype]
        return found

    monkeypatch.setattr(quantisation, "restored", noted)
    monkeypatch.setattr(
        quantisation, "evaluate", lambda _, found, *__: 1 + costs[losses[tuple(found.vector)]]
    )
    assert smallest(config, parameters, ids).precision == "float16"
    costs["int8"] = 0.0099
    assert smallest(config, parameters, ids).precision == "int8"
    costs |= {"int8": 0.02, "float16": 0.02}
    found = smallest(config, parameters, ids)
    assert (found.precision, found.added_nats) == ("float32", 0)
    assert found.arrays["W_hy"].values.dtype == np.float32


def test_float16_that_overflows_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    config, parameters, ids = network()
    parameters["W_hy"][0, 0] = 1e5
    monkeypatch.setattr(quantisation, "MAX_ADDED_NATS", -1e9)  # refuses all
    found = smallest(config, parameters, ids)
    assert found.precision == "float32"
    assert set(found.nats) == {"float32", "int8"}


def test_a_loss_that_is_not_finite_or_a_text_that_is_too_short_is_an_error() -> None:
    config, parameters, ids = network()
    with pytest.raises(TextError):
        smallest(config, parameters, ids[:1])
    parameters["W_hy"] = 3e38
    with pytest.raises(DivergedError):
        smallest(config, parameters, ids)
