"""What reaches a terminal can do no harm there, and what is harmless stays as it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.cli.output import safe_text
from charrnn.cli.output.safe_text import one_line, shell_command, visible

ANY = st.text(st.characters(codec=None, exclude_categories=[]))
HARMFUL = st.text(
    st.sampled_from(
        [chr(code) for code in range(0xA0)]
        + list("\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ud800\udfff é語😀")
    )
)


@given(ANY | HARMFUL)
def test_visible_text_holds_nothing_that_steers_a_terminal(text: str) -> None:
    shown = visible(text)
    controls = {c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert controls <= {"\n", "\t"}
    directions = {c for c in shown if unicodedata.bidirectional(c) in BIDIRECTIONAL}
    assert not directions
    assert not set("\u200e\u200f\u061c") & set(shown)
    shown.encode()


BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(ANY | HARMFUL)
def test_making_visible_twice_changes_nothing_more(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert one_line(one_line(text)) == one_line(text)


@given(ANY | HARMFUL)
def test_visible_text_is_at_most_eight_times_as_long(text: str) -> None:
    assert len(text) <= len(visible(text)) <= 8 * len(text)
    assert len(one_line(text)) == len(visible(text))


@given(ANY | HARMFUL)
def test_one_line_is_one(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert "\t" not in one_line(text)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert visible(f"{text}\n\t") == f"{text}\n\t"


def test_replacements_show_what_was_there() -> None:
    assert visible("\x1b[2J\x07\x7f\x9b\u202e") == "␛[2J␇␡<9B><U+202E>"
    assert one_line("a\nb\tc") == "a␊b␉c"


def test_a_command_is_quoted_as_the_shell_of_the_platform_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell_command("charrnn", "my run", "it's") == """charrnn 'my run' 'it'"'"'s'"""
    monkeypatch.setattr(safe_text, "IS_WINDOWS", True)
    assert shell_command("charrnn", "my run", "it's", "C:\\a b\\") == (
        r'''charrnn "my run" it's "C:\a b\\"'''
    )
