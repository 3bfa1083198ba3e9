"""Text memory: closed forms, independent characters, and texts with a planted dependence."""

import itertools
import math

import numpy as np
import pytest

from charrnn.analysis.text_memory import (
    DETECTION_SIGMAS,
    MAX_COUNTED_CHARACTERS,
    MIN_CHARACTERS,
    TextMemory,
    lags_up_to,
    text_memory,
)
from charrnn.errors import TextError, UsageError
from charrnn.types import Ids


def measured(ids: Ids, max_lag: int = 100, ngrams: bool = False, seed: int = 0) -> TextMemory:
    """Measure a text that is not interrupted."""
    found = text_memory(ids, max_lag=max_lag, ngrams=ngrams, seed=seed)
    assert found is not None
    return found


def independent(size: int, V: int, seed: int = 0) -> Ids:
    """Return independent characters of unequal frequency."""
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, V + 1)
    return rng.choice(V, size, p=p / p.sum()).astype(np.uint8)


def assert_close(found: TextMemory, exact: list[float]) -> None:
    """Hold every I(k) against its exact value, within four standard errors."""
    z = (np.array(found.bits) - exact) / np.array(found.error_bits)
    assert np.abs(z).max() < 4, dict(zip(found.lags, z.round(1), strict=True))


def binary_entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p) if 0 < p < 1 else 0.0


