"""Weights of labels: the formula, its mean, the minimum of the weighted loss, and its gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.label_weights import label_weights
from charrnn.data.layouts import vocabulary_of_pairs
from charrnn.data.pair_batches import Examples, PairBatchConfig
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.worker_pool import Worker, WorkerPool
from charrnn.types import Array

PAIRS = [("ab", "x"), ("ba", "x"), ("aa", "x"), ("bb", "x"), ("cb", "x"), ("ca", "y"), ("bc", "z")]


def examples() -> Examples:
    pairing = vocabulary_of_pairs("many-to-one", PAIRS)
    return build_examples(pairing, [Pair(a, b, "") for a, b in PAIRS])


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=9).filter(any),
    st.floats(0, 1),
)
def test_an_example_weighs_1_in_the_mean(counts: list[int], power: float) -> None:
    n = np.array(counts)
    weights = label_weights(n, power)
    assert (weights * n).sum() == pytest.approx(n.sum())
    present = n > 0
    assert (weights[~present] == 0).all()
    scaled = weights[present] * n[present] ** power
    np.testing.assert_allclose(scaled, scaled[0])


def test_the_ends_of_the_range_are_no_weights_and_equal_labels() -> None:
    counts = np.array([90, 9, 1])
    np.testing.assert_array_equal(label_weights(counts, 0.0), 1)
    np.testing.assert_allclose(label_weights(counts, 1.0) * counts, 100 / 3)


def test_the_probabilities_of_the_examples_are_had_back_from_the_weighted_minimum() -> None:
    counts, power = np.array([70, 25, 5]), 0.6
    p = counts / counts.sum()  # at one x that all examples have
    weights = label_weights(counts, power)
    q = weights * p / (weights * p).sum()

    def loss(q: Array) -> float:
        return float(-(weights * p * np.log(q)).sum())

    rng = np.random.default_rng(1)
    for _ in range(50):
        other = q * np.exp(0.05 * rng.standard_normal(3))
        assert loss(other / other.sum()) >= loss(q)
    again = np.exp(np.log(q) + power * np.log(counts))
    np.testing.assert_allclose(again / again.sum(), p)
    assert q[2] > 2 * p[2]  # the rare label is given more than its share


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_the_gradient_is_that_of_the_weighted_loss(power: float) -> None:
    data, B = examples(), 3
    config = ModelConfig(3, 3, cell="lstm", hidden=4)
    parameters = initialise(config, np.random.default_rng(0), np.float64)
    gradients = parameters.like()
    states = parameters.__class__(config.state_shapes(B), np.float64)
    shape = PairBatchConfig(B, 5, power)
    worker = Worker(config, shape, data.arrays, parameters, gradients, states, slice(0, B), "numpy")
    counts = np.bincount(data.targets[data.target_mask])
    of_label = len(PAIRS) * counts**-power / (counts ** (1 - power)).sum()

    def loss(step: int) -> float:
        worker.compute(step)
        batch = worker.batch
        nats = worker.networks[len(batch.inputs)][0].loss(batch.targets)
        expected = np.where(batch.weights != 0, of_label[batch.targets] / B, 0.0)
        np.testing.assert_allclose(batch.weights, expected, rtol=1e-6)
        return float((expected * nats).sum())

    for step in range(3):
        loss(step)
        computed = gradients.vector.copy()
        assert np.abs(computed).max() > 1e-3
        for place in range(0, len(computed), 7):
            kept, h = parameters.vector[place], 1e-5
            parameters.vector[place] = kept + h
            above = loss(step)
            parameters.vector[place] = kept - h
            below = loss(step)
            parameters.vector[place] = kept
            assert computed[place] == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-8)


def test_the_loss_that_is_reported_has_no_weights() -> None:
    data = examples()
    config = ModelConfig(3, 3, cell="gru", hidden=4)
    initial = initialise(config, np.random.default_rng(0))
    nats = []
    for balance in (0.0, 1.0):
        shape = PairBatchConfig(3, 5, balance)
        with WorkerPool(config, shape, data.arrays, initial) as pool:
            nats.append([pool.compute(step) for step in range(4)])
    assert nats[0] == nats[1]
