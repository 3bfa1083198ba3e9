"""Units on the screen and on a page: text coloured by a unit, tables of features and of spans."""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from charrnn.analysis.unit_features import (
    MIN_CORRELATION,
    SHIFTS,
    UNTRAINED,
    UNTRAINED_DEVIATIONS,
    FollowedFeature,
)
from charrnn.analysis.unit_spans import SpanActivity
from charrnn.cli.output.console import answer
from charrnn.cli.output.marked_text import NEWLINE, Glyph, has_colour, picture, show_marked
from charrnn.cli.output.output_files import MAX_HTML_CHARACTERS, PAGE_END, page_head
from charrnn.cli.output.safe_text import decode_utf_8, write_plain
from charrnn.types import Array

LEVELS = (
    ("white on blue", "=", "a", "lowest"),
    ("black on cyan", "-", "b", "low"),
    ("", " ", "", ""),
    ("black on yellow", "+", "c", "high"),
    ("white on red", "#", "d", "highest"),
)
"""Fifths of the range of a unit, from the lowest: style, mark, CSS class and name."""

RANGE_PERCENT = (1, 99)
"""Percentiles between which the fifths lie; what is beyond belongs to the outer ones."""

EXCERPT_CHARS, UNIT_CHARS, PAGE_EXCERPT_CHARS = 230, 2000, 3000
"""Characters that are shown for a feature, for --unit, and on a page for a feature."""

LINE_START_CHARS = 80
"""An excerpt begins at a line if one begins so few characters before."""

CONTEXT_CHARS = 12
"""Characters that are shown on either side of a place."""

COLUMNS = ("feature", "layer", "unit", "r", "shifted", "untrained")
"""Columns of the table of features."""

CONTROLS = (
    f"r: Pearson's correlation. shifted: the largest |r| of all units in {SHIFTS} circular shifts "
    f"of the text. untrained: what networks of this shape reach before training (mean of the "
    f"largest |r| of {UNTRAINED} networks, and {UNTRAINED_DEVIATIONS:g} deviations). In brackets: "
    f"|r| is below {MIN_CORRELATION}, or not above both."
)

STYLES = """:root { --a: #9dbdf2; --b: #d3e6fb; --c: #ffe3a3; --d: #ffab8f; }
@media (prefers-color-scheme: dark) {
  :root { --a: #2450a8; --b: #1d3557; --c: #594306; --d: #98341c; } }
.a { background: var(--a); } .b { background: var(--b); }
.c { background: var(--c); } .d { background: var(--d); }
table { border-collapse: collapse; } th, td { padding: 0.1rem 0.8rem 0.1rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
.dim { color: var(--dim); }
"""


@dataclass(frozen=True)
class ShownUnit:
    """A unit and its states over the text.

    Attributes:
        layer: number of the layer, from 0 at the input.
        unit: number of the unit in its layer, from 0.
        state: name of the state.
        values: its states (N,).
    """

    layer: int
    unit: int
    state: str
    values: Array

    @property
    def limits(self) -> tuple[float, float]:
        """The values between which the fifths lie."""
        low, high = np.percentile(self.values.astype(np.float64), RANGE_PERCENT)
        return float(low), float(high)

    @property
    def title(self) -> str:
        """What is shown, with the range of its values."""
        low, high = self.limits
        return f"unit {self.unit} of layer {self.layer}, {self.state} from {low:.2f} to {high:.2f}"

    def levels(self, begin: int, end: int) -> list[int]:
        """Return the fifth, from 0 to 4, of each state from `begin` to before `end`."""
        low, high = self.limits
        if not high > low:
            return [2] * (end - begin)
        shares = (self.values[begin:end].astype(np.float64) - low) / (high - low)
        levels: list[int] = np.clip(np.floor(5 * shares), 0, 4).astype(int).tolist()
        return levels


def excerpt(values: Array, text: str, length: int) -> tuple[int, int]:
    """Return where the values vary most over `length` characters, from a line's beginning."""
    N = len(values)
    if length >= N:
        return 0, N
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    sums = np.concatenate(([0.0], np.cumsum(centred)))
    squares = np.concatenate(([0.0], np.cumsum(centred**2)))
    means = (sums[length:] - sums[:-length]) / length
    begin = int(np.argmax((squares[length:] - squares[:-length]) / length - means**2))
    line = text.rfind("\n", max(0, begin - LINE_START_CHARS), begin)
    begin = line + 1 if line >= 0 else begin
    return begin, begin + length


def characters(text: str, begin: int, end: int, *, as_bytes: bool) -> Iterator[tuple[str, int]]:
    """Yield pictures from `begin` to before `end`, each with the position of its last symbol.

    Bytes that are UTF-8 together are one character.
    """
    if not as_bytes:
        for position in range(begin, end):
            yield picture(text[position], as_bytes=False, blank=" "), position
        return
    at = begin - 1

    def arrived() -> Iterator[str]:
        nonlocal at
        for at in range(begin, end):
            yield text[at]

    for character in decode_utf_8(arrived()):
        yield picture(character, as_bytes=False, blank=" "), at


def unit_glyphs(
    shown: ShownUnit, text: str, begin: int, end: int, *, as_bytes: bool
) -> Iterator[Glyph]:
    """Yield the characters of a part of the text, coloured by a unit."""
    levels = shown.levels(begin, end)
    for character, position in characters(text, begin, end, as_bytes=as_bytes):
        style, mark, *_ = LEVELS[levels[position - begin]]
        yield Glyph(character, style, mark)


