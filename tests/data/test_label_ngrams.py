"""N-grams as a part of a model of labels: the mixture is what its formula says."""

import math

import numpy as np
import pytest

from charrnn.data.label_ngrams import LabelCounts, LabelNgrams
from charrnn.data.pair_ngrams import Ngrams
from charrnn.types import Ids

TEXTS = ["ab", "abab", "ba", "b", "c"]
LABELS = np.array([0, 0, 1, 1, 2])


def laid_out(texts: list[str]) -> tuple[Ids, Ids]:
    """Return texts of a, b, c and d as ids one behind the other, and where they begin."""
    ids = np.array(["abcd".index(character) for character in "".join(texts)])
    return ids, np.cumsum([0, *map(len, texts)])


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_mixture_adds_weighted_logits(order: int) -> None:
    counts = LabelCounts.of(Ngrams.of(*laid_out(TEXTS), 4, order), LABELS, 3)
    ngrams = LabelNgrams(counts, 4, alpha=0.1, network=0.6, ngrams=0.2, fitted=9)
    asked = laid_out(["abc", "d"])
    network = np.array([[1.0, -2.0, 0.5], [0.1, 0.2, 0.3]], np.float32)
    bayes = counts.logits(Ngrams.of(*asked, 4, order), 0.1)
    np.testing.assert_allclose(ngrams.mixed(network, *asked), 0.6 * network + 0.2 * bayes)
    assert (ngrams.order, ngrams.different) == (order, sum(map(len, counts.keys)))


def test_counts_of_single_characters_are_those_of_the_texts() -> None:
    counts = LabelCounts.of(Ngrams.of(*laid_out(TEXTS), 4, 2), LABELS, 3)
    assert counts.texts.tolist() == [2, 2, 1]
    assert counts.keys[0].tolist() == [0, 1, 2]
    assert counts.counts[0].tolist() == [[3, 1, 0], [3, 2, 0], [0, 0, 1]]
    bayes = counts.logits(Ngrams.of(*laid_out(["d"]), 4, 2), 0.5)  # nothing of it is known
    np.testing.assert_allclose(bayes[0], np.log(np.array([3, 3, 2]) / 8))


def test_texts_too_short_for_the_longest_ngrams_are_counted_without_a_warning() -> None:
    counts = LabelCounts.of(Ngrams.of(*laid_out(["a", "b"]), 4, 4), np.array([0, 1]), 2)
    assert [len(keys) for keys in counts.keys] == [2, 4, 2, 0]
    bayes = counts.logits(Ngrams.of(*laid_out(["a"]), 4, 4), 1.0)
    p = np.exp(bayes[0] - bayes[0].max())
    # Each label has one of two characters, two of four pairs and one of two triples.
    ratio = (2 / 1) * (2 / 1) ** 2 * (2 / 1)
    assert p[0] / p[1] == pytest.approx(ratio)
    assert math.isfinite(bayes.sum())
