"""Optimisers: convergence, first steps, state and weight decay."""

import numpy as np
import pytest

from charrnn.optim.optimisers import OPTIMISERS, Adam, AdamW
from charrnn.types import Array

every_optimiser = pytest.mark.parametrize("name", OPTIMISERS)

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
    lr = {"adagrad": 0.8, "adagrad-damped": 0.8, "muon": 0.8, "sgd": 0.02}.get(name, 0.1)
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
