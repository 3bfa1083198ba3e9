"""A chart says the same with and without colour and Unicode, and never more than fits."""

import math
import re
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.style import Style

from charrnn.cli.output.log_chart import heat_map, log_chart
from charrnn.cli.output.text_plots import (
    DecadeAxis,
    bar,
    coloured_text,
    decade_label,
    histogram,
    printable,
    resampled,
    shortened,
    sparkline,
    supports_colour,
)

Rows = dict[str, list[float | None]]

X, Y = "characters back", "gradient relative to lag 0"
HOSTILE = "[b]x[/b] [/] :smile: \x1b[31mred\x07\r\n\u202e\x9b漢字e\u0301\ud800"

NUMBERS = st.none() | st.just(0.0) | st.floats() | st.floats(1e-60, 1e60)
ROWS = st.dictionaries(st.text(max_size=40), st.lists(NUMBERS, max_size=60), max_size=6)
WIDTHS = st.integers(1, 200)
SIDES = st.booleans()


def console(width: int = 80, colour: bool = False) -> Console:
    """Return a console that writes into memory."""
    Style.parse.cache_clear()  # a style keeps the codes of the first console that renders it,
    Style._add.cache_clear()  # and so does a sum of two styles
    system = "truecolor" if colour else None
    return Console(
        file=StringIO(),
        width=width,
        force_terminal=colour,
        color_system=system,  # type: ignore[arg-type]  # its names are not exported as a type
        no_color=not colour,
        highlight=False,
    )


def drawn(renderable: RenderableType, width: int = 80, colour: bool = False) -> str:
    """Return what a console of this width shows, its escape codes included."""
    screen = console(width, colour)
    screen.print(renderable)
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def chart(rows: Rows, width: int = 80, unicode: bool = True, height: int = 12) -> str:
    """Return a log chart's lines."""
    return drawn(log_chart(rows, x_label=X, y_label=Y, height=height, unicode=unicode), width)


def plot(shown: str) -> list[str]:
    """Return the rows of a log chart's plot, without their labels."""
    return [
        match[1]
        for line in shown.split("\n")
        if (match := re.match(r"[ \w.%-]*[┤│|+](?!\+)(.*)", line))
    ]


def pictured(*lines: str) -> str:
    """Return lines as they come out of a console."""
    return "\n".join(lines) + "\n"


def assert_fits(shown: str, width: int, unicode: bool) -> None:
    """Check the width of every line, and that nothing steers a terminal."""
    assert all(cell_len(line) <= width for line in shown.split("\n"))
    steering = {*range(10), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)}
    assert not steering & set(map(ord, shown))
    assert unicode or shown.isascii()


def test_a_chart_in_unicode() -> None:
    shown = chart({"a": [0.1**k for k in range(8)], "b": [1.0] * 8}, 40)
    assert shown == pictured(
        "gradient relative to lag 0",
        "     1 ┤⠤⡤⠤⠤⠤⠤⠤⠤■⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤■⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤",
        "       │ ⠈●⡀",
        "   10% ┤   ⠈⠢⢄",
        "       │      ⠑⢄",
        "    1% ┤┈┈┈┈┈┈┈┈⠑⠤⡀┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "       │          ⠈⠢⡀",
        "  0.1% ┤            ⠈⠢●",
        "       │               ⠑⢄",
        " 0.01% ┤                 ⠑⠤⡀",
        "       │                   ⠈⠢⡀",
        "0.001% ┤                     ⠈⠢⢄↓",
        "       └┬────────┬────────┬────────┬────",
        "        0        2        4        6",
        "            characters back",
        "● a   ■ b",
        "near 1: all of it arrives; under the",
        "dotted 1% line: hardly any; ↓ below",
        "0.001%",
    )


def test_a_chart_in_ascii() -> None:
    shown = chart({"a": [0.1**k for k in range(8)], "b": [1.0] * 8}, 40, unicode=False)
    assert shown == pictured(
        "gradient relative to lag 0",
        "     1 +ABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
        "       |  AA",
        "   10% +    AA",
        "       |      AA",
        "    1% +........AAA.....................",
        "       |           AA",
        "  0.1% +            AAA",
        "       |               AA",
        " 0.01% +                 AAA",
        "       |                   AA",
        "0.001% +                     AAAv",
        "       ++--------+--------+--------+----",
        "        0        2        4        6",
        "            characters back",
        "A a   B b",
        "near 1: all of it arrives; under the",
        "dotted 1% line: hardly any; v below",
        "0.001%",
    )


