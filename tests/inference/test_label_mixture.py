"""Fitting of n-grams to a network of labels: exponents, figures free of the fit, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from charrnn.data.label_ngrams import ALPHAS, LabelCounts
from charrnn.data.layouts import Example
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_ngrams import Ngrams
from charrnn.evaluation.label_scores import labels_of, score_of_logits
from charrnn.inference import label_mixture
from charrnn.inference.label_mixture import ValidationLogits, fit, fit_label_ngrams, losses
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
    np.testing.assert_allclose(
        found.mix(network, bayes), found.network * network + found.ngrams * bayes
    )


def test_a_fold_is_predicted_with_what_the_other_fold_says() -> None:
    """Even and odd examples contradict each other: labels are those of the counts, and others."""
    rng = np.random.default_rng(4)
    train, validation = (examples_of(rng, count, 1.0) for count in (2000, 400))
    counts = counts_of(train)
    ngrams = Ngrams.of(validation.inputs, validation.starts, V)
    wrong = validation.targets.copy()
    last = validation.starts[1:] - 1
    wrong[last[::2]] = (wrong[last[::2]] + 1) % L
    noisy = replace(validation, targets=wrong)
    both = ValidationLogits(rng.normal(0, 0.1, (400, L)), counts, V, noisy)
    found = both.cross_fitted()
    even = both.fit(slice(1, None, 2))
    expected = even.mix(both.network, counts.logits(ngrams, even.alpha))
    np.testing.assert_allclose(found[::2], expected[::2])
    assert even.ngrams > 0.1  # as the odd fold says, and the even one suffers
    own = both.fit(slice(0, None, 2)).mix(both.network, counts.logits(ngrams, even.alpha))
    assert losses(found, both.labels)[::2].mean() > losses(own, both.labels)[::2].mean() + 0.1


def test_counts_that_know_more_than_the_network_are_mixed_in() -> None:
    rng = np.random.default_rng(5)
    train, validation, test = (examples_of(rng, count, 0.9) for count in (2000, 400, 2000))
    network = rng.normal(0, 1, (len(validation), L)) + 1.0 * np.eye(L)[labels_of(validation)]
    found = fit_label_ngrams(ValidationLogits(network, counts_of(train), V, validation))
    assert found is not None
    ngrams, mixture = found
    assert ngrams.fitted == 400
    alone = losses(network, labels_of(validation)).mean()
    promised = score_of_logits(mixture, labels_of(validation)).nats_per_symbol
    assert promised < alone - 0.3
    # What the cross-fitted figure promises, new examples keep.
    network = rng.normal(0, 1, (len(test), L)) + 1.0 * np.eye(L)[labels_of(test)]
    mixed = ngrams.mixed(network, test.inputs, test.starts)
    assert losses(mixed, labels_of(test)).mean() == pytest.approx(promised, abs=0.05)


@pytest.mark.parametrize(("count", "right"), [(400, 0.0), (10, 0.9)])
@pytest.mark.parametrize("sure", [1.0, 3.0])
def test_counts_that_know_nothing_and_too_few_pairs_give_none(
    count: int, right: float, sure: float
) -> None:
    """Also if the network is underconfident, which an exponent alone corrects."""
    rng = np.random.default_rng(6)
    train, validation = (examples_of(rng, n, right) for n in (2000, count))
    network: Array = rng.normal(0, 1, (count, L)) + sure * np.eye(L)[labels_of(validation)]
    assert fit_label_ngrams(ValidationLogits(network, counts_of(train), V, validation)) is None


def test_only_the_first_of_very_many_pairs_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    train, validation = (examples_of(rng, count, 0.9) for count in (2000, 400))
    network = rng.normal(0, 1, (400, L))
    few = validation.first(int(validation.starts[100]))
    expected = ValidationLogits(network[:100], counts_of(train), V, few).fit(slice(None))
    monkeypatch.setattr(label_mixture, "MAX_FITTED_NUMBERS", 100 * L)
    both = ValidationLogits(network, counts_of(train), V, validation)
    assert both.fit(slice(None)) == expected
    assert both.cross_fitted().shape == (400, L)
