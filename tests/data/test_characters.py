"""Names of characters: every character has one, and no invisible one is printed as itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.characters import (
    byte_name,
    code_name,
    enumerated,
    is_combining,
    is_hidden,
    labelled,
    named,
    quoted,
    stands_alone,
)

ANY = st.characters(codec=None, exclude_categories=[])
HIDDEN = "\u200b\u00ad\ufe0f\u00a0\u2028\u3000\U000e0041\ufeff\u0378\ue000\u0085\x1b\u115f\u200d"


@pytest.mark.parametrize("character", HIDDEN)
def test_a_hidden_character_is_named_by_its_code_point(character: str) -> None:
    code = f"U+{ord(character):04X}"
    assert is_hidden(character)
    assert named(character).startswith(f"{code} ")
    assert quoted(character).startswith(f"{code} ")
    assert labelled(f"a{character}b") == f"a<{code}>b"


@pytest.mark.parametrize("mark", "\u0301\u093e\u20dd\u1161")
def test_a_combining_mark_does_not_attach_to_a_quote(mark: str) -> None:
    assert is_combining(mark)
    assert mark not in named(mark)
    assert mark not in quoted(mark)
    assert labelled(f"'{mark}") == f"'<U+{ord(mark):04X}>"
    assert labelled(f"e{mark}{mark}") == f"e{mark}{mark}"


def test_visible_characters_are_quoted() -> None:
    assert named("é") == "'é' U+00E9"
    assert quoted(" ") == "' '"
    assert quoted("'") == '"\'"'
    assert quoted("yes") == "'yes'"
    assert byte_name("a") == "'a'"
    assert byte_name("\xe9") == "byte 0xE9"
    assert byte_name("\n") == "byte 0x0A"


def test_controls_and_undecoded_bytes_have_names() -> None:
    assert code_name("\n") == "U+000A LINE FEED"
    assert code_name("\x7f") == "U+007F DELETE"
    assert code_name("\u0085") == "U+0085 control"
    assert code_name("\ue000") == "U+E000 private use"
    assert code_name("\udce9") == "byte 0xE9 (not UTF-8) U+DCE9"


@given(ANY)
def test_every_character_has_a_name_that_can_be_seen(character: str) -> None:
    for name in (named(character), quoted(character), code_name(character)):
        assert all(map(stands_alone, name.replace(character, "") if name == "'" else name))


@given(st.text(ANY))
def test_a_label_hides_nothing_and_is_its_own_label(text: str) -> None:
    label = labelled(text)
    assert not any(map(is_hidden, label))
    assert labelled(label) == label


@given(st.text("abcé語 '😀"))
def test_a_label_that_can_be_seen_stays_as_it_is(text: str) -> None:
    assert labelled(text) == text


def test_long_lists_say_how_many_more_there_are() -> None:
    assert enumerated(["a", "b"], 2) == "a, b"
    assert enumerated(["a", "b"], 5_902) == "a, b and 5,900 more"