def test_gaps_curves_that_leave_the_chart_and_curves_that_never_enter_it() -> None:
    rows: Rows = {
        "up": [10.0**k for k in range(20)],
        "gap": [1.0, 0.5, None, None, 0.1, 0.05],
        "none": [None],
        "zero": [0.0, 0.0],
    }
    assert chart(rows, 60) == pictured(
        "gradient relative to lag 0",
        "   1e6 ┤               ⢀⠴⠉↑",
        "   1e5 ┤            ⢀⠤●⠁",
        "   1e4 ┤          ⡠⠜⠁",
        "  1000 ┤       ⡠⠔⠉",
        "   100 ┤    ⢀⠤⠊⠁",
        "    10 ┤  ●⠊⠁",
        "     1 ┤⠴⠭⢄",
        "   10% ┤           ⠤■⣀",
        "    1% ┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "  0.1% ┤",
        " 0.01% ┤",
        "0.001% ┤↓",
        "       └┬────────────┬─────────────┬────────────┬───────────",
        "        0            5            10           15",
        "                      characters back",
        "● up   ■ gap   ▲ none (no values)   ◆ zero (all below)",
        "near 1: all of it arrives; under the dotted 1% line: hardly",
        "any; above 1: it has grown; ↓ below 0.001%; ↑ above 1e6",
    )


def test_a_heat_map() -> None:
    rows: Rows = {
        "layer 1": [1.0, 0.5, 0.1, 0.01, 0.001, 0.0],
        "layer 2": [11.0, None, 0.49, 0.09, 0.009, 1e-60],
    }
    columns = ["0", "1", "2", "5", "10", "20"]
    assert drawn(heat_map(rows, columns, unicode=True, colour=False), 30) == pictured(
        "        0  1  2  5  10 20",
        "layer 1 ██████▓▓▓▒▒▒░░░···",
        "layer 2 ▲▲▲   ▓▓▓▒▒▒░░░···",
        "▲ over 10   █ 50% and more",
        "▓ 10-50%   ▒ 1-10%   ░ 0.1-1%",
        "· less",
    )
    assert drawn(heat_map(rows, columns, unicode=False, colour=False), 30) == pictured(
        "        0  1  2  5  10 20",
        "layer 1 ######***+++---...",
        "layer 2 ^^^   ***+++---...",
        "^ over 10   # 50% and more",
        "* 10-50%   + 1-10%   - 0.1-1%",
        ". less",
    )


def test_a_heat_map_with_more_lags_than_columns_shows_the_means_of_neighbours() -> None:
    rows: Rows = {"one": [0.9**k for k in range(200)]}
    shown = drawn(heat_map(rows, [*map(str, range(200))], unicode=True, colour=False), 40)
    assert shown == pictured(
        "    0   22   50   77   105   138   172",
        "one █▓▓▓▒▒▒▒░░░░························",
        "▲ over 10   █ 50% and more   ▓ 10-50%",
        "▒ 1-10%   ░ 0.1-1%   · less",
    )


def test_a_histogram() -> None:
    values = [1.0, 1.5, 2.0, 3.0, 9.0, math.inf, None]
    assert drawn(histogram(values, 4, 30, True)) == pictured(
        "1 to 3 │████████████████████ 3",
        "3 to 5 │██████▋ 1",
        "5 to 7 │ 0",
        "7 to 9 │██████▋ 1",
        "2 of 7 lie outside or are not",
        "finite",
    )
    assert drawn(histogram(values, [1.0, 2.0, 4.0], 30, False)) == pictured(
        "1 to 2 |#################### 2",
        "2 to 4 |#################### 2",
        "3 of 7 lie outside or are not",
        "finite",
    )


def test_text_without_colour_has_a_mark_under_each_character() -> None:
    text, strengths = "ab 漢é\nz", [0.0, 1.0, 2.0, 9.0, 4.5, math.nan, math.inf]
    shown = drawn(coloured_text(text, strengths, colour=False, unicode=True, width=40))
    assert shown == pictured(
        "ab 漢é␊",
        " ▁▂█ ▅",
        "z",
        "█",
        "marks: ▁ weakest, █ strongest",
    )
    shown = drawn(coloured_text(text, strengths, colour=False, unicode=False, width=40))
    assert shown == pictured(
        "ab \\u6f22\\xe9\\n",
        ".129     5   .",
        "z",
        "9",
        "marks: 1 weakest, 9 strongest",
    )


def test_text_wraps_at_the_width_and_its_marks_with_it() -> None:
    shown = drawn(coloured_text("abcdefg", range(7), colour=False, unicode=False, width=5))
    assert shown.split("\n")[:4] == ["abcde", ".2356", "fg", "89"]


def test_the_strongest_character_has_the_strongest_background() -> None:
    text = coloured_text("abc", [0.0, 1.0, 2.0], colour=True, unicode=True, width=40)
    shown = drawn(text, colour=True).split("\n")[0]
    *_, strongest = re.findall(r"48;2;(\d+);(\d+);(\d+)m", shown)
    assert strongest == ("219", "84", "12")
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == "abc"


