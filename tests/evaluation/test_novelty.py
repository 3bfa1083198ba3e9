"""Novelty: equal to a search with Python's strings, whatever the windows; the verdict."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import TextError
from charrnn.evaluation.ngram_search import SharedRun, windows
from charrnn.evaluation.novelty import Novelty, Verdict, novelties, spread_pieces, verdict
from charrnn.types import Ids


def ids_of(text: str) -> Ids:
    return np.array(list(map(ord, text)), np.uint32)


def novel_by_strings(texts: list[str], corpus: str, n: int) -> float | None:
    """Return the share of n-grams that Python does not find in the corpus."""
    grams = [text[at : at + n] for text in texts for at in range(len(text) - n + 1)]
    return sum(gram not in corpus for gram in grams) / len(grams) if grams else None


def longest_by_strings(texts: list[str], corpus: str) -> SharedRun | None:
    """Return the longest shared run, the first one in the corpus, then in the texts."""
    for n in range(max(map(len, texts)), 0, -1):
        runs = [
            (corpus.index(text[at : at + n]), number, at)
            for number, text in enumerate(texts)
            for at in range(len(text) - n + 1)
            if text[at : at + n] in corpus
        ]
        if runs:
            position, number, at = min(runs)
            return SharedRun(n, number, at, position)
    return None


SMALL_TEXTS = st.lists(st.text("abc", max_size=24), min_size=1, max_size=4).filter(any)


@given(SMALL_TEXTS, st.text("abcd", min_size=1, max_size=90), st.integers(1, 30), st.data())
def test_shares_and_the_longest_run_are_those_of_a_search_with_strings(
    texts: list[str], corpus: str, window: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(corpus)), max_size=3)))
    chunks = np.split(ids_of(corpus), cuts)
    lengths = tuple(range(1, 26))
    (found,) = novelties([list(map(ids_of, texts))], chunks, lengths, window)
    for n in lengths:
        assert found.share(n) == pytest.approx(novel_by_strings(texts, corpus, n))
    assert found.longest == longest_by_strings(texts, corpus)
    assert found.characters == sum(map(len, texts))


@given(st.integers(1, 9), st.text("ab", min_size=9, max_size=20), st.text("ab", max_size=200))
def test_a_passage_of_the_corpus_is_found_where_it_stands(
    at: int, passage: str, other: str
) -> None:
    """A repetitive corpus, where equal n-grams are many and windows cut through the passage."""
    corpus = other * 2 + "c" * at + passage + "d" + other
    text = "x" + "c" + passage + "d" + "x"
    (found,) = novelties([[ids_of(text)]], [ids_of(corpus)], (1, 5, 9), window=7)
    assert found.longest is not None
    assert found.longest == longest_by_strings([text], corpus)
    assert found.longest.characters == len(passage) + 2


def test_a_large_vocabulary_is_searched_as_exactly(rng: np.random.Generator) -> None:
    """Pairs of names are then too many for a table."""
    corpus = rng.integers(0, 30_000, 40_000).astype(np.uint16)
    corpus[20_000:20_050] = corpus[100:150]
    texts = [rng.integers(0, 30_000, 5_000).astype(np.uint16), corpus[120:160].copy()]
    (found,) = novelties([texts], [corpus], (1, 2, 3, 40), window=1_000)
    assert found.longest == SharedRun(40, 1, 0, 120)
    known = set(corpus.tolist())
    every = np.concatenate(texts).tolist()
    assert found.share(1) == pytest.approx(sum(i not in known for i in every) / len(every))
    assert found.share(40) == pytest.approx(1 - 1 / (5_000 - 39 + 1))


def test_groups_of_texts_are_measured_apart() -> None:
    groups = [[ids_of("abcabc")], [ids_of("xyz"), ids_of("ab")]]
    first, second = novelties(groups, [ids_of("abcab")], (2,))
    assert (first.texts, second.texts) == (1, 2)
    assert first.novel == (0.0,)
    assert second.share(2) == pytest.approx(2 / 3)
    assert (first.longest_run, second.longest_run) == (5, 2)


def test_nothing_shared_and_nothing_to_compare() -> None:
    (found,) = novelties([[ids_of("xyz")]], [ids_of("abc")], (1, 3, 4))
    assert found.novel == (1.0, 1.0, None)
    assert found.errors[-1] is None
    assert found.longest is None
    assert found.longest_run == 0
    with pytest.raises(TextError, match="no characters"):
        novelties([[ids_of("")]], [ids_of("abc")])
    for lengths in ((), (0, 1), (2, 1), (1, 1)):
        with pytest.raises(ValueError, match="ascend"):
            novelties([[ids_of("a")]], [ids_of("a")], lengths)


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 9), st.integers(0, 9))
def test_windows_cover_a_text_and_overlap(sizes: list[int], size: int, overlap: int) -> None:
    text = np.arange(sum(sizes))
    chunks = np.split(text, np.cumsum(sizes)[:-1]) if sizes else []
    end = 0
    for begin, window in windows(chunks, size, overlap):
        assert np.array_equal(window, text[begin : begin + len(window)])
        assert begin == 0 or end - begin >= overlap
        end = begin + len(window)
    assert end == len(text)


@given(st.integers(0, 200), st.integers(1, 12), st.integers(1, 40))
def test_pieces_are_spread_and_do_not_overlap(characters: int, count: int, length: int) -> None:
    pieces = spread_pieces(characters, count, length)
    assert all(one.stop <= other.start for one, other in pairwise(pieces))
    assert sum(piece.stop - piece.start for piece in pieces) == min(
        characters, length * max(1, min(count, characters // length))
    )
    if len(pieces) > 1:
        assert (pieces[0].start, pieces[-1].stop) == (0, characters)


def measured(share: float | None, error: float, run: int) -> Novelty:
    """Return a novelty with these figures at the length that decides."""
    longest = SharedRun(run, 0, 0, 0)
    return Novelty(10, 10_000, (20,), (share,), (error,), longest)


def test_the_verdict_compares_with_held_out_text() -> None:
    held_out = measured(0.97, 0.005, 30)
    assert verdict(measured(0.60, 0.02, 90), held_out) is Verdict.COPIES
    assert verdict(measured(0.96, 0.02, 59), held_out) is Verdict.NO_MORE
    assert verdict(measured(0.96, 0.02, 60), held_out) is Verdict.QUOTES
    assert verdict(measured(0.965, 0.0001, 30), measured(0.97, 0.0001, 30)) is Verdict.NO_MORE
    assert verdict(measured(1.0, 0.0001, 49), measured(1.0, 0.0001, 2)) is Verdict.NO_MORE
    assert verdict(measured(0.5, 0.001, 49), None) is Verdict.UNKNOWN
    assert verdict(measured(0.5, 0.001, 49), measured(None, 0, 3)) is Verdict.UNKNOWN
    assert verdict(measured(None, 0.001, 9), held_out) is Verdict.UNKNOWN


def test_the_standard_error_covers_how_texts_differ(rng: np.random.Generator) -> None:
    """Half of the texts are copies: the error is that of ten draws, not of thousands of n-grams."""
    corpus = rng.integers(0, 50, 20_000).astype(np.uint8)
    texts = [corpus[at * 500 : at * 500 + 400].copy() for at in range(5)]
    texts += [rng.integers(0, 50, 400).astype(np.uint8) for _ in range(5)]
    (found,) = novelties([texts], [corpus], (20,))
    assert found.share(20) == pytest.approx(0.5)
    assert found.error(20) == pytest.approx(np.std([0, 1], ddof=0) / 3)
    (whole,) = novelties([[np.concatenate(texts)]], [corpus], (20,))
    assert whole.error(20) == pytest.approx(np.sqrt(0.25 / 200), rel=0.02)
    assert dataclasses.replace(whole, longest=None).longest_run == 0
