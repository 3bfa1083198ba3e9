"""Gradient clipping: norms, limits, and what is left unchanged."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.optim.clipping import clip_by_norm, clip_by_value, norm

NUMBERS = st.lists(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1, max_size=8
)


@given(NUMBERS)
def test_norm_is_the_root_of_the_sum_of_squares(numbers: list[float]) -> None:
    assert norm(np.array(numbers)) == pytest.approx(math.hypot(*numbers), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.1, 0.9], ids=["tiny", "huge"])
def test_norm_reaches_as_far_as_the_dtype(dtype: type[np.floating], share: float) -> None:
    """The squares of these are zero or infinite; their norm is neither."""
    information = np.finfo(dtype)
    size = float(information.tiny) * 100 if share < 0.5 else float(information.max) / 100
    vector = np.array([3, 0, -4], dtype) * dtype(size)
    with np.errstate(over="ignore", under="ignore"):
        assert norm(vector) == pytest.approx(5 * size, rel=1e-6)


def test_norm_of_nothing_zeros_and_what_is_not_finite() -> None:
    assert norm(np.zeros(3)) == 0
    assert norm(np.zeros(0)) == 0
    with np.errstate(invalid="ignore"):
        assert math.isnan(norm(np.array([1, np.nan])))
        assert norm(np.array([1, -np.inf])) == math.inf


@given(NUMBERS, st.floats(1e-3, 1e3))
def test_clipping_by_norm_keeps_the_direction_and_the_limit(
    numbers: list[float], limit: float
) -> None:
    gradient = np.array(numbers)
    before = norm(gradient)
    clipped = gradient.copy()
    after = clip_by_norm(clipped, limit, before)
    assert after == pytest.approx(min(before, limit))
    assert norm(clipped) == pytest.approx(after, rel=1e-12)
    if before <= limit:
        np.testing.assert_array_equal(clipped, gradient)
    else:
        np.testing.assert_allclose(clipped * before, gradient * limit, rtol=1e-12)


@given(NUMBERS, st.floats(1e-3, 1e3))
def test_clipping_by_value_cuts_what_sticks_out_and_nothing_else(
    numbers: list[float], limit: float
) -> None:
    clipped = np.array(numbers)
    after = clip_by_value(clipped, limit)
    np.testing.assert_array_equal(clipped, [max(-limit, min(limit, x)) for x in numbers])
    assert after == norm(clipped)