def test_strengths_must_be_as_many_as_characters() -> None:
    with pytest.raises(ValueError, match="2 characters, but 1 strengths"):
        coloured_text("ab", [1.0], colour=False, unicode=True, width=40)


@pytest.mark.parametrize("unicode", [True, False])
def test_colour_only_repeats_what_the_glyphs_say(unicode: bool) -> None:
    rows: Rows = {"a": [1.0, 0.1], "b": [1.0, 0.5]}
    for coloured, plain in (
        [log_chart(rows, x_label=X, y_label=Y, unicode=unicode)] * 2,
        [heat_map(rows, ["0", "1"], unicode=unicode, colour=colour) for colour in (True, False)],
    ):
        shown = drawn(coloured, colour=True)
        assert "\x1b[3" in shown or "\x1b[9" in shown
        assert re.sub(r"\x1b\[[\d;]*m", "", shown) == drawn(plain)


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert supports_colour(console(colour=True))
    assert not supports_colour(console())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not supports_colour(Console(force_terminal=True, color_system="truecolor"))


@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99, 1.0, 1.1])
def test_a_monotone_curve_is_drawn_monotone(rate: float) -> None:
    rows = plot(chart({"a": [rate**k for k in range(101)]}, unicode=False, height=20))
    assert 10 < len(rows) <= 20  # those that would show nothing are left out
    columns = [
        [row for row, line in enumerate(rows) if line[column : column + 1] == "A"]
        for column in range(72)
    ]
    drawn_columns = [found for found in columns if found]
    assert len(drawn_columns) >= 3
    for left, right in pairwise(drawn_columns):
        assert (left[-1] <= right[0]) if rate <= 1 else (left[0] >= right[-1])


def test_curves_on_the_same_place_take_turns() -> None:
    top, *_ = plot(chart({"a": [1.0] * 9, "b": [1.0] * 9}, unicode=False))
    assert set(top) == {"A", "B"}
    top, *_ = plot(chart({"a": [1.0] * 9, "b": [1.0] * 9}))
    assert {"●", "■"} <= set(top)


@pytest.mark.parametrize("curves", range(1, 12))
def test_every_curve_has_a_mark_of_its_own(curves: int) -> None:
    rates = [0.5 ** (index + 1) for index in range(curves)]
    shown = chart({f"curve {rate}": [rate**k for k in range(50)] for rate in rates}, height=24)
    for mark in "●■▲◆○□△◇ABC"[:curves]:
        assert any(mark in row for row in plot(shown)), mark


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_axis_fills_the_width_exactly(width: int, unicode: bool) -> None:
    lines = chart({"a": [0.9**k for k in range(101)]}, width, unicode).split("\n")
    assert max(map(cell_len, lines)) == width
    renderable = log_chart({"a": [1.0]}, x_label=X, y_label=Y, width=50, unicode=unicode)
    assert max(map(cell_len, drawn(renderable, 200).split("\n"))) == 50


def test_a_chart_of_infinite_values_only_is_drawn() -> None:
    assert_fits(chart({"x": [math.inf, math.inf]}), 80, True)


@given(ROWS, WIDTHS, SIDES, st.integers(0, 40))
@example({HOSTILE: [1.0, 0.1]}, 40, True, 12)
@example({HOSTILE: [1.0, 0.1]}, 40, False, 12)
@example({"a": [5e-324, 1.7e308, 0.0, math.inf]}, 80, True, 12)
@example({"\u2764\ufe0f" * 20: [1.0]}, 20, True, 12)
def test_charts_and_heat_maps_fit_whatever_they_show(
    rows: Rows, width: int, unicode: bool, height: int
) -> None:
    assert_fits(chart(rows, width, unicode, height), width, unicode)
    columns = list(rows) * 3
    shown = drawn(heat_map(rows, columns, unicode=unicode, colour=False), width)
    assert_fits(shown, width, unicode)


@given(st.lists(NUMBERS, max_size=60), st.integers(-1, 20), WIDTHS, SIDES)
@example([1.7e308, -1.7e308, 0.0], 3, 80, True)
@example([5e-324, 0.0], 3, 80, True)
def test_bars_and_lines_fit_whatever_they_show(
    values: list[float | None], bins: int, width: int, unicode: bool
) -> None:
    assert_fits(drawn(histogram(values, bins, width, unicode)), width, unicode)
    for log in (True, False):
        line = sparkline(values, log=log, unicode=unicode, width=width)
        assert len(line) == min(len(values), width)
        assert_fits(line, width, unicode)
    for value in values:
        for largest in (0.0, 1.0, math.inf, value or 0.0):
            assert_fits(bar(value, largest, width, unicode), width, unicode)


