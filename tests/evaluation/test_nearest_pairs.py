"""The nearest-neighbour baseline, against a computation with dictionaries."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data.layouts import PairVocabulary, vocabulary_of_pairs
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.data.pair_ngrams import Ngrams
from charrnn.evaluation import nearest_pairs as module
from charrnn.evaluation.nearest_pairs import Index, nearest_inputs, sources_of
from charrnn.evaluation.pair_baselines import pair_baselines


def laid_out(
    layout: str, train: list[str], scored: list[str]
) -> tuple[PairVocabulary, Examples, Examples]:
    pairs = [[(text, text[::-1]) for text in part] for part in (train, scored)]
    pairing = vocabulary_of_pairs(layout, pairs[0] + pairs[1])
    sets = [build_examples(pairing, [Pair(a, b, "") for a, b in part]) for part in pairs]
    return pairing, sets[0], sets[1]


def plain_similarities(train: list[str], text: str) -> list[float]:
    """Return the cosines of TF-IDF vectors, by dictionaries."""

    def grams(text: str) -> Counter[str]:
        marked = f"^{text}^"
        return Counter(
            marked[i : i + n] for n in (2, 3, 4) for i in range(max(0, len(marked) - n + 1))
        )

    df = Counter(gram for one in train for gram in grams(one))

    def weights(text: str) -> dict[str, float]:
        return {
            gram: count * (math.log((1 + len(train)) / (1 + df[gram])) + 1)
            for gram, count in grams(text).items()
            if gram in df
        }

    asked = weights(text)
    found = []
    for one in train:
        own = weights(one)
        norm = math.sqrt(sum(value**2 for value in own.values()))
        found.append(sum(value * own.get(gram, 0) for gram, value in asked.items()) / norm)
    return found


texts = st.text("abc", min_size=1, max_size=7)


@settings(deadline=None, max_examples=60)
@given(st.lists(texts, min_size=1, max_size=8), st.lists(texts, min_size=1, max_size=4))
def test_the_nearest_input_has_the_largest_cosine(train: list[str], scored: list[str]) -> None:
    for layout in ("many-to-many", "synced"):
        found = nearest_inputs(*laid_out(layout, train, scored))
        assert len(found) == len(scored)
        for number, text in zip(found, scored, strict=True):
            expected = plain_similarities(train, text)
            assert expected[number] == pytest.approx(max(expected), rel=1e-9)


def test_an_input_of_the_training_part_is_its_own_nearest() -> None:
    train = ["abc", "abcd", "ca", "cab", "ccc", "c"]
    found = nearest_inputs(*laid_out("many-to-many", train, train))
    assert found.tolist() == list(range(len(train)))


def test_answers_that_are_fed_back_do_not_count() -> None:
    pairing, train, _ = laid_out("many-to-many", ["abc", "b"], ["a"])
    sources = sources_of(pairing, train)
    assert sources.lengths.tolist() == [3, 1]
    assert "".join(pairing.sources[i] for i in sources.inputs) == "abcb"


def test_the_work_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcde"), 6)) for _ in range(40)]
    pairing, train, scored = laid_out("many-to-many", words, words)
    asked, known = (
        Ngrams.of(sources.inputs, sources.starts, pairing.inputs)
        for sources in (sources_of(pairing, scored), sources_of(pairing, train))
    )
    index = Index.of(known)
    assert len(index.nearest(asked, most_visits=0)) == 1
    some = index.nearest(asked, most_visits=500)
    assert 1 < len(some) < 40
    np.testing.assert_array_equal(some, index.nearest(asked)[: len(some)])
    monkeypatch.setattr(module, "MAX_SCORED", 7)
    (nearest,) = [
        one for one in pair_baselines(pairing, train, scored) if one.name.endswith("nearest input")
    ]
    assert nearest.examples == 7
    assert nearest.title == "answer of the nearest input (first 7)"
    assert nearest.exact_match == 1
