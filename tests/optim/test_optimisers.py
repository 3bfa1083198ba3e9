"""Optimisers go downhill, clipping keeps its promise, schedules begin and end where they say."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.optim.clipping import clip_by_norm, clip_by_value, norm
from charrnn.optim.optimisers import OPTIMISERS, Adam, AdamW
from charrnn.optim.schedules import FINAL_LR_FRACTION, SCHEDULES, cosine, lr_at_step, step
from charrnn.types import Array

every_optimiser = pytest.mark.parametrize("name", OPTIMISERS)
NUMBERS = st.lists(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1, max_size=8
)

CURVATURE = np.array([0.5, 2.0, 8.0])
MINIMUM = np.array([1.0, -2.0, 0.5])


def descend(name: str, lr: float, steps: int) -> Array:
    """Return the way down ½ Σ curvature (w − minimum)², from zero, the rate falling linearly."""
    w = np.zeros(3)
    optimiser = OPTIMISERS[name](w)
    way = []
    for number in range(steps):
        optimiser.update(w, CURVATURE * (w - MINIMUM), lr * (1 - number / steps))
        way.append(w.copy())
    return np.array(way)


@every_optimiser
def test_it_converges_on_a_quadratic(name: str) -> None:
    lr = {"adagrad": 0.8, "adagrad-damped": 0.8, "sgd": 0.02}.get(name, 0.1)
    way = descend(name, lr, 400)
    start, end = np.linalg.norm(MINIMUM), np.linalg.norm(way[-1] - MINIMUM)
    assert end < 1e-2 * start


@every_optimiser
def test_the_first_step_is_downhill_in_every_direction(name: str) -> None:
    way = descend(name, 0.01, 1)
    np.testing.assert_array_equal(np.sign(way[0]), np.sign(MINIMUM))


@every_optimiser
def test_a_gradient_of_zero_from_the_start_moves_nothing(name: str) -> None:
    w = np.array([1.0, -2.0])
    optimiser = OPTIMISERS[name](w)
    for _ in range(3):
        optimiser.update(w, np.zeros(2), 0.1)
    np.testing.assert_array_equal(w, [1, -2])


@every_optimiser
def test_a_rate_of_zero_moves_nothing(name: str) -> None:
    w = np.array([1.0, -2.0])
    optimiser = OPTIMISERS[name](w, weight_decay=0.5)
    optimiser.update(w, np.array([3.0, 4.0]), 0.0)
    np.testing.assert_array_equal(w, [1, -2])


@every_optimiser
def test_it_works_in_place_and_in_the_dtype_of_the_weights(name: str) -> None:
    w = np.ones(3, np.float32)
    optimiser = OPTIMISERS[name](w)
    optimiser.update(w, np.array([1, 2, 3], np.float32), 0.1)
    assert w.max() < 1
    assert set(optimiser.state) == set(optimiser.slots)
    assert {array.dtype for array in optimiser.state.values()} == {np.dtype(np.float32)}
    assert optimiser.updates == 1


@every_optimiser
def test_slots_and_the_count_are_the_whole_state(name: str, rng: np.random.Generator) -> None:
    gradients = rng.normal(size=(6, 4))
    w = rng.normal(size=4)
    optimiser = OPTIMISERS[name](w, 0.1)
    for gradient in gradients[:3]:
        optimiser.update(w, gradient.copy(), 0.05)
    twin_w = w.copy()
    twin = OPTIMISERS[name](twin_w, 0.1)
    twin.updates = optimiser.updates
    for slot, array in optimiser.state.items():
        twin.state[slot][...] = array
    for gradient in gradients[3:]:
        optimiser.update(w, gradient.copy(), 0.05)
        twin.update(twin_w, gradient.copy(), 0.05)
    np.testing.assert_array_equal(twin_w, w)


@every_optimiser
def test_decay_alone_shrinks_weights_unless_it_is_part_of_the_gradient(name: str) -> None:
    w = np.array([2.0, -4.0])
    OPTIMISERS[name](w, weight_decay=0.5).update(w, np.zeros(2), 0.1)
    if name == "adam":  # L2: both elements feel their own gradient, whose size Adam forgets
        np.testing.assert_allclose(w, [1.9, -3.9], rtol=1e-6)
    else:
        np.testing.assert_allclose(w, [2 * 0.95, -4 * 0.95], rtol=1e-12)


@every_optimiser
def test_decoupled_decay_does_not_reach_the_running_arrays(name: str) -> None:
    gradient = np.array([0.3, -0.7])
    slots = []
    for decay in (0.0, 0.5):
        w = np.array([2.0, -4.0])
        optimiser = OPTIMISERS[name](w, decay)
        optimiser.update(w, gradient.copy(), 0.1)
        slots.append(np.concatenate([*optimiser.state.values()]))
    without, with_decay = slots
    assert np.array_equal(without, with_decay) == (name != "adam")


def test_adam_and_adamw_differ_only_by_their_decay(rng: np.random.Generator) -> None:
    ends = {}
    for kind in (Adam, AdamW):
        for decay in (0.0, 0.3):
            w = np.ones(3)
            optimiser = kind(w, decay)
            for gradient in np.random.default_rng(1).normal(size=(5, 3)):
                optimiser.update(w, gradient, 0.1)
            ends[kind, decay] = w
    np.testing.assert_array_equal(ends[Adam, 0.0], ends[AdamW, 0.0])
    assert not np.allclose(ends[Adam, 0.3], ends[AdamW, 0.3])


def test_adagrad_worked_by_hand() -> None:
    w = np.array([1.0])
    optimiser = OPTIMISERS["adagrad"](w)
    optimiser.update(w, np.array([3.0]), 0.5)
    assert w[0] == pytest.approx(1 - 0.5 * 3 / 3)
    optimiser.update(w, np.array([4.0]), 0.5)
    assert w[0] == pytest.approx(0.5 - 0.5 * 4 / 5)


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
    numbers: list[float], largest: float
) -> None:
    gradient = np.array(numbers)
    before = norm(gradient)
    clipped = gradient.copy()
    after = clip_by_norm(clipped, largest, before)
    assert after == pytest.approx(min(before, largest))
    assert norm(clipped) == pytest.approx(after, rel=1e-12)
    if before <= largest:
        np.testing.assert_array_equal(clipped, gradient)
    else:
        np.testing.assert_allclose(clipped * before, gradient * largest, rtol=1e-12)


@given(NUMBERS, st.floats(1e-3, 1e3))
def test_clipping_by_value_cuts_what_sticks_out_and_nothing_else(
    numbers: list[float], largest: float
) -> None:
    clipped = np.array(numbers)
    after = clip_by_value(clipped, largest)
    np.testing.assert_array_equal(clipped, [max(-largest, min(largest, x)) for x in numbers])
    assert after == norm(clipped)


@given(st.sampled_from(list(SCHEDULES)), st.floats(0, 1), st.floats(0, 1))
def test_a_schedule_never_rises_nor_leaves_its_range(name: str, a: float, b: float) -> None:
    schedule = SCHEDULES[name]
    early, late = schedule(min(a, b)), schedule(max(a, b))
    assert 0 < late <= early <= 1
    assert schedule(0.0) == 1


def test_schedules_end_where_they_say() -> None:
    assert SCHEDULES["constant"](1.0) == 1
    assert cosine(1.0) == pytest.approx(FINAL_LR_FRACTION)
    assert cosine(0.5) == pytest.approx((1 + FINAL_LR_FRACTION) / 2)
    marks = [0.49, 0.5, 0.62, 0.63, 0.74, 0.76, 0.87, 0.88, 1.0]
    assert [step(mark) for mark in marks] == [1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 1 / 16, 1 / 16]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_rises_in_a_line_and_then_falls(schedule: str) -> None:
    rates = [lr_at_step(0.4, schedule, 4, at, 20) for at in range(20)]
    np.testing.assert_allclose(rates[:5], [0.1, 0.2, 0.3, 0.4, 0.4])
    assert all(later <= earlier for earlier, later in pairwise(rates[4:]))
    assert rates[-1] > 0


@given(st.sampled_from(list(SCHEDULES)), st.integers(0, 30), st.integers(1, 20), st.integers(0, 19))
def test_a_rate_is_positive_and_at_most_the_one_asked_for(
    schedule: str, warm_up: int, steps: int, at: int
) -> None:
    assert 0 < lr_at_step(0.5, schedule, warm_up, min(at, steps - 1), steps) <= 0.5
