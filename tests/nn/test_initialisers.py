"""Initialisers: the properties of their matrices, their scales, and names that are refused."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from charrnn.errors import UsageError
from charrnn.nn.initialisers import INITIALISERS, Initialiser, chrono_bias


@pytest.mark.parametrize(("inputs", "units"), [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1)])
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns(
    rng: np.random.Generator, inputs: int, units: int
) -> None:
    W = Initialiser.parse("orthogonal").draw((inputs, units), 1.0, units, rng)
    assert W.shape == (inputs, units)
    square = W @ W.T if inputs <= units else W.T @ W
    np.testing.assert_allclose(square, np.eye(min(inputs, units)), atol=1e-12)


def test_an_orthogonal_matrix_keeps_lengths_times_its_gain(rng: np.random.Generator) -> None:
    W = Initialiser.parse("orthogonal").draw((6, 6), 1.5, 6, rng)
    x = rng.normal(size=6)
    assert np.linalg.norm(x @ W) == pytest.approx(1.5 * np.linalg.norm(x), rel=1e-12)


def test_orthogonal_matrices_are_drawn_uniformly_not_up_to_a_sign(
    rng: np.random.Generator,
) -> None:
    draw = Initialiser.parse("orthogonal").draw
    corners = np.array([draw((2, 2), 1.0, 2, rng)[0, 0] for _ in range(400)])
    assert abs(np.mean(corners)) < 0.15  # without the sign of R it would be near −0.64
    assert 0.4 < np.mean(corners > 0) < 0.6


def test_identity_is_ones_on_the_diagonal(rng: np.random.Generator) -> None:
    W = Initialiser.parse("identity").draw((2, 3, 3), 0.5, 3, rng)
    np.testing.assert_array_equal(W, 0.5 * np.stack([np.eye(3), np.eye(3)]))
    wide = Initialiser.parse("identity").draw((2, 4), 1.0, 4, rng)
    np.testing.assert_array_equal(wide, np.eye(2, 4))


def test_each_gate_has_its_own_matrix(rng: np.random.Generator) -> None:
    W = Initialiser.parse("orthogonal").draw((3, 4, 4), 1.0, 4, rng)
    for gate in W:
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-12)
    assert abs(W[0] - W[1]).max() > 0.1
    assert abs(W[1] - W[2]).max() > 0.1


@pytest.mark.parametrize(
    ("text", "deviation"),
    [
        ("normal", 1 / 5),
        ("normal:0.01", 0.01),
        ("uniform", 1 / 5 / np.sqrt(3)),
        ("uniform:3", np.sqrt(3)),
    ],
)
def test_the_scale_is_the_one_written_or_one_over_root_hidden(
    rng: np.random.Generator, text: str, deviation: float
) -> None:
    W = Initialiser.parse(text).draw((100, 100), 1.0, 25, rng)
    assert np.std(W) == pytest.approx(deviation, rel=0.03)
    assert abs(np.mean(W)) < 0.05 * deviation


def test_uniform_stays_within_its_limit_and_fills_it(rng: np.random.Generator) -> None:
    W = Initialiser.parse("uniform:0.1").draw((100, 100), 2.0, 25, rng)
    assert 0.199 < W.max() < 0.2
    assert -0.2 < W.min() < -0.199


@pytest.mark.parametrize("name", INITIALISERS)
def test_the_gain_multiplies(name: str) -> None:
    draw: Callable[..., np.ndarray] = Initialiser.parse(name).draw
    one = draw((2, 4, 4), 1.0, 4, np.random.default_rng(3))
    three = draw((2, 4, 4), 3.0, 4, np.random.default_rng(3))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-15)
    assert np.abs(one).max() > 0


@pytest.mark.parametrize("name", INITIALISERS)
def test_the_same_seed_draws_the_same(name: str) -> None:
    draw = Initialiser.parse(name).draw
    first = draw((2, 3, 4), 1.0, 4, np.random.default_rng(3))
    again = draw((2, 3, 4), 1.0, 4, np.random.default_rng(3))
    other = draw((2, 3, 4), 1.0, 4, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert name == "identity" or not np.array_equal(first, other)


@pytest.mark.parametrize("text", ["normal:0", "uniform:0"])
def test_a_scale_of_zero_is_zeros(rng: np.random.Generator, text: str) -> None:
    np.testing.assert_array_equal(Initialiser.parse(text).draw((3, 3), 1.0, 3, rng), 0)


@pytest.mark.parametrize("text", ["", "xavier", "Normal", " normal", "normal 0.01"])
def test_the_error_of_an_unknown_name_lists_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError, match=r"no initialiser called .*; there are orthogonal, ident"):
        Initialiser.parse(text)


@pytest.mark.parametrize("scale", ["-1", "nan", "inf", "1e999", "a", "0,5", "1:2", "-1e-9"])
@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_a_scale_that_is_no_number_in_range_is_refused(name: str, scale: str) -> None:
    with pytest.raises(UsageError, match="is no scale from 0 to 1,000,000; try for example"):
        Initialiser.parse(f"{name}:{scale}")


@pytest.mark.parametrize("name", ["orthogonal", "identity"])
def test_an_initialiser_without_a_scale_advises_the_gain(name: str) -> None:
    with pytest.raises(UsageError, match=r"takes no scale, got .*; try --recurrent-gain"):
        Initialiser.parse(f"{name}:0.5")


@pytest.mark.parametrize("gap", [3, 5, 20, 80, 1000])
def test_a_gate_at_the_chrono_bias_forgets_one_part_in_the_gap(gap: int) -> None:
    assert chrono_bias(gap) == math.log(gap - 1)
    assert 1 / (1 + math.exp(-chrono_bias(gap))) == pytest.approx(1 - 1 / gap, rel=1e-14)


def test_the_chrono_bias_of_the_smallest_gaps_is_zero() -> None:
    assert chrono_bias(1) == chrono_bias(2) == 0
