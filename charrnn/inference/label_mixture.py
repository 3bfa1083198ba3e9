"""Fitting of n-grams to a network of labels: their smoothing and the exponents of the mixture.

The training pairs say too little of either part: the network was fitted to them, and the counts
contain them. Smoothing and exponents are therefore fitted on the validation pairs. For figures that
are not optimistic, the validation pairs are cross-fitted in two folds: each fold is predicted with
what was fitted on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.data.label_ngrams import ALPHAS, LabelCounts, LabelNgrams
from charrnn.data.pair_batches import Examples
from charrnn.evaluation.label_scores import labels_of
from charrnn.inference.mixing import Exponents, fit_exponents
from charrnn.nn.ops import cross_entropy
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

    def mix(self, network: Array, bayes: Array) -> Array:
        """Return the logits (n, L) of the mixture of two models."""
        return self.network * network.astype(np.float64) + self.ngrams * bayes


def fit(network: Array, bayes: Sequence[Array], labels: Ids) -> Fitted:
    """Return the smoothing and the exponents of the least loss.

    Args:
        network: logits (n, L) of the network.
        bayes: those of naive Bayes with each value of `ALPHAS`, or with the first ones.
        labels: the true labels (n,).

    Raises `ValueError` without any smoothing to choose from.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> network, bayes = rng.normal(size=(2, 2000, 3))
        >>> labels = (network + bayes + rng.gumbel(size=(2000, 3))).argmax(axis=1)
        >>> found = fit(network, [bayes], labels)
        >>> round(found.network), round(found.ngrams)
        (1, 1)
    """
    best: tuple[float, Fitted] | None = None
    whole = np.ones(len(labels))
    for alpha, logits in zip(ALPHAS[: len(bayes)], bayes, strict=True):
        found = fit_exponents(network, logits, whole, labels, NETWORK_ALONE)
        fitted = Fitted(alpha, found.network_matched, found.ngrams_matched)
        nats = float(losses(fitted.mix(network, logits), labels).mean())
        if best is None or nats < best[0]:
            best = nats, fitted
    if best is None:
        raise ValueError("there is no smoothing to choose")
    return best[1]


def losses(logits: Array, labels: Ids) -> Array:
    """Return the cross-entropy (n,) of logits (n, L) in nats."""
    return cross_entropy(logits, labels, out=np.empty_like(logits))


class ValidationLogits:
    """Logits of network and naive Bayes on validation pairs, to fit a mixture and to score it.

    Args:
        network: logits (n, L) of the network after the examples.
        counts: the counts of the training inputs.
        symbols: the number of symbols of inputs.
        examples: validation pairs (n) that neither the network nor the counts were fitted on.
    """

    def __init__(
        self, network: Array, counts: LabelCounts, symbols: int, examples: Examples
    ) -> None:
        self.network, self.labels = network, labels_of(examples)
        self.counts, self.symbols = counts, symbols
        ngrams = LabelNgrams(counts, symbols, ALPHAS[0], 1.0, 1.0, 0)
        self._asked = ngrams.ngrams_of(examples.inputs, examples.starts)
        most = min(len(examples), max(FEWEST, MAX_FITTED_NUMBERS // network.shape[1]))
        few = slice(0, int(examples.starts[most]))
        asked = ngrams.ngrams_of(examples.inputs[few], examples.starts[: most + 1])
        self._few = [counts.logits(asked, alpha) for alpha in ALPHAS]

    def fit(self, rows: slice, *, with_ngrams: bool = True) -> Fitted:
        """Fit on the chosen ones of the first examples, at most `MAX_FITTED_NUMBERS` logits."""
        few = [one[rows] for one in self._few]
        if not with_ngrams:
            few = [np.zeros_like(few[0])]
        most = len(self._few[0])
        return fit(self.network[:most][rows], few, self.labels[:most][rows])

    def cross_fitted(self, *, with_ngrams: bool = True) -> Array:
        """Return logits (n, L) of the mixture, each fold with what is fitted on the other.

        The folds are the examples with even and with odd numbers. Without n-grams, the network has
        an exponent alone, the inverse of a temperature.
        """
        found = np.zeros(self.network.shape)
        for own in (slice(0, None, 2), slice(1, None, 2)):
            fitted = self.fit(slice(1 - own.start, None, 2), with_ngrams=with_ngrams)
            bayes = self.counts.logits(self._asked, fitted.alpha)[own] if with_ngrams else 0.0
            found[own] = fitted.mix(self.network[own], np.asarray(bayes))
        return found


def fit_label_ngrams(logits: ValidationLogits) -> tuple[LabelNgrams, Array] | None:
    """Return n-grams to mix into a network, and cross-fitted logits (n, L) of the mixture.

    Returns None if the mixture is no better than the network: its cross-fitted loss must be lower
    by more than `ERRORS` standard errors than that of the network with an exponent alone, so that
    what a temperature gains is not counted.
    """
    labels = logits.labels
    if len(labels) < FEWEST:
        return None
    mixture = logits.cross_fitted()
    gains = losses(logits.cross_fitted(with_ngrams=False), labels) - losses(mixture, labels)
    if gains.mean() <= ERRORS * gains.std() / np.sqrt(len(gains)):
        return None
    best = logits.fit(slice(None))
    if best.network <= 0 or best.ngrams <= 0:
        return None
    exponents = (best.alpha, best.network, best.ngrams)
    return LabelNgrams(logits.counts, logits.symbols, *exponents, len(labels)), mixture
