"""Nearest-neighbour baseline of pairs: the answer of the training input that is most similar.

The similarity of two inputs is the cosine of their TF-IDF vectors (Salton & Buckley 1988) over
n-grams of 2 to `DEFAULT_ORDER` symbols, with marks at both ends of an input:

    w(g, x) = count(g, x) · (ln((1 + n) / (1 + df(g))) + 1)

where n is the number of training inputs and df(g) of how many of them g is a part.
"""

from dataclasses import dataclass

import numpy as np

from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_ngrams import Ngrams
from charrnn.types import Array, Ids

MAX_SCORED = 1_000
"""Examples that are scored at most: the first ones."""

MAX_VISITS = 100_000_000
"""Entries of the index that are read at most, which takes about a second; fewer examples are
scored where the inputs are long."""


def sources_of(pairing: PairVocabulary, examples: Examples) -> Examples:
    """Return the examples without the answers that are fed back, and without GO."""
    if pairing.go_id is None:
        return examples
    lengths = examples.lengths - examples.predictions
    places = np.arange(len(examples.inputs)) - np.repeat(examples.starts[:-1], examples.lengths)
    kept = places < np.repeat(lengths, examples.lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Examples(
        examples.inputs[kept], examples.targets[kept], examples.target_mask[kept], starts
    )


@dataclass(frozen=True)
class Index:
    """The n-grams of the training inputs, each with the inputs that it is a part of.

    Args:
        keys: by order of the n-grams, their different numbers, ascending (m,).
        begins: by order, where the entries of each n-gram begin (m + 1,).
        texts: by order, the number of the input of each entry.
        values: by order, the weight of each entry; the weights of an input have the norm 1.
        idf: by order, the factor of each n-gram (m,).
        count: the number of training inputs.
    """

    keys: list[Ids]
    begins: list[Ids]
    texts: list[Ids]
    values: list[Array]
    idf: list[Array]
    count: int

    @classmethod
    def of(cls, ngrams: Ngrams) -> "Index":
        """Return the index of the n-grams of the training inputs, of two symbols and more."""
        n = ngrams.count
        index = cls([], [], [], [], [], n)
        squares = np.zeros(n)
        for keys, owners in list(zip(ngrams.keys, ngrams.owners, strict=True))[1:]:
            different, which = np.unique(keys, return_inverse=True)
            cells, counts = np.unique(which * np.int64(n) + owners, return_counts=True)
            grams, texts = np.divmod(cells, n)
            df = np.bincount(grams, minlength=len(different))
            idf = np.log((1 + n) / (1 + df)) + 1
            values = counts * idf[grams]
            squares += np.bincount(texts, weights=values**2, minlength=n)
            index.keys.append(different)
            index.begins.append(np.concatenate([[0], np.cumsum(df)]))
            index.texts.append(texts)
            index.values.append(values)
            index.idf.append(idf)
        norms = np.sqrt(np.maximum(squares, 1e-30))
        for number, texts in enumerate(index.texts):
            index.values[number] = index.values[number] / norms[texts]
        return index

    def nearest(self, ngrams: Ngrams, most_visits: int = MAX_VISITS) -> Ids:
        """Return the number of the most similar training input of each of the first texts.

        Of several, the first; of none with a common n-gram, 0. Ends before the entries that were
        read exceed `most_visits`, but not before the first text.
        """
        found: list[int] = []
        edges = [np.searchsorted(own, np.arange(ngrams.count + 1)) for own in ngrams.owners]
        visits = 0
        for text in range(ngrams.count):
            similarity = np.zeros(self.count)
            for order, (keys, ends) in enumerate(zip(ngrams.keys[1:], edges[1:], strict=True)):
                entries, weights = self._entries(order, keys[ends[text] : ends[text + 1]])
                visits += len(entries)
                similarity += np.bincount(
                    self.texts[order][entries],
                    weights=self.values[order][entries] * weights,
                    minlength=self.count,
                )
            if visits > most_visits and found:
                break
            found.append(int(similarity.argmax()))
        return np.array(found, np.int64)

    def _entries(self, order: int, keys: Ids) -> tuple[Ids, Array]:
        """Return the entries of n-grams, and the weight of each one's n-gram in the text."""
        known = self.keys[order]
        different, counts = np.unique(keys, return_counts=True)
        if not len(known) or not len(different):
            return np.zeros(0, np.int64), np.zeros(0)
        places = np.minimum(np.searchsorted(known, different), len(known) - 1)
        hit = known[places] == different
        places, counts = places[hit], counts[hit]
        begins, lengths = self.begins[order][places], np.diff(self.begins[order])[places]
        before = np.cumsum(lengths) - lengths
        entries = np.arange(int(lengths.sum())) + np.repeat(begins - before, lengths)
        return entries, np.repeat(counts * self.idf[order][places], lengths)


def nearest_inputs(pairing: PairVocabulary, train: Examples, scored: Examples) -> Ids:
    """Return the number of the most similar training example of each of the first of `scored`."""
    first = scored.first(int(scored.starts[min(MAX_SCORED, len(scored))]))
    known, asked = (
        Ngrams.of(sources.inputs, sources.starts, pairing.inputs)
        for sources in (sources_of(pairing, train), sources_of(pairing, first))
    )
    return Index.of(known).nearest(asked)
