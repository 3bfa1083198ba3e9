"""Typed text: converted to the normal form and line ends of the text the model was trained on."""

import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.decoding import FORMS, MARK
from charrnn.data.layouts import PairVocabulary
from charrnn.data.typed_text import escaped, typed, typed_with_escapes
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError

TEXT = st.text(st.characters(codec="utf-8"))
LETTERS = Vocabulary("abc")
BYTES = Vocabulary("".join(map(chr, range(256))), as_bytes=True)


@given(TEXT, st.sampled_from(sorted(FORMS)))
def test_every_normal_form_of_a_text_becomes_that_of_the_model(text: str, form: str) -> None:
    text = text.lstrip(MARK)
    expected = unicodedata.normalize(FORMS[form], text)
    for other in ("NFC", "NFD"):
        found = typed(unicodedata.normalize(other, text), LETTERS, form)
        assert found.lstrip(MARK) == unicodedata.normalize(FORMS[form], expected)


@given(TEXT)
def test_without_a_normal_form_text_stays_as_it_is(text: str) -> None:
    text = text.lstrip(MARK)
    assert typed(text, LETTERS) == text
    assert typed(text, BYTES).encode("latin-1") == text.encode()


def test_a_byte_order_mark_is_dropped_unless_the_model_knows_it() -> None:
    assert typed(f"{MARK}ab", LETTERS) == "ab"
    assert typed(f"{MARK}ab", Vocabulary(f"ab{MARK}")) == f"{MARK}ab"
    assert typed(f"{MARK}ab", Vocabulary("ab", as_bytes=True)) == "ab"
    assert typed(f"a{MARK}b", LETTERS) == f"a{MARK}b"


def test_arguments_that_the_locale_could_not_decode_are_utf_8_all_the_same() -> None:
    argument = "é".encode().decode("ascii", "surrogateescape")
    assert typed(argument, LETTERS) == "é"
    assert typed(argument, BYTES) == "\xc3\xa9"
    assert typed("\udcff", BYTES) == "\xff"
    assert typed("\udcff", LETTERS) == "\udcff"


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\\nrtxuU\n\r\t0aF")))
def test_a_text_with_escapes_is_the_text_that_was_escaped(text: str) -> None:
    assert typed_with_escapes(escaped(text), "--stop", LETTERS) == text


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (r"\n", "\n"),
        (r"\r\n", "\r\n"),
        (r"\t", "\t"),
        (r"\\n", r"\n"),
        (r"\\\n", "\\\n"),
        (r"\x41", "A"),
        (r"\xe9", "é"),
        (r"\u00e9", "é"),
        (r"\U0001F600", "😀"),
        (r"e\u0301", "e\u0301"),
        ("a\nb", "a\nb"),
        ("", ""),
    ],
)
def test_each_escape_stands_for_its_character(option: str, expected: str) -> None:
    assert typed_with_escapes(option, "--stop", LETTERS) == expected


def test_escapes_are_normalised_together_with_what_stands_beside_them() -> None:
    assert typed_with_escapes(r"e\u0301", "--stop", LETTERS, "nfc") == "é"


def test_a_hexadecimal_escape_is_a_byte_for_a_model_of_bytes() -> None:
    assert typed_with_escapes(r"é\xe9\u00e9", "--stop", BYTES) == "\xc3\xa9\xe9\xc3\xa9"


@pytest.mark.parametrize(
    "option",
    [r"\q", "\\", r"\x1", r"\xgg", r"\u12", r"\U0001F60", r"\ud800", r"\U00110000", "\\\n"],
)
@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES])
def test_other_backslashes_are_refused(option: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(UsageError, match=r"^--separator holds \\"):
        typed_with_escapes(f"ab{option}", "--separator", vocabulary)


@pytest.mark.parametrize(
    ("layout", "sources"), [("many-to-one", ("e", "\u0301")), ("one-to-many", ("e\u0301", "x"))]
)
def test_inputs_of_pairs_are_normalised_too(layout: str, sources: Sequence[str]) -> None:
    pairing = PairVocabulary(layout, tuple(sources), ("x", "y"))
    assert pairing.typed(f"{MARK}é", "nfd") == "e\u0301"
    assert pairing.prompt(pairing.typed("é", "nfd"))[0] == 0