@given(st.lists(st.tuples(st.characters(), st.floats()), max_size=60), WIDTHS, SIDES, SIDES)
@example([(character, 1.0) for character in HOSTILE], 12, True, False)
@example([(character, 1.0) for character in "\u2764\ufe0f" * 9], 5, True, False)
def test_coloured_text_fits_whatever_it_shows(
    pairs: list[tuple[str, float]], width: int, unicode: bool, colour: bool
) -> None:
    text = "".join(character for character, _ in pairs)
    strengths = [strength for _, strength in pairs]
    shown = coloured_text(text, strengths, colour=colour, unicode=unicode, width=width)
    assert_fits(drawn(shown, 200), width, unicode)


def test_names_are_shown_not_obeyed() -> None:
    shown = chart({HOSTILE: [1.0]})
    assert (
        "[b]x[/b] [/] :smile: ␛[31mred␇␍␊<U+202E><9B>漢字e\u0301\N{REPLACEMENT CHARACTER}" in shown
    )
    assert printable(HOSTILE, False) == (
        r"[b]x[/b] [/] :smile: \x1b[31mred\x07\r\n\u202e\x9b\u6f22\u5b57e\u0301\ud800"
    )


@pytest.mark.parametrize("rows", [{}, {"a": []}, {"a": [None, math.nan, -1.0]}])
def test_nothing_to_draw_is_said(rows: Rows) -> None:
    assert "nothing to draw" in chart(rows)
    assert "nothing to draw" in drawn(heat_map(rows, [], unicode=True, colour=False))
    assert "nothing to draw" in drawn(histogram([], 3, 40, True))


def test_the_axis_shows_1_and_1_percent_and_gives_every_power_of_ten_a_row() -> None:
    assert [DecadeAxis.around([0.0], 12).label(row) for row in (0, 5, 10)] == ["1", "10%", "1%"]
    assert [DecadeAxis.around([-60.0], 12).label(row) for row in (0, 2, 10)] == [
        "1",
        "10%",
        "0.001%",
    ]
    assert [DecadeAxis.around([60.0], 12).label(row) for row in (0, 6, 8)] == ["1e6", "1", "1%"]
    assert [DecadeAxis.around([60.0, -60.0], 4).label(row) for row in (0, 1, 2)] == [
        "1e6",
        "100",
        "1%",
    ]
    assert DecadeAxis.around([math.inf, -math.inf], 12).top == 6


def test_powers_are_shares_below_1() -> None:
    exponents = (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 60)
    labels = "1e-6 0.001% 0.01% 0.1% 1% 10% 1 10 100 1000 1e4 1e60"
    assert " ".join(map(decade_label, exponents)) == labels


def test_sparklines() -> None:
    assert sparkline([1, 2, 3, None, 8], unicode=True) == "▁▂▃ █"
    assert sparkline([1, 2, 3, None, 8], unicode=False) == "012 9"
    assert sparkline([10.0**-k for k in range(8)], log=True, unicode=True) == "█▇▅▄▂▁▁▁"
    assert sparkline([1.0, 0.0, 1.0], log=True, unicode=False) == "909"
    assert sparkline([0.1, 0.01], log=True, unicode=False, low=1e-3, high=1.0) == "63"
    assert sparkline([3.0, 3.0], unicode=False) == "55"
    assert sparkline([3.0, math.inf, math.nan], unicode=False) == "59 "
    assert sparkline(range(100), unicode=False, width=10) == "0123456789"
    assert sparkline([], unicode=True) == ""
    assert sparkline([None], log=True, unicode=True) == " "


def test_bars() -> None:
    assert [bar(value, 8, 2, True) for value in (0, 0.01, 1, 4, 6, 8, 9)] == [
        *("", "▏", "▎", "█", "█▌", "██", "██")
    ]
    assert [bar(value, 8, 4, False) for value in (0, 0.01, 2, 8, None)] == [
        "",
        "|",
        "#",
        "####",
        "",
    ]
    assert [bar(value, math.inf, 2, False) for value in (1.0, math.inf)] == ["|", "##"]
    assert bar(1.0, math.nan, 2, True) == ""


def test_means_of_neighbours() -> None:
    assert resampled([1.0, 3.0, None, 5.0, None, None], 3) == [2.0, 5.0, None]
    assert resampled([-math.inf, 2.0, -math.inf, -math.inf], 2) == [2.0, -math.inf]
    assert resampled([1.0, None], 5) == [1.0, None]


def test_long_names_keep_both_ends() -> None:
    assert shortened("checkpoints/run/best.npz", 12, unicode=True) == "checkp…t.npz"
    assert shortened("checkpoints/run/best.npz", 12, unicode=False) == "check..t.npz"
    assert shortened("漢字漢字漢字", 8, unicode=True) == "漢字 …字"
    assert shortened("short", 5, unicode=True) == "short"
