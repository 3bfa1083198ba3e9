"""Statistics of short texts: start of a repetition, and counts of n-grams."""

import random

from hypothesis import given
from hypothesis import strategies as st

from charrnn.evaluation.text_statistics import MAX_PERIOD, ngram_share, prefix_lengths, repetition


@given(st.text("ab", max_size=40), st.text("abc", min_size=1, max_size=30), st.integers(3, 9))
def test_a_cycle_is_found_with_its_shortest_period(start: str, cycle: str, repeats: int) -> None:
    text = start + cycle * max(repeats, -(-24 // len(cycle)))
    found = repetition(text)
    assert found is not None
    begin, period = found
    assert period <= len(cycle)
    assert begin <= len(start)
    assert all(text[at] == text[at + period] for at in range(begin, len(text) - period))
    assert begin == 0 or text[begin - 1] != text[begin - 1 + period]


def test_texts_without_a_cycle_have_none() -> None:
    draw = random.Random(4)
    assert repetition("") is None
    assert repetition("hahaha") is None
    assert repetition("the end of a text, in which nothing comes three times") is None
    for _ in range(20):
        assert repetition("".join(draw.choices("abcd", k=600))) is None


def test_a_long_text_is_followed_back_to_where_its_cycle_begins() -> None:
    text = "once" + "upon a time " * 5_000
    assert repetition(text) == (4, 12)
    assert repetition("x" * 9 + "".join(map(chr, range(500, 500 + MAX_PERIOD + 1))) * 3) is None


@given(st.text("ab", max_size=60))
def test_prefix_lengths_are_those_of_the_definition(text: str) -> None:
    for start, length in enumerate(prefix_lengths(text)):
        if start:
            assert text[start : start + length] == text[:length]
            assert start + length == len(text) or text[length] != text[start + length]


def test_the_share_of_known_n_grams() -> None:
    assert ngram_share("abcde", "xabcdex") == 1
    assert ngram_share("abcde", "abcd") == 0.5
    assert ngram_share("abcde", "edcba") == 0
    assert ngram_share("abc", "abc") is None
    assert ngram_share("ab" * 5_000, "abababab") == 1
