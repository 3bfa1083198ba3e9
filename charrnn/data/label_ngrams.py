"""Counts of the n-grams of texts by the label of each text: a multinomial naive Bayes model.

    log p(label | text) = log p(label) + Σ log p(n-gram | label) + const       n = 1 … the order

over the n-grams of the text, with marks at both its ends (McCallum & Nigam 1998). N-grams of one
text depend on each other, so that these probabilities are overconfident: their logarithms are to be
divided by a temperature, or multiplied by an exponent.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.data.pair_ngrams import Ngrams
from charrnn.types import Array, Ids

ALPHAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Values of the smoothing α to choose from."""

MAX_CELLS = 20_000_000
"""Most n-grams × labels; of more, the commonest n-grams are used."""

CHUNK_TEXTS = 2_000
"""Texts whose n-grams are added up at once."""


@dataclass(frozen=True)
class LabelCounts:
    """How often each n-gram occurs in the texts of each label.

    Args:
        texts: the number of texts with each label (L,).
        keys: the numbers of the n-grams, ascending (m,), by order.
        counts: how often each occurs in texts of each label (m, L), by order.

    Example:
        >>> ids, starts = np.array([0, 1, 1]), np.array([0, 2, 3])  # the texts ab and b
        >>> counts = LabelCounts.of(Ngrams.of(ids, starts, symbols=2), np.array([0, 1]), L=2)
        >>> counts.texts.tolist(), counts.counts[0].tolist()
        ([1, 1], [[1, 0], [1, 1]])
    """

    texts: Ids
    keys: tuple[Ids, ...]
    counts: tuple[Ids, ...]

    @classmethod
    def of(cls, ngrams: Ngrams, labels: Ids, L: int, most_cells: int = MAX_CELLS) -> "LabelCounts":
        """Count the n-grams of texts.

        Args:
            ngrams: those of the texts; texts without any are not counted.
            labels: the label of each text (n,).
            L: the number of labels.
            most_cells: n-grams × labels at most, of all orders.
        """
        used = np.unique(np.concatenate(ngrams.owners))
        known, counted = [], []
        most = max(1, most_cells // (L * len(ngrams.keys)))
        for keys, owners in zip(ngrams.keys, ngrams.owners, strict=True):
            different, which, often = np.unique(keys, return_inverse=True, return_counts=True)
            kept = np.sort(np.argsort(-often, kind="stable")[:most])
            place = np.full(len(different), -1)
            place[kept] = np.arange(len(kept))
            place = place[which]
            cell = place[place >= 0] * L + labels[owners[place >= 0]]
            counts = np.bincount(cell, minlength=len(kept) * L).reshape(len(kept), L)
            known.append(different[kept])
            counted.append(counts.astype(np.uint32))
        return cls(np.bincount(labels[used], minlength=L), tuple(known), tuple(counted))

    def weights(self, alpha: float) -> list[Array]:
        """Return log p(n-gram | label), smoothed by `alpha` > 0, as float32 (m, L) by order."""
        found = []
        for counts in self.counts:
            total = counts.sum(axis=0) + alpha * max(1, len(counts))
            found.append((np.log(counts + alpha) - np.log(total)).astype(np.float32))
        return found

    def logits(self, ngrams: Ngrams, alpha: float) -> Array:
        """Return log p(label) + Σ log p(n-gram | label) of each text (n, L), smoothed by `alpha`.

        N-grams that occur in no counted text are left out.
        """
        return self.logits_with(self.weights(alpha), ngrams)

    def logits_with(self, weights: list[Array], ngrams: Ngrams) -> Array:
        """Return what `logits` returns, from what `weights` returned."""
        prior = self.texts + 1.0
        L = len(prior)
        found = np.tile(np.log(prior / prior.sum()), (ngrams.count, 1))
        for keys, owners, known, weight in zip(
            ngrams.keys, ngrams.owners, self.keys, weights, strict=True
        ):
            if not len(known):
                continue
            place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            hit = known[place] == keys
            place, owner = place[hit], owners[hit]
            edges = np.searchsorted(owner, np.arange(0, ngrams.count + 1, CHUNK_TEXTS))
            for first, last in zip(edges, [*edges[1:], len(owner)], strict=True):
                if first < last:
                    begins = np.flatnonzero(np.diff(owner[first:last], prepend=-1))
                    sums = np.add.reduceat(weight[place[first:last]], begins, axis=0)
                    found[owner[first:last][begins]] += sums.reshape(-1, L)
        return found


MODEL_CELLS = 5_000_000
"""N-grams × labels at most that a model holds: 40 MB in memory, less in a file."""

MAX_ORDER = 8
"""Longest n-grams that a model may count."""


@dataclass(frozen=True)
class LabelNgrams:
    """N-grams as a part of a model of labels, mixed in log-linearly.

        log p(label | text) = a · network's logit + b · naive Bayes' logit + const

    Args:
        counts: the counts of the training inputs.
        symbols: the number of symbols that their n-grams are numbered by.
        alpha: the smoothing of the counts.
        network: a, the exponent of the network.
        ngrams: b, the exponent of the n-grams.
        fitted: validation pairs that alpha and the exponents were fitted on.

    Example:
        >>> ids, starts = np.array([0, 1, 1]), np.array([0, 2, 3])  # the texts ab and b
        >>> counts = LabelCounts.of(Ngrams.of(ids, starts, symbols=2), np.array([0, 1]), L=2)
        >>> ngrams = LabelNgrams(counts, 2, alpha=0.1, network=1.0, ngrams=0.5, fitted=0)
        >>> ngrams.mixed(np.zeros((2, 2)), ids, starts).argmax(axis=1)
        array([0, 1])
    """

    counts: LabelCounts
    symbols: int
    alpha: float
    network: float
    ngrams: float
    fitted: int

    @property
    def order(self) -> int:
        """N of the longest n-grams."""
        return len(self.counts.keys)

    @property
    def different(self) -> int:
        """The number of different n-grams that are counted."""
        return sum(map(len, self.counts.keys))

    @cached_property
    def _weights(self) -> list[Array]:
        return self.counts.weights(self.alpha)

    def ngrams_of(self, ids: Ids, starts: Ids) -> Ngrams:
        """Number the n-grams of concatenated texts; see `Ngrams.of`."""
        return Ngrams.of(ids, starts, self.symbols, self.order)

    def mixed(self, logits: Array, ids: Ids, starts: Ids) -> Array:
        """Return the logits (n, L) of the mixture, float64.

        Args:
            logits: those of the network after each text (n, L).
            ids: the concatenated texts (N,).
            starts: where each begins, and where the last one ends (n + 1,).
        """
        bayes = self.counts.logits_with(self._weights, self.ngrams_of(ids, starts))
        return self.network * logits.astype(np.float64) + self.ngrams * bayes