@pytest.mark.parametrize("period", [2, 3, 7, 16])
def test_a_periodic_text_has_its_entropy_at_every_lag(period: int) -> None:
    ids = np.tile(np.arange(period, dtype=np.uint8), 20_000 // period)
    found = measured(ids)
    assert found.entropy_bits == pytest.approx(math.log2(period), abs=1e-9)
    assert found.bits == pytest.approx([math.log2(period)] * len(found.lags), abs=2e-3)
    assert found.horizon_chars is None
    assert found.reaches_last_lag


@pytest.mark.parametrize("flip", [0.02, 0.1, 0.3])
def test_a_binary_markov_chain_has_the_information_of_its_closed_form(flip: float) -> None:
    """Symbols that change with probability p: k steps change with (1 − (1 − 2p)ᵏ) / 2."""
    N = 400_000
    changes = np.random.default_rng(1).random(N) < flip
    ids = (np.cumsum(changes) % 2).astype(np.uint8)
    found = measured(ids)
    exact = [1 - binary_entropy((1 - (1 - 2 * flip) ** k) / 2) for k in found.lags]
    assert_close(found, exact)


def test_a_markov_chain_of_many_symbols_has_the_information_of_its_matrix() -> None:
    """I(k) of the stationary chain with transition matrix P comes from Pᵏ."""
    rng = np.random.default_rng(2)
    V, N = 6, 300_000
    P = rng.dirichlet(np.full(V, 0.4), V) * 0.7 + 0.3 * np.eye(V)
    values, vectors = np.linalg.eig(P.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    cumulative, draws = P.cumsum(axis=1), rng.random(N)
    ids = np.zeros(N, np.uint8)
    for t in range(1, N):
        ids[t] = min(V - 1, np.searchsorted(cumulative[ids[t - 1]], draws[t]))
    found = measured(ids, max_lag=8)
    exact = []
    for k in found.lags:
        joint = stationary[:, None] * np.linalg.matrix_power(P, k)
        exact.append(float((joint * np.log2(joint / np.outer(stationary, stationary))).sum()))
    assert exact[0] > 0.1
    assert_close(found, exact)


@pytest.mark.parametrize(("size", "V"), [(2_000, 3), (30_000, 20), (200_000, 60)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_independent_characters_have_none_within_the_error(size: int, V: int, seed: int) -> None:
    found = measured(independent(size, V, seed), max_lag=400)
    z = np.array(found.bits) / np.array(found.error_bits)
    assert abs(z.mean()) < 1
    assert 0.5 < z.std() < 1.6
    assert found.detected_chars == 0
    assert found.horizon_chars == 1
    assert not found.reaches_last_lag


def test_a_shuffled_copy_of_a_dependent_text_has_none() -> None:
    changes = np.random.default_rng(3).random(100_000) < 0.05
    ids = (np.cumsum(changes) % 2).astype(np.uint8)
    assert measured(ids).detected_chars > 20
    assert measured(np.random.default_rng(4).permutation(ids)).detected_chars == 0


def test_dependence_between_neighbours_is_not_taken_for_dependence_far_away() -> None:
    """Runs of equal characters make the naive estimate too large at every lag."""
    rng = np.random.default_rng(5)
    ids = np.repeat(rng.integers(0, 8, 6_000), rng.integers(5, 20, 6_000)).astype(np.uint8)
    found = measured(ids, max_lag=1_000)
    assert 10 < found.detected_chars < 40
    far = [k > 100 for k in found.lags]
    z = np.array(found.bits)[far] / np.array(found.error_bits)[far]
    assert abs(z.mean()) < 1.5


def test_a_dependence_at_one_distance_is_found_there_and_nowhere_else() -> None:
    ids = independent(100_000, 10)
    ids[60:] = np.where(np.random.default_rng(6).random(99_940) < 0.2, ids[:-60], ids[60:])
    found = measured(ids)
    by_lag = dict(zip(found.lags, found.bits, strict=True))
    assert max(by_lag, key=lambda k: by_lag[k]) == 60
    assert found.detected_chars == 60
    assert found.horizon_chars is None or found.horizon_chars > 60


def test_lags_are_all_up_to_64_and_then_a_share_of_each_octave() -> None:
    assert lags_up_to(5) == (1, 2, 3, 4, 5)
    lags = lags_up_to(1_000)
    assert lags[:64] == tuple(range(1, 65))
    assert lags[-1] == 1_000
    assert all(0 < b - a <= max(1, 0.08 * a) for a, b in itertools.pairwise(lags))


def test_n_gram_counts_gain_up_to_the_length_of_the_dependence() -> None:
    """A character that the three before it determine: four-grams are enough."""
    rng = np.random.default_rng(7)
    table = rng.integers(0, 4, (4, 4, 4))
    ids = np.zeros(60_000, np.uint8)
    noise = rng.random(60_000) < 0.1
    for t in range(3, 60_000):
        ids[t] = rng.integers(4) if noise[t] else table[ids[t - 3], ids[t - 2], ids[t - 1]]
    found = measured(ids, max_lag=10, ngrams=True)
    assert len(found.ngram_nats) == 8
    assert found.ngram_context_chars == 3
    assert found.ngram_nats[3] < found.ngram_nats[2] - 0.1


def test_the_seed_decides_the_surrogates_only() -> None:
    ids = independent(5_000, 5)
    first, again, other = (measured(ids, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.error_bits != other.error_bits
    assert first.bits == pytest.approx(other.bits, abs=5 * first.error_bits[0])


def test_a_long_text_is_counted_in_parts_and_says_so() -> None:
    ids = np.tile(np.arange(5, dtype=np.uint8), MAX_COUNTED_CHARACTERS // 5 * 2)
    found = measured(ids, max_lag=5)
    assert found.characters == len(ids)
    assert found.counted <= MAX_COUNTED_CHARACTERS
    assert found.bits == pytest.approx([math.log2(5)] * 5, abs=1e-3)


def test_rare_characters_of_a_short_text_share_a_symbol() -> None:
    ids = np.random.default_rng(8).integers(0, 3_000, 5_000).astype(np.uint16)
    found = measured(ids)
    assert found.symbols == 22  # √(5000 / 10)
    assert found.detected_chars == 0


def test_a_text_of_one_character_has_no_information() -> None:
    found = measured(np.zeros(5_000, np.uint8), ngrams=True)
    assert found.entropy_bits == 0
    assert set(found.bits) == {0.0}
    assert found.detected_chars == 0


def test_short_texts_and_bad_lags_are_refused_and_stop_is_heard() -> None:
    with pytest.raises(TextError, match="999 characters are too few"):
        text_memory(np.zeros(MIN_CHARACTERS - 1, np.uint8))
    with pytest.raises(UsageError, match="largest lag is 0"):
        text_memory(np.zeros(5_000, np.uint8), max_lag=0)
    assert text_memory(independent(5_000, 5), stop=lambda: True) is None
    assert measured(independent(1_200, 5), max_lag=5_000).lags[-1] == 300
    assert DETECTION_SIGMAS == 4
