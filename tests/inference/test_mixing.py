"""Log-linear mixing: exact probabilities, and exponents of the least loss."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.inference.mixing import PRIOR_CHARACTERS, Exponents, fit_exponents, log_softmax, mixed
from charrnn.limits import EXPONENT
from charrnn.types import Array, Ids


@given(st.tuples(*[st.floats(0, EXPONENT.high)] * 4), st.integers(0, 2**32 - 1))
def test_a_mixture_has_exact_probabilities(w: tuple[float, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, ngrams = (log_softmax(rng.normal(0, 3, (5, 7))) for _ in range(2))
    share = rng.random(5)
    log_p = mixed(network, ngrams, share, Exponents(*w))
    assert np.exp(log_p).sum(axis=1) == pytest.approx(1, rel=1e-12)
    a = w[0] + share * (w[1] - w[0])
    b = w[2] + share * (w[3] - w[2])
    expected = np.exp(network) ** a[:, None] * np.exp(ngrams) ** b[:, None]
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.exp(log_p) == pytest.approx(expected, rel=1e-9)


def test_exponents_of_one_and_zero_leave_one_part() -> None:
    rng = np.random.default_rng(0)
    network, ngrams = (log_softmax(rng.normal(0, 3, (5, 7))) for _ in range(2))
    share = rng.random(5)
    assert mixed(network, ngrams, share, Exponents(1, 1, 0, 0)) == pytest.approx(network)
    assert mixed(network, ngrams, share, Exponents(0, 0, 1, 1)) == pytest.approx(ngrams)


def drawn(exponents: Exponents, n: int) -> tuple[Array, Array, Array, Ids]:
    """Return two models, shares, and characters drawn from their mixture."""
    rng = np.random.default_rng(3)
    network, ngrams = (log_softmax(rng.normal(0, 2, (n, 6))) for _ in range(2))
    share = rng.random(n)
    p = np.exp(mixed(network, ngrams, share, exponents))
    targets = (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)
    return network, ngrams, share, targets


def loss(exponents: Exponents, network: Array, ngrams: Array, share: Array, targets: Ids) -> float:
    log_p = mixed(network, ngrams, share, exponents)
    return -float(log_p[np.arange(len(targets)), targets].sum())


def test_the_fit_finds_the_exponents_that_the_characters_were_drawn_with() -> None:
    true = Exponents(0.9, 0.5, 0.1, 0.7)
    found = fit_exponents(*drawn(true, 20_000))
    assert astuple(found) == pytest.approx(astuple(true), abs=0.08)


@pytest.mark.parametrize("n", [50, 3000])
def test_the_fit_is_a_minimum(n: int) -> None:
    """Move each exponent a little: loss and distance from the defaults never get less together."""
    data = drawn(Exponents(0.8, 0.4, 0.3, 0.6), n)
    prior = np.array(astuple(Exponents()))

    def objective(w: Array) -> float:
        penalty = PRIOR_CHARACTERS / 2 * float(((w - prior) ** 2).sum())
        return loss(Exponents(*w.tolist()), *data) + penalty

    best = np.array(astuple(fit_exponents(*data)))
    for at in range(4):
        for change in (-0.02, 0.02):
            moved = best.copy()
            moved[at] += change
            assert objective(moved) > objective(best)


def test_exponents_stay_in_their_range() -> None:
    """Always right: the largest exponent is best; always wrong: a negative one would be."""
    n = 2000
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 6, n)
    right, wrong = np.zeros((n, 6)), np.zeros((n, 6))
    right[np.arange(n), targets] = 0.2
    wrong[np.arange(n), targets] = -0.2
    found = fit_exponents(log_softmax(right), log_softmax(wrong), rng.random(n), targets)
    assert all(value in EXPONENT for value in astuple(found))
    assert found.ngrams_matched == 0
    assert found.network_matched == EXPONENT.high


def test_little_text_leaves_the_default_exponents_nearly_as_they_are() -> None:
    network, ngrams, share, targets = drawn(Exponents(0.1, 0.1, 2, 2), 4)
    found = fit_exponents(network, ngrams, share, targets)
    assert astuple(found) == pytest.approx(astuple(Exponents()), abs=0.3)
