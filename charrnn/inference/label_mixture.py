"""Fitting of n-grams to a network of labels: their smoothing and the exponents of the mixture.

The network has read the counted inputs many times, and the counts hold them, so that both are too
good there. Smoothing and exponents are therefore fitted on the validation pairs, which neither of
them knows. For figures that are free of this fit, each half of the validation pairs is predicted
with what was fitted on the other half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.data.label_ngrams import ALPHAS, LabelCounts, LabelNgrams
from charrnn.data.pair_batches import Examples
from charrnn.evaluation.label_scores import labels_of, losses
from charrnn.inference.mixing import Exponents, fit_exponents
from charrnn.types import Array, Ids

NETWORK_ALONE = Exponents(1.0, 1.0, 0.0, 0.0)
"""What exponents are drawn towards where there are few pairs to fit them on."""

FEWEST = 20
"""Validation pairs below which nothing is fitted."""

MAX_FITTED_NUMBERS = 300_000
"""Logits (pairs × labels) that are fitted on at most, from the first pair on."""

ERRORS = 1.0
"""Standard errors by which the mixture must be better than the network."""


@dataclass(frozen=True)
class Fitted:
    """A smoothing, and the exponents of network and n-grams that fit it.

    Args:
        alpha: the smoothing.
        network: the exponent of the network.
        ngrams: the exponent of the n-grams.
    """

    alpha: float
    network: float
    ngrams: float


def fit(network: Array, bayes: Sequence[Array], labels: Ids) -> Fitted:
    """Return the smoothing and the exponents of the least loss on the first pairs.

    Args:
        network: logits (n, L) of the network.
        bayes: those of naive Bayes with each value of `ALPHAS`, or with the first ones.
        labels: the true labels (n,).
    """
    best: tuple[float, Fitted] | None = None
    most = max(FEWEST, MAX_FITTED_NUMBERS // network.shape[1])
    network, bayes, labels = network[:most], [one[:most] for one in bayes], labels[:most]
    whole = np.ones(len(labels))
    for alpha, logits in zip(ALPHAS[: len(bayes)], bayes, strict=True):
        found = fit_exponents(network, logits, whole, labels, NETWORK_ALONE)
        fitted = Fitted(alpha, found.network_matched, found.ngrams_matched)
        nats = float(losses(mix(network, logits, fitted), labels).mean())
        if best is None or nats < best[0]:
            best = nats, fitted
    if best is None:
        raise ValueError("there is no smoothing to choose")
    return best[1]


def mix(network: Array, bayes: Array, fitted: Fitted) -> Array:
    """Return the logits of a mixture."""
    return fitted.network * network.astype(np.float64) + fitted.ngrams * bayes


def crossed(network: Array, bayes: Sequence[Array], labels: Ids) -> Array:
    """Return logits (n, L) of the mixture, each half with what is fitted on the other half.

    Arguments are those of `fit`; halves are the examples with even and with odd numbers.
    """
    found = np.zeros(network.shape)
    for own in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - own.start, None, 2)
        fitted = fit(network[other], [one[other] for one in bayes], labels[other])
        number = ALPHAS.index(fitted.alpha)
        found[own] = mix(network[own], bayes[number][own], fitted)
    return found


def crossed_logits(network: Array, counts: LabelCounts, symbols: int, examples: Examples) -> Array:
    """Return logits (n, L) of a mixture on the pairs that it was fitted on, free of the fit.

    Args:
        network: logits (n, L) of the network after the examples.
        counts: the counts of the training inputs.
        symbols: the number of symbols of inputs.
        examples: the validation pairs.
    """
    return crossed(network, bayes_logits(counts, symbols, examples), labels_of(examples))


def bayes_logits(counts: LabelCounts, symbols: int, examples: Examples) -> list[Array]:
    """Return the logits (n, L) of naive Bayes with each value of `ALPHAS`."""
    ngrams = LabelNgrams(counts, symbols, 1.0, 1.0, 1.0, 0)
    asked = ngrams.ngrams_of(examples.inputs, examples.starts)
    return [counts.logits(asked, alpha) for alpha in ALPHAS]


def fit_label_ngrams(
    network: Array, counts: LabelCounts, symbols: int, examples: Examples
) -> LabelNgrams | None:
    """Return n-grams to mix into a network; None if the mixture is no better than the network.

    It is better if its loss is lower by more than `ERRORS` standard errors, both free of the fit,
    than that of the network with an exponent alone: what a temperature gains is not counted.

    Args:
        network: logits (n, L) of the network after the examples.
        counts: the counts of the training inputs.
        symbols: the number of symbols of inputs.
        examples: validation pairs that neither the network nor the counts know.
    """
    labels = labels_of(examples)
    if len(labels) < FEWEST:
        return None
    bayes = bayes_logits(counts, symbols, examples)
    tempered = crossed(network, [np.zeros_like(one) for one in bayes[:1]], labels)
    gains = losses(tempered, labels) - losses(crossed(network, bayes, labels), labels)
    if gains.mean() <= ERRORS * gains.std() / np.sqrt(len(gains)):
        return None
    best = fit(network, bayes, labels)
    if best.network <= 0 or best.ngrams <= 0:
        return None
    return LabelNgrams(counts, symbols, best.alpha, best.network, best.ngrams, len(labels))