def show_unit(shown: ShownUnit, text: str, part: tuple[int, int], *, as_bytes: bool) -> None:
    """Print a part of the text, coloured by a unit."""
    show_marked(unit_glyphs(shown, text, *part, as_bytes=as_bytes))
    write_plain("\n")


def legend() -> str:
    """Return what colours or marks mean."""
    names = [style.split()[-1] for style, *_ in LEVELS if style]
    marks = names if has_colour() else [mark for style, mark, *_ in LEVELS if style]
    return f"{', '.join(marks)}: lowest, low, high, highest fifth of the unit's range"


def features_table(found: Sequence[FollowedFeature]) -> Table:
    """Return a row for each feature: its best unit, r, and the controls."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(COLUMNS[0], no_wrap=True)
    for name in COLUMNS[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for feature in found:
        table.add_row(*feature_cells(feature), style="" if feature.followed else "dim")
    return table


def feature_cells(feature: FollowedFeature) -> tuple[str, ...]:
    """Return the cells of a row of the table; brackets around a feature without a claim."""
    name = feature.name if feature.followed else f"({feature.name})"
    best, bound = feature.best, feature.untrained
    return (
        name,
        str(best.layer),
        str(best.unit),
        f"{best.correlation:+.2f}",
        f"{feature.shifted:.2f}",
        "-" if bound is None else f"{bound:.2f}",
    )


def show_span(found: SpanActivity, text: str, *, as_bytes: bool) -> None:
    """Print the units that are active over a span, and other places where they are."""
    answer(Text(f"span {found.begin}:{found.end}"))
    answer(place_text(text, found.begin, found.end, as_bytes=as_bytes))
    answer("")
    if not found.units:
        answer(Text("no unit is active at every character of it; a shorter span may have some"))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("layer", "unit", "in the span", "around it"):
        table.add_column(name, justify="right", no_wrap=True)
    for unit in found.units:
        cells = (str(unit.layer), str(unit.unit), f"{unit.inside:+.2f}", f"{unit.around:+.2f}")
        table.add_row(*cells)
    answer(table)
    answer(Text("mean of their states, in standard deviations from their mean over the text\n"))
    answer(Text(f"other places where they are active (of the whole text {found.mean_share:.0%}):"))
    places = Table.grid(padding=(0, 2))
    for justify in ("right", "right", "left"):
        places.add_column(justify=justify, no_wrap=True)
    for place in found.places:
        shown = place_text(text, place.begin, place.end, as_bytes=as_bytes)
        places.add_row(f"{place.begin}:{place.end}", f"{place.share:.0%}", shown)
    answer(places)


def place_text(text: str, begin: int, end: int, *, as_bytes: bool) -> Text:
    """Return a place in its line, between » and «, with some of what stands beside it."""
    line = Text()
    parts = ((max(0, begin - CONTEXT_CHARS), begin), (begin, end), (end, end + CONTEXT_CHARS))
    for number, (first, last) in enumerate(parts):
        shown = characters(text, first, min(last, len(text)), as_bytes=as_bytes)
        joined = "".join(character for character, _ in shown)
        line.append(f"»{joined}«" if number == 1 else joined, "bold" if number == 1 else "dim")
    return line


def page_parts(
    page_title: str,
    facts: str,
    found: Sequence[FollowedFeature],
    sections: Iterable[tuple[str, ShownUnit, tuple[int, int]]],
    text: str,
    *,
    as_bytes: bool,
) -> Iterator[str]:
    """Yield a self-contained page without scripts.

    Args:
        page_title: title of the page.
        facts: a line of figures.
        found: rows of the table of features; none for no table.
        sections: for each text its heading, its unit, and where it begins and ends.
        text: the text that was read.
        as_bytes: whether its characters are bytes.
    """
    yield f"{page_head(page_title, STYLES)}<p>{html.escape(facts)}</p>\n"
    if found:
        names = "".join(f"<th>{name}</th>" for name in COLUMNS)
        yield f'<div class="wide"><table>\n<tr>{names}</tr>\n'
        for feature in found:
            css = "" if feature.followed else ' class="dim"'
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in feature_cells(feature))
            yield f"<tr{css}>{cells}</tr>\n"
        yield f"</table></div>\n<p>{html.escape(CONTROLS)}</p>\n"
    named = [f'<span class="{css}">{name}</span>' for *_, css, name in LEVELS if css]
    yield f"<p>{' '.join(named)} fifth of a unit's range. The pointer over a character shows its "
    yield "position and the state after it.</p>\n"
    for heading, shown, (begin, end) in sections:
        title = f"<h2>{html.escape(heading)}</h2>\n" if heading else ""
        yield f"{title}<p>{html.escape(shown.title)}</p>\n<pre>\n"
        end = min(end, begin + MAX_HTML_CHARACTERS)
        levels = shown.levels(begin, end)
        for character, position in characters(text, begin, end, as_bytes=as_bytes):
            css = LEVELS[levels[position - begin]][2]
            yield page_character(character, css, position, float(shown.values[position]))
        yield "</pre>\n"
        if end < len(text):
            yield f'<p class="dim">Characters {begin:,} to {end:,} of {len(text):,}.</p>\n'
    yield PAGE_END


def page_character(character: str, css: str, position: int, value: float) -> str:
    """Return the element of one character; a newline is shown as ↵, which more fonts have."""
    newline = character == NEWLINE
    name = f' class="{css}"' if css else ""
    shown = html.escape(character).replace(NEWLINE, "↵")
    return f'<span{name} title="{position}: {value:.3f}">{shown}</span>' + "\n" * newline
