"""Fitting of n-grams to a network of labels: exponents, figures free of the fit, refusals."""

import numpy as np
import pytest

from charrnn.data.label_ngrams import ALPHAS, LabelCounts
from charrnn.data.layouts import Example
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_ngrams import Ngrams
from charrnn.evaluation.label_scores import labels_of, losses, score_of_logits
from charrnn.inference import label_mixture
from charrnn.inference.label_mixture import crossed, crossed_logits, fit, fit_label_ngrams, mix
from charrnn.types import Array

L, V = 3, 4


def examples_of(rng: np.random.Generator, count: int, right: float) -> Examples:
    """Draw words whose last letter is their label in a share of the cases."""
    made = []
    for _ in range(count):
        ids = rng.integers(0, V, rng.integers(2, 7))
        label = ids[-1] % L if rng.random() < right else rng.integers(L)
        targets, scored = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        targets[-1], scored[-1] = label, True
        made.append(Example(ids, targets, scored))
    return Examples.of(made, V, L)


def counts_of(train: Examples) -> LabelCounts:
    return LabelCounts.of(Ngrams.of(train.inputs, train.starts, V), labels_of(train), L)


def test_the_fit_finds_the_exponents_that_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(3)
    network, bayes = rng.normal(0, 2, (2, 20_000, L))
    logits = 0.7 * network + 0.3 * bayes
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    found = fit(network, [bayes] * len(ALPHAS), labels)
    assert found.network == pytest.approx(0.7, abs=0.03)
    assert found.ngrams == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(mix(network, bayes, found).shape, network.shape)


def test_a_half_is_predicted_with_what_the_other_half_says() -> None:
    rng = np.random.default_rng(4)
    network, bayes = rng.normal(0, 1, (2, 400, L))
    labels = np.where(np.arange(400) % 2, network.argmax(axis=1), bayes.argmax(axis=1))
    found = crossed(network, [bayes] * len(ALPHAS), labels)
    even = fit(network[1::2], [bayes[1::2]] * len(ALPHAS), labels[1::2])
    np.testing.assert_allclose(found[::2], mix(network[::2], bayes[::2], even))
    assert even.ngrams < 0.2  # what the odd half says of itself misleads the even one
    together = fit(network, [bayes] * len(ALPHAS), labels)
    own = losses(mix(network, bayes, together), labels).mean()
    assert losses(found, labels).mean() > own + 0.1


def test_counts_that_know_more_than_the_network_are_mixed_in() -> None:
    rng = np.random.default_rng(5)
    train, validation, test = (examples_of(rng, count, 0.9) for count in (2000, 400, 2000))
    network = rng.normal(0, 1, (len(validation), L)) + 1.0 * np.eye(L)[labels_of(validation)]
    found = fit_label_ngrams(network, counts_of(train), V, validation)
    assert found is not None
    assert found.fitted == 400
    alone = losses(network, labels_of(validation)).mean()
    free = crossed_logits(network, counts_of(train), V, validation)
    score = score_of_logits(free, labels_of(validation))
    assert score.nats_per_symbol < alone - 0.3
    # What the figure free of the fit promises, new examples keep.
    network = rng.normal(0, 1, (len(test), L)) + 1.0 * np.eye(L)[labels_of(test)]
    mixed = found.mixed(network, test.inputs, test.starts)
    assert losses(mixed, labels_of(test)).mean() == pytest.approx(score.nats_per_symbol, abs=0.05)


@pytest.mark.parametrize(("count", "right"), [(400, 0.0), (10, 0.9)])
@pytest.mark.parametrize("sure", [1.0, 3.0])
def test_counts_that_know_nothing_and_too_few_pairs_give_none(
    count: int, right: float, sure: float
) -> None:
    """Also if the network is too little sure, which an exponent alone mends."""
    rng = np.random.default_rng(6)
    train, validation = (examples_of(rng, n, right) for n in (2000, count))
    truth = np.eye(L)[labels_of(validation)]
    network: Array = rng.normal(0, 1, (count, L)) + sure * truth
    assert fit_label_ngrams(network, counts_of(train), V, validation) is None


def test_only_the_first_of_very_many_pairs_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    network, bayes = rng.normal(0, 1, (2, 1000, L))
    labels = np.where(np.arange(1000) < 100, network.argmax(axis=1), bayes.argmax(axis=1))
    monkeypatch.setattr(label_mixture, "MAX_FITTED_NUMBERS", 100 * L)
    found = fit(network, [bayes] * len(ALPHAS), labels)
    assert found.network > 10 * found.ngrams
