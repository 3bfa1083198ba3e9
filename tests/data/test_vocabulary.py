"""Vocabulary: encoding and decoding, at the borders of chunks and for any Unicode."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data import vocabulary as vocabulary_module
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError

CHARACTERS = st.characters(exclude_categories=["Cs"])
ANY_TEXT = st.text(CHARACTERS, min_size=1)
FEW = st.text(st.sampled_from("aé語😀\0\n"))


def sorted_vocabulary(text: str) -> Vocabulary:
    return Vocabulary("".join(sorted(set(text))))


@given(ANY_TEXT, st.integers(1, 5))
def test_any_unicode_comes_back_whatever_the_chunks(text: str, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "CHUNK_CHARS", chunk)
        vocabulary = Vocabulary.from_text(text)
        assert vocabulary == sorted_vocabulary(text)
        assert vocabulary.decode(vocabulary.encode(text)) == text


@given(ANY_TEXT, FEW, st.integers(1, 5))
def test_the_table_agrees_with_the_naive_way(known: str, text: str, chunk: int) -> None:
    vocabulary = sorted_vocabulary(known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "CHUNK_CHARS", chunk)
        ids = vocabulary.encode(text + known, on_unknown="skip")
        unknown = vocabulary.unknown(text + known)
    naive = vocabulary.characters
    assert ids.tolist() == [naive.index(c) for c in text + known if c in naive]
    assert unknown == "".join(sorted(set(text) - set(known)))


@given(ANY_TEXT)
def test_a_stored_order_is_kept(text: str) -> None:
    stored = "".join(dict.fromkeys(text))
    vocabulary = Vocabulary(stored)
    assert vocabulary.decode(np.arange(len(stored))) == stored
    assert vocabulary.encode(stored).tolist() == list(range(len(stored)))


@given(FEW, st.integers(1, 4), st.integers(1, 5))
def test_rare_characters_are_those_a_counter_finds(text: str, least: int, chunk: int) -> None:
    counts = Counter(text)
    kept = sorted(character for character in counts if counts[character] >= least)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "CHUNK_CHARS", chunk)
        if len(kept) < min(2, least):
            with pytest.raises(TextError, match=rf"occur {least} times or more; try .*--min-count"):
                Vocabulary.from_text(text, least)
            return
        vocabulary = Vocabulary.from_text(text, least)
    assert vocabulary.characters == "".join(kept)
    assert set(vocabulary.unknown(text)) == set(counts) - set(kept)
    assert vocabulary.decode(vocabulary.encode(text, "skip")) == "".join(
        character for character in text if character in kept
    )


@pytest.mark.parametrize(
    ("size", "kind"), [(2, "u1"), (256, "u1"), (257, "u2"), (65_536, "u2"), (65_537, "u4")]
)
def test_ids_are_as_small_as_the_vocabulary_allows(size: int, kind: str) -> None:
    characters = "".join(map(chr, [*range(0xD800), *range(0xE000, 0xE000 + size)]))[:size]
    vocabulary = Vocabulary(characters)
    ids = vocabulary.encode(characters)
    assert ids.dtype == np.dtype(kind)
    assert np.array_equal(ids, np.arange(size))
    assert vocabulary.unknown(characters + "\U0010ffff") == "\U0010ffff"


def test_unknown_characters_are_named_visibly_with_the_first_place() -> None:
    with pytest.raises(TextError) as caught:
        Vocabulary("abc").encode("ab\u202ecé\x1bé")
    assert str(caught.value) == (
        "the vocabulary lacks U+001B ESCAPE, 'é' U+00E9, U+202E RIGHT-TO-LEFT OVERRIDE, "
        "first at position 2; try a text without, or --on-unknown skip"
    )


@pytest.mark.parametrize("characters", ["ab", "aé", "a語", "a😀", "\0\U0010ffff"])
def test_no_other_code_point_is_taken_for_a_known_one(characters: str) -> None:
    everything = "".join(map(chr, range(0x110000)))
    vocabulary = Vocabulary(characters)
    assert vocabulary.encode(everything, "skip").tolist() == [0, 1]
    assert len(vocabulary.unknown(everything)) == 0x110000 - 2


def test_a_vocabulary_may_reach_beyond_the_text() -> None:
    assert Vocabulary("aĀ語").unknown("ab") == "b"


def test_many_unknown_characters_still_fit_on_a_line() -> None:
    unknown = "".join(map(chr, range(0xE0001, 0xE0100)))
    with pytest.raises(TextError, match="and 250 more, first at position 1;") as caught:
        Vocabulary("abc").encode("a" + unknown)
    assert len(str(caught.value)) <= 200


def test_the_first_place_is_counted_from_the_start_of_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary_module, "CHUNK_CHARS", 3)
    with pytest.raises(TextError, match=r"'x' U\+0078, first at position 7;"):
        Vocabulary("ab").encode("abababax")


def test_surrogates_are_unknown_to_every_vocabulary() -> None:
    with pytest.raises(TextError, match="surrogate"):
        Vocabulary.from_text("ab\ud800")
    vocabulary = Vocabulary("ab")
    assert vocabulary.unknown("a\udc80") == "\udc80"
    with pytest.raises(TextError, match=r"U\+DC80, first at position 1"):
        vocabulary.encode("a\udc80")


@pytest.mark.parametrize(
    ("characters", "as_bytes", "what"),
    [
        ("", False, "at least one"),
        ("aba", False, "repeats"),
        ("a\ud800", False, "surrogate"),
        ("\udfff", False, "surrogate"),
        ("aĀ", True, r"beyond U\+00FF"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_a_value_error(
    characters: str, as_bytes: bool, what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        Vocabulary(characters, as_bytes)


def test_a_text_without_characters_has_no_vocabulary() -> None:
    with pytest.raises(TextError, match="too few characters"):
        Vocabulary.from_text("")
    with pytest.raises(UsageError, match="--min-count 0"):
        Vocabulary.from_text("ab", min_count=0)


@pytest.mark.parametrize("ids", [[3], [0, -1], [2**40]])
def test_an_id_outside_the_vocabulary_is_a_value_error(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="not within 0 and 2"):
        Vocabulary("abc").decode(ids)


def test_nothing_becomes_nothing() -> None:
    vocabulary = Vocabulary("abc")
    assert vocabulary.decode([]) == ""
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.encode("xyz", "skip").tolist() == []
    assert vocabulary.unknown("") == ""


def test_only_single_characters_are_in_a_vocabulary() -> None:
    vocabulary = Vocabulary("abc")
    assert len(vocabulary) == 3
    assert "b" in vocabulary
    assert "x" not in vocabulary
    assert "ab" not in vocabulary
    assert "" not in vocabulary


def test_vocabularies_are_equal_by_what_they_hold() -> None:
    used = Vocabulary("abc")
    used.encode("cab")
    assert used == Vocabulary("abc")
    assert hash(used) == hash(Vocabulary("abc"))
    assert used != Vocabulary("acb")
    assert used != Vocabulary("abc", as_bytes=True)


@given(st.binary(min_size=1), st.text(CHARACTERS))
def test_a_vocabulary_of_bytes_gives_back_bytes(content: bytes, prompt: str) -> None:
    text = content.decode("latin-1") + "".join(map(chr, range(256)))
    vocabulary = Vocabulary.from_text(text, as_bytes=True)
    assert vocabulary.decode_bytes(vocabulary.encode(text)) == text.encode("latin-1")
    assert (
        vocabulary.decode_bytes(vocabulary.encode(vocabulary.to_model_characters(prompt)))
        == prompt.encode()
    )


@given(ANY_TEXT)
def test_a_vocabulary_of_characters_gives_utf_8_and_spells_nothing_anew(text: str) -> None:
    vocabulary = sorted_vocabulary(text)
    assert vocabulary.to_model_characters(text) == text
    assert vocabulary.decode_bytes(vocabulary.encode(text)) == text.encode()


@pytest.mark.parametrize("alphabet", ["abcdefgh", "abcdefgé", "abcdefg語"])
def test_five_million_characters_are_encoded_in_well_under_a_second(alphabet: str) -> None:
    text = alphabet * 625_000
    start = time.process_time()
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert time.process_time() - start < 1
    assert np.bincount(ids).tolist() == [625_000] * 8
