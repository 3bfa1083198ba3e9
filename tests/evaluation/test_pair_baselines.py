"""Baselines of pairs, against plain computations and on pairs whose answers are known."""

import math
from collections import Counter

import numpy as np
import pytest

from charrnn.data import label_ngrams
from charrnn.data.label_ngrams import LabelCounts
from charrnn.data.layouts import PairVocabulary, vocabulary_of_pairs
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.data.pair_ngrams import Ngrams
from charrnn.evaluation.label_scores import labels_of
from charrnn.evaluation.pair_baselines import (
    PairBaseline,
    pair_baselines,
)

Texts = list[tuple[str, str]]


def prepared(layout: str, train: Texts, scored: Texts) -> tuple[PairVocabulary, Examples, Examples]:
    pairing = vocabulary_of_pairs(layout, train + scored)
    sets = [[Pair(a, b, "") for a, b in pairs] for pairs in (train, scored)]
    return pairing, build_examples(pairing, sets[0]), build_examples(pairing, sets[1])


def found(layout: str, train: Texts, scored: Texts) -> dict[str, PairBaseline]:
    return {one.name: one for one in pair_baselines(*prepared(layout, train, scored))}


TRAIN = [("ab", "x"), ("ba", "x"), ("aab", "x"), ("cd", "y"), ("dc", "y"), ("acd", "z")]


def plain_logits(train: Texts, text: str, alpha: float) -> dict[str, float]:
    """Compute naive Bayes with dictionaries."""

    def grams(text: str, n: int) -> list[str]:
        marked = f"^{text}^"
        return list(text) if n == 1 else [marked[i : i + n] for i in range(len(marked) - n + 1)]

    labels = sorted({label for _, label in train})
    sizes = Counter(label for _, label in train)
    total = {}
    for label in labels:
        score = math.log((sizes[label] + 1) / (len(train) + len(labels)))
        for n in range(1, 5):
            known = {gram for text, _ in train for gram in grams(text, n)}
            counts = Counter(g for text, own in train if own == label for g in grams(text, n))
            for gram in grams(text, n):
                if gram in known:
                    all_ = sum(counts.values()) + alpha * len(known)
                    score += math.log((counts[gram] + alpha) / all_)
        total[label] = score
    return total


def ngrams_of(pairing: PairVocabulary, examples: Examples) -> Ngrams:
    return Ngrams.of(examples.inputs, examples.starts, pairing.inputs)


def counts_of(pairing: PairVocabulary, train: Examples, most_cells: int = 10**6) -> LabelCounts:
    labels = labels_of(train)
    return LabelCounts.of(ngrams_of(pairing, train), labels, pairing.outputs, most_cells)


@pytest.mark.parametrize("text", ["ab", "cab", "d", "dddd", "bb"])
@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_naive_bayes_is_that_of_a_plain_computation(text: str, alpha: float) -> None:
    pairing, train, scored = prepared("many-to-one", TRAIN, [(text, "x")])
    logits = counts_of(pairing, train).logits(ngrams_of(pairing, scored), alpha)[0]
    expected = plain_logits(TRAIN, text, alpha)
    np.testing.assert_allclose(logits, list(expected.values()), rtol=1e-5)


def test_many_texts_are_scored_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    texts = [("".join(rng.choice(list("abcd"), rng.integers(1, 9))), "x") for _ in range(50)]
    pairing, train, scored = prepared("many-to-one", TRAIN, texts)
    table = counts_of(pairing, train)
    monkeypatch.setattr(label_ngrams, "CHUNK_TEXTS", 7)
    together = table.logits(ngrams_of(pairing, scored), 0.1)
    for number in range(len(texts)):
        *_, one = prepared("many-to-one", TRAIN + texts, texts[number : number + 1])
        alone = table.logits(ngrams_of(pairing, one), 0.1)
        np.testing.assert_allclose(together[number], alone[0], rtol=1e-6)


def test_naive_bayes_knows_endings_and_is_not_too_sure() -> None:
    rng = np.random.default_rng(2)

    def some(count: int) -> Texts:
        stems = ["".join(rng.choice(list("abcdef"), 5)) for _ in range(count)]
        kinds = rng.choice(["mo", "ng", "ta"], count)
        noisy = rng.choice(["mo", "ng", "ta"], count)
        return [
            (f"{stem}{kind}", str(kind if rng.random() < 0.7 else other))
            for stem, kind, other in zip(stems, kinds, noisy, strict=True)
        ]

    one = found("many-to-one", some(3000), some(600))
    bayes, frequencies = one["naive Bayes, 1- to 4-grams"], one["commonest label"]
    assert bayes.symbol_accuracy == pytest.approx(0.8, abs=0.06)
    assert bayes.macro_f1 == pytest.approx(bayes.symbol_accuracy, abs=0.03)
    limit = -0.8 * math.log(0.8) - 0.2 * math.log(0.1)  # nats of the best possible answer
    assert bayes.nats_per_symbol is not None
    assert limit - 0.1 < bayes.nats_per_symbol < limit + 0.1
    assert frequencies.nats_per_symbol == pytest.approx(math.log(3), abs=0.02)


@pytest.mark.parametrize("train", [TRAIN[:1], TRAIN[:2], TRAIN * 2])
def test_few_examples_have_baselines_too(train: Texts) -> None:
    for one in found("many-to-one", train, TRAIN).values():
        assert one.nats_per_symbol is not None
        assert math.isfinite(one.nats_per_symbol)


def test_a_large_table_keeps_the_commonest_ngrams() -> None:
    pairing, train, _ = prepared("many-to-one", TRAIN, TRAIN)
    table = counts_of(pairing, train, 3 * 4 * 2)
    assert [len(known) for known in table.keys] == [2, 2, 2, 2]
    assert table.keys[0].tolist() == [0, 1]  # a and b occur most


def test_copying_and_the_commonest_answer_are_counted_whole() -> None:
    train = [("ab", "ab"), ("b", "q"), ("c", "q")]
    scored = [("ab", "ab"), ("a", "q"), ("cc", "cc"), ("b", "qq")]
    one = found("many-to-many", train, scored)
    assert one["copying the input"].exact_match == 0.5
    assert one["commonest answer"].exact_match == 0.25
    assert set(one) == {
        "commonest symbol",
        "copying the input",
        "commonest answer",
        "answer of the nearest input",
    }
    same = found("synced", [("ab", "ab"), ("ba", "ab")], [("ab", "ab"), ("ba", "ab"), ("b", "b")])
    assert same["copying the input"].exact_match == pytest.approx(2 / 3)


def test_synced_answers_follow_from_each_character() -> None:
    train, scored = [("aab", "xxy"), ("ab", "xy")], [("ab", "xy"), ("ba", "xx")]
    one = found("synced", train, scored)["commonest answer to each character"]
    assert one.symbol_accuracy == 0.75
    assert one.exact_match == 0.5
    p = (3 + 0.5) / (3 + 1), (2 + 0.5) / (2 + 1)  # of x after a, of y after b
    expected = -(math.log(p[0]) + math.log(p[1]) + math.log(1 - p[1]) + math.log(p[0])) / 4
    assert one.nats_per_symbol == pytest.approx(expected)


@pytest.mark.parametrize("layout", ["one-to-one", "one-to-many"])
def test_labels_to_read_leave_the_frequencies(layout: str) -> None:
    one = found(layout, [("p", "x"), ("q", "y")], [("p", "x")])
    assert len(one) == 1
    (only,) = one.values()
    assert only.nats_per_symbol is not None
    assert only.exact_match is None
