"""Sampling: temperature, top-k, top-p, frequencies of draws, and generation."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from charrnn.errors import UsageError
from charrnn.inference.sampling import CHANCES, Sampling, draw, generate, probabilities
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.randomness import Purpose, generator
from charrnn.types import Array

LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 12)),
    elements=st.floats(-1e4, 1e4, width=32),
)
TEMPERATURES = st.sampled_from([0.0, 1e-300, 1e-9, 0.1, 1.0, 3.0, 1e9])


@given(LOGITS, TEMPERATURES, st.integers(0, 13), st.floats(1e-9, 1))
def test_rows_are_probabilities_whatever_the_logits(
    logits: Array, temperature: float, top_k: int, top_p: float
) -> None:
    p = probabilities(logits, Sampling(temperature, top_k, top_p))
    assert p.dtype == np.float64
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-12)


@given(LOGITS)
def test_the_logits_are_left_alone(logits: Array) -> None:
    before = logits.copy()
    probabilities(logits, Sampling(0.5, 2, 0.7))
    np.testing.assert_array_equal(logits, before)


@given(LOGITS)
def test_a_temperature_of_zero_takes_the_likeliest(logits: Array) -> None:
    p = probabilities(logits, Sampling(temperature=0))
    np.testing.assert_array_equal(p.argmax(axis=-1), logits.argmax(axis=-1))
    assert ((p == 0) | (p == 1)).all()


@given(st.permutations(range(8)))
def test_small_temperatures_approach_the_likeliest(order: list[int]) -> None:
    logits = np.array([order], np.float32)
    for temperature in (1e-2, 1e-9, 1e-300):
        p = probabilities(logits, Sampling(temperature))
        np.testing.assert_allclose(p, probabilities(logits, Sampling(0)), atol=1e-40)


def test_temperature_divides_the_logits() -> None:
    logits = np.log(np.array([[1.0, 2.0, 4.0]]))
    np.testing.assert_allclose(probabilities(logits, Sampling()), [[1 / 7, 2 / 7, 4 / 7]])
    np.testing.assert_allclose(probabilities(logits, Sampling(0.5)), [[1 / 21, 4 / 21, 16 / 21]])
    np.testing.assert_allclose(probabilities(logits, Sampling(1e9)), np.full((1, 3), 1 / 3))


@given(LOGITS, st.floats(0.1, 3))
def test_each_top_k_holds_the_one_before(logits: Array, temperature: float) -> None:
    V = logits.shape[-1]
    smaller = np.zeros(logits.shape, bool)
    for k in range(1, V + 1):
        kept = probabilities(logits, Sampling(temperature, top_k=k)) > 0
        assert (kept >= smaller).all()
        assert (kept.sum(axis=-1) <= k).all()
        smaller = kept
    plain = probabilities(logits, Sampling(temperature))
    np.testing.assert_array_equal(probabilities(logits, Sampling(temperature, top_k=V + 5)), plain)


@given(arrays(np.float32, (2, 9), elements=st.floats(-5, 5, width=32)), st.integers(1, 9))
def test_top_k_keeps_exactly_the_likeliest_in_proportion(logits: Array, k: int) -> None:
    plain = probabilities(logits, Sampling())
    p = probabilities(logits, Sampling(top_k=k))
    for row, before in zip(p, plain, strict=True):
        kept = row > 0
        assert kept.sum() == k
        assert before[kept].min() >= before[~kept].max(initial=0)
        np.testing.assert_allclose(row[kept], before[kept] / before[kept].sum())


def test_the_nucleus_is_exact_on_a_worked_example() -> None:
    logits = np.log(np.array([[0.1, 0.5, 0.15, 0.25]]))
    for top_p, kept in (
        (0.3, [1]),
        (0.49, [1]),
        (0.51, [1, 3]),
        (0.74, [1, 3]),
        (0.76, [1, 3, 2]),
        (0.91, [1, 3, 2, 0]),
    ):
        p = probabilities(logits, Sampling(top_p=top_p))[0]
        assert set(np.flatnonzero(p)) == set(kept)
    np.testing.assert_allclose(
        probabilities(logits, Sampling(top_p=0.76))[0], np.array([0, 5, 1.5, 2.5]) / 9
    )


@given(LOGITS, st.floats(0.01, 1))
def test_the_nucleus_holds_enough_and_no_more(logits: Array, top_p: float) -> None:
    plain = probabilities(logits, Sampling())
    p = probabilities(logits, Sampling(top_p=top_p))
    for row, before in zip(p, plain, strict=True):
        kept = before[row > 0]
        assert kept.sum() >= top_p - 1e-9
        assert kept.sum() - kept.min() < top_p + 1e-9


def test_both_limits_apply_together() -> None:
    logits = np.log(np.array([[0.1, 0.5, 0.15, 0.25]]))
    both = probabilities(logits, Sampling(top_k=3, top_p=0.6))[0]
    assert set(np.flatnonzero(both)) == {1, 3}
    both = probabilities(logits, Sampling(top_k=1, top_p=0.99))[0]
    assert set(np.flatnonzero(both)) == {1}


def test_drawing_meets_the_probabilities() -> None:
    p = np.array([0.0, 0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    count = 40_000
    chance = 1 - np.random.default_rng(5).random(count)
    found = np.bincount(draw(np.tile(p, (count, 1)), chance), minlength=len(p))
    possible = p > 0
    assert (found[~possible] == 0).all()
    expected = count * p[possible]
    chi_square = float(np.sum((found[possible] - expected) ** 2 / expected))
    assert chi_square < 16.27  # 3 degrees of freedom, one chance in a thousand


EDGES = [2**-53, 0.25, 0.5, 0.75, 1 - 2**-53, 1.0]


@given(st.lists(st.sampled_from([0.0, 0.0, 1e-300, 0.1, 1 / 3, 1.0]), min_size=1, max_size=9))
def test_what_has_no_probability_is_never_drawn(weights: list[float]) -> None:
    p = np.array(weights)
    if not p.sum() > 0:
        return
    p /= p.sum()
    ids = draw(np.tile(p, (len(EDGES), 1)), np.array(EDGES))
    assert (p[ids] > 0).all()
    assert (np.diff(ids) >= 0).all()


@pytest.mark.parametrize("V", [10, 1000])
def test_rounding_at_the_end_cannot_pass_it(V: int) -> None:
    p = np.full((1, V), 0.1 / V)
    p[:, V // 2 :] = 0
    assert draw(p, np.array([1.0]))[0] == V // 2 - 1


@pytest.mark.parametrize(
    "settings",
    [
        *({"temperature": t} for t in (-1.0, math.nan, math.inf)),
        *({"top_p": p} for p in (0.0, -0.1, 1.1, math.nan)),
        *({"top_k": -1}, {"seed": -1}),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"must be"):
        Sampling(**settings)  # type: ignore[arg-type]  # floats and whole numbers by name


@pytest.mark.parametrize("cell", CELLS)
def test_generating_is_the_naive_loop_of_steps(cell: str) -> None:
    config = ModelConfig(inputs=7, outputs=7, cell=cell, hidden=6, layers=2, init="normal:0.6")
    parameters = initialise(config, np.random.default_rng(3))
    prime = np.array([2, 5, 1, 1])
    sampling = Sampling(0.8, 5, 0.95, seed=11)
    drawn = [int(ids[0]) for ids in islice(generate(config, parameters, prime, sampling), 300)]

    network = Network(config, parameters, 1, 1)
    rng = generator(11, Purpose.SAMPLING, 0)
    expected = []
    logits = np.zeros((1, 7))
    for id_ in prime:
        logits = network.forward(np.array([[id_]]))[0].copy()
        network.carry_state()
    chances = iter(np.concatenate([1 - rng.random(CHANCES) for _ in range(2)]))
    for _ in range(300):
        p = probabilities(logits, sampling)[0]
        id_ = int(np.searchsorted(np.cumsum(p), next(chances), side="left"))
        expected.append(id_)
        logits = network.forward(np.array([[id_]]))[0].copy()
        network.carry_state()
    assert drawn == expected
    assert len(set(drawn)) > 2


@pytest.mark.parametrize("cell", CELLS)
def test_a_sample_does_not_depend_on_the_number_of_samples(cell: str) -> None:
    config = ModelConfig(inputs=7, outputs=7, cell=cell, hidden=6, init="normal:0.6")
    parameters = initialise(config, np.random.default_rng(3))
    sampling, prime = Sampling(0.9, seed=2), np.array([0, 3])
    five = np.array(list(islice(generate(config, parameters, prime, sampling, 5), 120)))
    assert len({tuple(row) for row in five.T}) == 5
    for count in (1, 2, 4):
        some = np.array(list(islice(generate(config, parameters, prime, sampling, count), 120)))
        np.testing.assert_array_equal(some, five[:, :count])


def test_another_seed_draws_another_text() -> None:
    config = ModelConfig(inputs=7, outputs=7, hidden=6)
    parameters = initialise(config, np.random.default_rng(3))
    one, other, again = (
        [int(ids[0]) for ids in islice(generate(config, parameters, np.array([1]), s), 60)]
        for s in (Sampling(seed=1), Sampling(seed=2), Sampling(seed=1))
    )
    assert one == again
    assert one != other
