"""Pictures made of characters: curves, heat maps and bars that need neither colour nor Unicode.

They know numbers and names, not networks. Every curve, shade and strength has a glyph of its own;
colour only repeats what the glyphs say. `unicode=False` draws with ASCII alone. A value that is
`None`, negative where a logarithm is wanted, or not a number leaves a gap.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from textwrap import wrap
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from charrnn.cli.terminal import one_line

Values: TypeAlias = Sequence[float | None]
Cell: TypeAlias = tuple[int, int]
"""Row and column of a character."""

LOWEST, HIGHEST = -5, 6  # powers of ten; a chart need not show what lies beyond
SAME = 0.1  # in powers of ten: what exceeds 1 by less fits into the line of 1

MARKS = "●■▲◆○□△◇"  # then letters, as in ASCII
COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of a cell's 4 × 2 dots
BLOCKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"

SHADES = (  # from this power of ten on: glyph, in ASCII, style, meaning
    (1.0, "▲", "^", "bright_red", "over 10"),
    (math.log10(0.5), "█", "#", "bright_yellow", "50% and more"),
    (-1.0, "▓", "*", "green", "10-50%"),
    (-2.0, "▒", "+", "cyan", "1-10%"),
    (-3.0, "░", "-", "blue", "0.1-1%"),
    (-math.inf, "·", ".", "dim", "less"),
)
PAPER = tuple(  # from white to orange: black text stays readable, whatever the terminal's theme
    f"black on rgb({255 - 4 * level},{255 - 19 * level},{255 - 27 * level})" for level in range(10)
)


@dataclass(frozen=True)
class Drawing:
    """Lines that are drawn when the console's width is known; no wider than `width`, if given."""

    draw: Callable[[int], Iterable[Text]]
    width: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield each line, cut where even the narrowest drawing is too wide."""
        width = max(1, min(self.width or options.max_width, options.max_width))
        for line in self.draw(width):
            line.truncate(width, overflow="crop")
            line.no_wrap = True
            yield line


def colour_ok(console: Console) -> bool:
    """Say whether a console shows colours: a terminal that can, and no NO_COLOR."""
    return console.color_system is not None and not console.no_color


def printable(text: str, unicode: bool) -> str:
    """Return `text` on one line, unable to steer a terminal; or as ASCII, with escapes."""
    if unicode:
        return one_line(text)
    plain = (c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)
    return "".join(plain)


def shortened(text: str, cells: int, unicode: bool) -> str:
    """Return both ends of a text that is too long for so many cells."""
    if cell_len(text) <= cells:
        return text
    dots = "…" if unicode else ".."
    kept = cells - len(dots)
    if kept < 4:
        return text[:cells]
    tail = text[-(kept // 2) :]
    while cell_len(tail) > kept // 2:
        tail = tail[1:]
    return set_cell_size(text, kept - cell_len(tail)) + dots + tail


def logarithm(value: float | None) -> float | None:
    """Return log10, −∞ for 0, and None where there is no number to draw."""
    if value is None or math.isnan(value) or value < 0:
        return None
    return math.log10(value) if value else -math.inf


def power(exponent: int) -> str:
    """Name a power of ten as a share, down to 0.001%: 100, 10, 1, 10%, 1%."""
    if -5 <= exponent < 0:
        return f"{100 * 10.0**exponent:.{max(0, -2 - exponent)}f}%"
    return str(10**exponent) if 0 <= exponent <= 3 else f"1e{exponent}"


@dataclass(frozen=True)
class Decades:
    """A logarithmic axis on which every power of ten that has a label has a row to itself."""

    top: int
    rows: int
    rows_per_decade: float  # n, or 1/n, for a whole n

    @classmethod
    def around(cls, logs: Sequence[float], rows: int) -> "Decades":
        """Return the axis from 1 or more down to 1% or less that shows these values best."""
        top = 0 if max(logs) <= SAME else math.ceil(min(max(logs), HIGHEST))
        bottom = min(-2, math.floor(max(min(logs), LOWEST)))
        gaps, decades = rows - 1, top - bottom
        scale = gaps // decades if gaps >= decades else 1 / math.ceil(decades / gaps)
        return cls(top, rows, scale)

    @property
    def bottom(self) -> float:
        """The power of ten at the lowest row."""
        return self.top - (self.rows - 1) / self.rows_per_decade

    def row(self, log: float) -> float:
        """Return where a value lies, from 0 at the top; beyond the rows if it is off the axis."""
        return (self.top - log) * self.rows_per_decade

    def label(self, row: int) -> str:
        """Return the label of a row, or nothing."""
        exponent = self.top - row / self.rows_per_decade
        return power(round(exponent)) if exponent == round(exponent) else ""


def log_chart(
    series: Mapping[str, Values],
    *,
    x_label: str,
    y_label: str,
    width: int | None = None,
    height: int = 12,
    unicode: bool,
) -> RenderableType:
    """Draw ratios at lag 0, 1, 2, … on a logarithmic axis, with a dotted line at 1%.

    Curves are told apart by their marks (in ASCII, letters). `height` counts the rows of the plot.
    """
    labels = printable(x_label, unicode), printable(y_label, unicode)
    curves = {name: [logarithm(value) for value in values] for name, values in series.items()}
    return Drawing(lambda w: _chart(curves, labels, w, max(height, 3), unicode), width)


def _chart(
    curves: Mapping[str, Values],
    labels: tuple[str, str],
    width: int,
    height: int,
    unicode: bool,
) -> Iterator[Text]:
    logs = [log for curve in curves.values() for log in curve if log is not None]
    yield from (Text(text, "bold") for text in wrap(labels[1], width))
    if not logs:
        yield Text("nothing to draw: no values")
        return
    axis = Decades.around(logs, height)
    last = max(len(curve) for curve in curves.values()) - 1
    margin = max(len(axis.label(row)) for row in range(height))
    columns = max(1, width - margin - 2)

    glyphs, unseen = _plot(list(curves.values()), axis, last, columns, unicode)
    guide = math.floor(axis.row(-2) + 0.5)
    for row in range(height):
        label = axis.label(row)
        line = Text(f"{label:>{margin}} " + ("|+│┤"[2 * unicode + bool(label)]), "dim")
        for column in range(columns):
            empty = (("┈" if unicode else ".") if row == guide else " ", "dim")
            line.append(*glyphs.get((row, column), empty))
        line.rstrip()
        yield line
    yield from _lag_axis(last, columns, margin + 1, unicode)
    yield Text(shortened(labels[0], width, unicode).center(width).rstrip(), "dim")

    under, over = ("↓", "↑") if unicode else ("v", "^")
    limit = f"{100 * 10**axis.bottom:.1g}%" if axis.bottom > -6 else f"1e{axis.bottom:.0f}"
    legend = []
    for index, (name, curve) in enumerate(curves.items()):
        note = ""
        if index in unseen:
            note = (
                " (no values)" if all(log is None for log in curve) else f" (all {unseen[index]})"
            )
        known = shortened(printable(name, unicode), max(1, width - 2 - len(note)), unicode)
        legend.append(Text.assemble((_mark(index, unicode), _colour(index)), " " + known + note))
    yield from _filled(legend, width)

    drawn = {glyph for glyph, _ in glyphs.values()}
    hints = ["near 1: all of it arrives", "under the dotted 1% line: hardly any"]
    hints += ["above 1: it has grown"] if axis.top else []
    hints += [f"{under} below {limit}"] if under in drawn else []
    hints += [f"{over} above {power(axis.top)}"] if over in drawn else []
    for text in wrap("; ".join(hints), width):
        yield Text(text, "dim")


def _mark(index: int, unicode: bool) -> str:
    marks = MARKS + ascii_uppercase if unicode else ascii_uppercase
    return marks[index % len(marks)]


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _trace(
    curve: Values, axis: Decades, last: int, across: int, down: int
) -> Iterator[tuple[int, int]]:
    """Yield the dots x, y of a curve, neighbours joined; y lies outside where the curve does."""
    before = None
    for lag, log in enumerate(curve):
        if log is None:
            before = None
            continue
        y = (axis.row(log) + 0.5) * down / axis.rows - 0.5
        here = lag * (across - 1) / max(last, 1), min(max(y, -down), 2.0 * down)
        x0, y0 = before or here
        dx, dy = here[0] - x0, here[1] - y0
        steps = math.ceil(max(abs(dx), abs(dy), 1))
        for step in range(steps + 1):
            part = step / steps
            yield math.floor(x0 + part * dx + 0.5), math.floor(y0 + part * dy + 0.5)
        before = here


def _plot(
    curves: Sequence[Values], axis: Decades, last: int, columns: int, unicode: bool
) -> tuple[dict[Cell, tuple[str, str]], dict[int, str]]:
    """Return glyph and style by cell; and why a curve has no cell at all, by its number."""
    wide, high = (2, 4) if unicode else (1, 1)  # dots in a cell
    dots: dict[Cell, int] = {}
    owners: dict[Cell, list[int]] = {}
    edges: dict[Cell, tuple[str, str]] = {}
    unseen: dict[int, str] = {}
    for index, curve in enumerate(curves):
        gone: set[str] = set()
        for x, y in _trace(curve, axis, last, columns * wide, axis.rows * high):
            if 0 <= y < axis.rows * high:
                cell = y // high, x // wide
                dots[cell] = dots.get(cell, 0) | BRAILLE[y % high][x % wide]
                if index not in owners.setdefault(cell, []):
                    owners[cell].append(index)
                continue
            arrow = ("↓" if unicode else "v") if y > 0 else ("↑" if unicode else "^")
            if arrow not in gone:  # where it leaves the chart for the first time
                edges[axis.rows - 1 if y > 0 else 0, x // wide] = arrow, _colour(index)
                gone.add(arrow)
        if not any(index in shared for shared in owners.values()):
            unseen[index] = " and ".join("below" if arrow in "↓v" else "above" for arrow in gone)

    glyphs = {}
    for cell, shared in owners.items():
        index = shared[cell[1] % len(shared)]  # curves on the same cells take turns
        style = _colour(index) if len(shared) == 1 or not unicode else ""
        glyphs[cell] = chr(0x2800 + dots[cell]) if unicode else _mark(index, unicode), style
    glyphs |= edges
    if unicode:
        glyphs |= _marks(owners, len(curves), columns)
    return glyphs, unseen


def _marks(
    owners: Mapping[Cell, Sequence[int]], curves: int, columns: int
) -> dict[Cell, tuple[str, str]]:
    """Put each curve's mark on it now and then, in columns of its own; at least once."""
    period = max(12, 2 * curves)
    cells = [
        sorted(cell for cell, its in owners.items() if index in its) for index in range(curves)
    ]
    marks: dict[Cell, int] = {}
    for index, mine in enumerate(cells):
        for column in range(2 + index * period // curves, columns, period):
            there = [cell for cell in mine if cell[1] == column]
            marks |= dict.fromkeys(there[len(there) // 2 :][:1], index)
    for index, mine in enumerate(cells):
        if mine and index not in marks.values():  # it is too short to reach one of its columns
            free = [cell for cell in mine if cell not in marks] or mine
            best = [cell for cell in free if len(owners[cell]) == 1] or free
            marks[best[len(best) // 2]] = index
    return {cell: (_mark(index, True), _colour(index)) for cell, index in marks.items()}


def _lag_axis(last: int, columns: int, margin: int, unicode: bool) -> Iterator[Text]:
    """Yield the axis and, under it, the lags at its ticks."""
    room = max(1, columns // (len(str(last)) + 5))  # ticks that fit beside each other
    steps = (m * 10**e for e in range(len(str(last)) + 1) for m in (1, 2, 5))
    step = next(step for step in steps if step * room >= last)
    corner, plain, tick = "└─┬" if unicode else "+-+"
    axis, labels = [plain] * columns, [" "] * (margin + 1 + columns)
    end = 0
    for lag in range(0, last + 1, step):
        column = math.floor(lag * (columns - 1) / max(last, 1) + 0.5)
        axis[column] = tick
        start = margin + 1 + column - len(str(lag)) // 2
        start = max(0, min(start, len(labels) - len(str(lag))))
        if start >= end:
            end = start + len(str(lag))
            labels[start:end] = str(lag)
            end += 1
    yield Text(" " * margin + corner + "".join(axis), "dim")
    yield Text("".join(labels).rstrip(), "dim")


def _filled(entries: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield entries beside each other, as many on a line as fit."""
    line = Text()
    for entry in entries:
        if line and line.cell_len + 3 + entry.cell_len > width:
            yield line
            line = Text()
        line = line + Text("   ") + entry if line else entry
    yield line


def heat_map(
    rows: Mapping[str, Values], columns: Sequence[str], *, unicode: bool, colour: bool
) -> RenderableType:
    """Draw ratios as shades, a line for each row; neighbours share a cell where room is short."""
    logs = [
        (printable(name, unicode), [logarithm(value) for value in values])
        for name, values in rows.items()
    ]
    titles = [printable(column, unicode) for column in columns]
    return Drawing(lambda width: _heat(logs, titles, width, unicode, colour))


def _heat(
    rows: Sequence[tuple[str, Values]],
    titles: Sequence[str],
    width: int,
    unicode: bool,
    colour: bool,
) -> Iterator[Text]:
    if not rows or not titles:
        yield Text("nothing to draw: no values")
        return
    names = min(max(cell_len(name) for name, _ in rows), max(1, width // 3))
    room = max(1, width - names - 1)
    count = min(len(titles), room)
    wide = max(1, min(room // count, 8))

    header, end = Text(" " * (names + 1), "dim"), 0
    for index in range(count):
        title = titles[index * len(titles) // count]
        start = index * wide
        if start >= end and start + cell_len(title) <= room:
            header.append(" " * (names + 1 + start - header.cell_len) + title)
            end = start + cell_len(title) + (1 if wide > 1 else 3)
    yield header
    for name, logs in rows:
        line = Text(set_cell_size(shortened(name, names, unicode), names) + " ")
        padded = [*logs, *[None] * len(titles)][: len(titles)]
        for log in resampled(padded, count):
            glyph, style = _shade(log, unicode)
            line.append(glyph * wide, style if colour else "")
        line.rstrip()
        yield line
    legend = (
        Text.assemble((glyph if unicode else plain, style if colour else ""), " " + meaning)
        for _, glyph, plain, style, meaning in SHADES
    )
    yield from _filled(legend, width)


def _shade(log: float | None, unicode: bool) -> tuple[str, str]:
    if log is None:
        return " ", ""
    glyph, plain, style = next(shade[1:4] for shade in SHADES if log >= shade[0])
    return glyph if unicode else plain, style


def resampled(values: Values, count: int) -> list[float | None]:
    """Return at most `count` values, each the mean of neighbours that are finite, if any is."""
    if len(values) <= count:
        return list(values)
    means: list[float | None] = []
    for index in range(count):
        part = values[index * len(values) // count : (index + 1) * len(values) // count]
        known = [value for value in part if value is not None]
        finite = [value for value in known if math.isfinite(value)]
        if finite:
            means.append(math.fsum(value / len(finite) for value in finite))
        else:
            means.append(known[0] if known else None)
    return means


def sparkline(
    values: Values,
    *,
    log: bool = False,
    unicode: bool,
    width: int | None = None,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Return a curve on one line; `low` and `high` (default: the extremes) let several compare.

    With `log`, the axis is logarithmic and what lies below 1e-5 of the highest counts as that.
    """
    shown = [None if value is None or math.isnan(value) else value for value in values]
    if log:
        shown = [logarithm(value) for value in shown]
        low, high = (logarithm(limit) if limit else None for limit in (low, high))
    finite = [value for value in shown if value is not None and math.isfinite(value)]
    top = high if high is not None else max(finite, default=0.0)
    lowest = min(finite, default=0.0)
    if log:
        lowest = max(lowest, top + LOWEST) if -math.inf not in shown else top + LOWEST
    bottom = low if low is not None else lowest
    ramp = BLOCKS if unicode else "0123456789"
    line = ""
    for value in resampled(shown, width or len(shown)):
        if value is None:
            line += " "
        elif top > bottom:
            clipped = min(max(value, bottom), top)
            half = 0.5 if math.isinf(top - bottom) else 1.0
            part = (clipped * half - bottom * half) / (top * half - bottom * half)
            line += ramp[min(int(part * len(ramp)), len(ramp) - 1)]
        else:
            line += ramp[-1 if value > top else 0 if value < top else len(ramp) // 2]
    return line


def bar(value: float | None, largest: float, width: int, unicode: bool) -> str:
    """Return a bar that fills `width` at `largest`; what is more than nothing is seen."""
    if value is None or not value > 0 or not largest > 0:
        return ""
    part = min(value / largest, 1.0) if math.isfinite(largest) else float(value == largest)
    if not unicode:
        return "#" * math.floor(part * width + 0.5) or "|"[:width]
    eighths = max(1, math.floor(part * width * 8 + 0.5))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip())[:width]


def histogram(
    values: Values, bins: int | Sequence[float], width: int, unicode: bool
) -> RenderableType:
    """Draw how many values lie in each of so many equal bins, or between given rising edges."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if isinstance(bins, int):
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        number = max(1, bins) if high > low else 1
        bins = [low * (1 - i / number) + high * (i / number) for i in range(number + 1)]
    edges = list(bins)
    counts = [0] * (len(edges) - 1)
    for value in finite:
        if edges[0] <= value <= edges[-1]:
            counts[min(bisect_right(edges, value), len(counts)) - 1] += 1
    return Drawing(lambda w: _histogram(edges, counts, len(values), w, unicode), width)


def _histogram(
    edges: Sequence[float], counts: Sequence[int], total: int, width: int, unicode: bool
) -> Iterator[Text]:
    if not any(counts):
        yield Text("nothing to draw: no values")
        return
    labels = [f"{a:.3g} to {b:.3g}" if a < b else f"{a:.3g}" for a, b in pairwise(edges)]
    margin, most = max(map(len, labels)), max(counts)
    room = max(1, width - margin - len(f"{most:,}") - 3)
    for label, count in zip(labels, counts, strict=True):
        drawn = bar(count, most, room, unicode)
        yield Text.assemble(
            (f"{label:>{margin}} {'│' if unicode else '|'}", "dim"), drawn, f" {count:,}"
        )
    if missing := total - sum(counts):
        note = f"{missing:,} of {total:,} lie outside or are not finite"
        yield from (Text(text, "dim") for text in wrap(note, width))


def coloured_text(
    text: str, strengths: Sequence[float], *, colour: bool, unicode: bool, width: int
) -> RenderableType:
    """Show how strong each character is: by its background, or else by a mark under it.

    `strengths` has one number, from 0, for each character; the largest is the scale.
    Raises ValueError if the lengths differ.
    """
    if len(text) != len(strengths):
        raise ValueError(f"{len(text)} characters, but {len(strengths)} strengths")
    known = [0.0 if math.isnan(strength) else max(strength, 0.0) for strength in strengths]
    finite = max((strength for strength in known if strength < math.inf), default=0.0) or 1.0
    levels = [math.floor(9 * min(strength / finite, 1.0) + 0.5) for strength in known]
    return Drawing(lambda w: _strengths(text, levels, w, colour, unicode), width)


def _strengths(
    text: str, levels: Sequence[int], width: int, colour: bool, unicode: bool
) -> Iterator[Text]:
    ramp = " " + BLOCKS + "█" if unicode else ".123456789"
    line, marks = Text(), ""

    def finished() -> Iterator[Text]:
        yield line
        if not colour:
            yield Text(marks.rstrip())

    for character, level in zip(text, levels, strict=True):
        shown = printable(character, unicode)
        if line and cell_len(line.plain + shown) > width:
            yield from finished()
            line, marks = Text(), ""
        cells = cell_len(line.plain + shown) - line.cell_len
        if not line and not cells:
            shown, cells = " " + shown, 1  # an accent with nothing to stand on
        line.append(shown, PAPER[level] if colour else "")
        marks += (ramp[level] + " " * (cells - 1))[: max(cells, 0)]
        if character == "\n":
            yield from finished()
            line, marks = Text(), ""
    if line:
        yield from finished()
    if not colour:
        yield from map(Text, wrap(f"marks: {ramp[1]} weakest, {ramp[9]} strongest", width))
        return
    swatches = ((str(level), style) for level, style in enumerate(PAPER))
    yield Text.assemble("weakest ", *swatches, " strongest")
