"""N-gram model: at once, step by step and by plain counting, the probabilities are the same."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import TextError, UsageError
from charrnn.evaluation.baselines import witten_bell
from charrnn.inference.ngram_model import NgramModel
from charrnn.limits import MAX_NGRAM_CHARACTERS
from charrnn.types import Array

V = 4
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=60).map(np.array)


def plainly(text: Array, read: list[int], order: int) -> tuple[list[float], int]:
    """Return the probabilities after `read`, and the characters matched, by counting in dicts."""
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for n in range(order):
        for end in range(n, len(text)):
            followers[tuple(text[end - n : end].tolist())][int(text[end])] += 1
    p, matched = [1 / V] * V, 0
    for n in range(min(order, len(read) + 1)):
        after = followers.get(tuple(read[len(read) - n :]))
        if not after:
            break
        total, kinds, matched = after.total(), len(after), n
        p = [(after[c] + kinds * p[c]) / (total + kinds) for c in range(V)]
    return p, matched


@settings(max_examples=60)
@given(texts, texts, st.integers(1, 6))
def test_steps_whole_texts_and_plain_counts_agree(text: Array, read: Array, order: int) -> None:
    model = NgramModel(text, V, order)
    at_once = model.contexts_of(read)
    p, matched = model.probabilities(at_once), model.matched(at_once)
    contexts = model.begin(2)  # two sequences, which do not touch each other
    for step, id_ in enumerate(read.tolist()):
        contexts = model.read(contexts, np.array([id_, 0]))
        assert contexts[:, 0].tolist() == at_once[:, step].tolist()
        expected, length = plainly(text, read[: step + 1].tolist(), order)
        assert p[step] == pytest.approx(expected, rel=1e-12)
        assert model.probabilities(contexts)[0].tolist() == p[step].tolist()
        assert matched[step] == length
    assert p.sum(axis=1) == pytest.approx(1, rel=1e-12)
    assert (p > 0).all()


@settings(max_examples=40)
@given(texts, texts, st.integers(1, 6))
def test_the_baseline_gives_the_same_probabilities(text: Array, read: Array, order: int) -> None:
    *_, baseline = witten_bell(text, read, V, order)
    model = NgramModel(text, V, order)
    p = model.probabilities(model.contexts_of(read))
    rows = np.arange(len(read) - 1)
    assert p[rows, read[1:]] == pytest.approx(baseline[1:], rel=1e-12)


def test_before_the_first_character_only_single_characters_count() -> None:
    model = NgramModel(np.array([0, 0, 0, 1]), V, 5)
    p = model.probabilities(model.begin(1))
    assert p[0] == pytest.approx([3.5 / 6, 1.5 / 6, 0.5 / 6, 0.5 / 6])


def test_a_small_type_of_ids_does_not_overflow(rng: np.random.Generator) -> None:
    ids = rng.integers(0, 200, 2000)
    small, large = (NgramModel(ids.astype(kind), 200, 4) for kind in (np.uint8, np.int64))
    read = ids[500:600].astype(np.uint8)
    contexts = small.contexts_of(read)
    assert small.matched(contexts)[3:].min() == 3
    assert (small.probabilities(contexts) == large.probabilities(contexts)).all()


@pytest.mark.parametrize("order", [0, -1, 17])
def test_orders_out_of_range_are_refused(order: int) -> None:
    with pytest.raises(UsageError, match=r"n-grams is -?\d+; it must be a whole number"):
        NgramModel(np.zeros(5, np.uint8), V, order)


@pytest.mark.parametrize("size", [0, MAX_NGRAM_CHARACTERS + 1])
def test_texts_that_are_empty_or_too_long_are_refused(size: int) -> None:
    with pytest.raises(TextError, match="n-grams are counted in 1 to 4,000,000 characters"):
        NgramModel(np.zeros(size, np.uint8), V, 3)
