"""Text as people see it: no wider than it may be, bytes as the characters they spell."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import Result

from charrnn.cli.output.safe_text import decode_utf_8, label
from charrnn.cli.output.text_columns import (
    cut,
    cut_start,
    decoded_text,
    glyphs,
    listed,
    listed_bytes,
    side_by_side,
    split_hidden,
)
from charrnn.cli.train.pair_metrics import short
from charrnn.cli.train.pair_report import quoted_answers
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.data.characters import is_hidden

WIDE = st.text(st.sampled_from("ab語😀é\u0301\u200d\ufe0f가\t") | st.characters(codec="utf-8"))


@given(WIDE, st.integers(1, 30))
def test_a_cut_line_fits_and_is_a_beginning_or_an_end(text: str, columns: int) -> None:
    beginning, end = cut(text, columns), cut_start(text, columns)
    assert cell_len(beginning) <= columns
    assert cell_len(end) <= columns
    assert text.startswith(beginning.rstrip(" "))
    assert text.endswith(end.removeprefix("…"))
    if cell_len(text) <= columns:
        assert beginning == end == text


@pytest.mark.parametrize("text", ["語" * 200, "e\u0301" * 200, "😀 " * 90, "a" * 200])
def test_a_preview_is_no_wider_than_the_screen(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (30, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        TrainingDisplay(1, 0, quiet=False).sample(1, text)
        line = capsys.readouterr().err.splitlines()[-1]
        assert columns - 5 <= cell_len(line) <= columns - 2


def test_a_preview_breaks_lines_at_newlines_only(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingDisplay(1, 0, quiet=False).sample(1, "one\u2028still\x0cone\ntwo")
    assert capsys.readouterr().err.splitlines()[1:] == ["  | one<U+2028>still␌one", "  | two"]


@given(st.binary(max_size=40), st.lists(st.integers(1, 5), max_size=20))
def test_bytes_are_decoded_alike_in_whatever_chunks_they_come(
    content: bytes, sizes: list[int]
) -> None:
    text = content.decode("latin-1")
    chunks = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    expected = content.decode("utf-8", "backslashreplace")
    assert "".join(decode_utf_8([*chunks, text])) == expected
    assert decoded_text(content.decode("latin-1"), as_bytes=True) == expected


@given(st.binary(max_size=40))
def test_every_byte_counts_in_what_is_shown(content: bytes) -> None:
    text = content.decode("latin-1")
    strengths = [float(number) for number in range(len(text))]
    shown, sums = glyphs(text, strengths, as_bytes=True)
    assert len(shown) == len(sums)
    assert "".join(shown) == content.decode("utf-8", "backslashreplace")
    assert sum(sums) == sum(strengths)
    assert glyphs(text, strengths, as_bytes=False) == (list(text), strengths)


def test_lists_of_characters_show_what_can_be_seen_and_name_the_rest() -> None:
    assert listed("ab\n\x1b é") == "ab␊␛ é"
    assert listed("\u200ba\u0301") == "a, U+200B ZERO WIDTH SPACE, U+0301 COMBINING ACUTE ACCENT"
    assert listed(map(chr, range(0xE000, 0xE100))).endswith(" and 244 more")
    assert side_by_side("語" * 6_000, 10) == "語" * 10 + " and 5,990 more"


@given(st.sets(st.characters(codec=None, exclude_categories=[])))
def test_every_character_is_seen_or_named(characters: set[str]) -> None:
    seen, hidden = split_hidden(sorted(characters))
    assert sorted(seen + hidden) == sorted(characters)
    assert not any(map(is_hidden, side_by_side(seen)))


def test_bytes_are_listed_in_ranges() -> None:
    assert listed_bytes("ab\n\x80\x81\xff") == "␊ab, 0x80–0x81, 0xFF"
    assert listed_bytes("\xe9") == "0xE9"
    assert listed_bytes("".join(map(chr, range(256)))).endswith("~␡, 0x80–0xFF")


def test_a_label_has_one_line_and_hides_nothing() -> None:
    assert label("my\u200brun\n\x1b[2J") == "my<U+200B>run␊␛[2J"


def test_the_first_screen_of_a_run_has_no_blanks_at_line_ends_in_a_log(
    run_cli: Callable[..., Result], corpus: Path, tiny: Sequence[str]
) -> None:
    options = [option for option in tiny if option != "--quiet"]
    result = run_cli("train", corpus, *options, "--watch-gradients")
    assert result.exit_code == 0
    for stream in (result.stderr, result.stdout):
        lines = stream.splitlines()
        assert lines == [line.rstrip(" ") for line in lines]
        assert lines


def test_a_label_in_a_table_is_cut_by_columns() -> None:
    assert short("語" * 20) == "語" * 6
    assert short("yes\u200b") == "yes<U+200B>"
    assert quoted_answers("語" * 40, "a\nb", "c") == f"…{'語' * 17} → c   (right: a␊b)"
