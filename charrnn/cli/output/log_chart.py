"""Charts in text: curves by lag on a logarithmic axis, and heat maps.

As in `text_plots`, colour is optional, and `unicode=False` draws in ASCII.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from textwrap import wrap
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from charrnn.cli.output.text_plots import (
    DecadeAxis,
    LazyLines,
    Values,
    decade_label,
    log10_or_none,
    printable,
    resampled,
    shortened,
)

GridPosition: TypeAlias = tuple[int, int]
"""Row and column of a character."""

CURVE_MARKS = "●■▲◆○□△◇"  # then letters, as in ASCII
CURVE_STYLES = ("cyan", "yellow", "magenta", "green", "red", "blue")
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of a cell's 4 × 2 dots

GRADIENT_HINTS = ("near 1: all of it arrives", "under the dotted 1% line: hardly any")

SHADES = (  # from this power of ten on: glyph, in ASCII, style, meaning
    (1.0, "▲", "^", "bright_red", "over 10"),
    (math.log10(0.5), "█", "#", "bright_yellow", "50% and more"),
    (-1.0, "▓", "*", "green", "10-50%"),
    (-2.0, "▒", "+", "cyan", "1-10%"),
    (-3.0, "░", "-", "blue", "0.1-1%"),
    (-math.inf, "·", ".", "dim", "less"),
)


def log_chart(
    series: Mapping[str, Values],
    *,
    x_label: str,
    y_label: str,
    width: int | None = None,
    height: int = 12,
    unicode: bool,
    lags: Sequence[int] | None = None,
    hints: Sequence[str] = GRADIENT_HINTS,
) -> RenderableType:
    """Draw ratios by lag on a logarithmic axis, with a dotted line at 1%.

    Args:
        series: ratios of each curve; None where there is none. Curves are told apart by their
            marks (in ASCII, letters).
        x_label: what stands under the lags.
        y_label: the title.
        width: columns; those of the console by default.
        height: rows of the plot.
        unicode: whether the console shows Unicode.
        lags: 1 or more, ascending: a logarithmic axis of these lags, one for each value. By
            default the values are those of lag 0, 1, 2, … on a linear axis.
        hints: how to read the chart.
    """
    labels = printable(x_label, unicode), printable(y_label, unicode)
    curves = {name: [log10_or_none(value) for value in values] for name, values in series.items()}
    longest = max((len(curve) for curve in curves.values()), default=0)
    axis = LagAxis(tuple(lags) if lags else tuple(range(longest)), logarithmic=bool(lags))
    chart = Chart(curves, axis, labels, tuple(hints), unicode)
    return LazyLines(lambda w: _chart(chart, w, max(height, 3)), width)


@dataclass(frozen=True)
class LagAxis:
    """The lags of a chart, and where each lies between its left and its right end."""

    lags: tuple[int, ...]
    logarithmic: bool = False

    @property
    def last(self) -> int:
        """The largest lag."""
        return self.lags[-1] if self.lags else 0

    def place(self, lag: int) -> float:
        """Return the place of a lag, from 0 to 1."""
        if self.logarithmic:
            first = math.log(self.lags[0])
            return (math.log(lag) - first) / max(math.log(self.last) - first, 1e-9)
        return lag / max(self.last, 1)

    def ticks(self, room: int) -> list[int]:
        """Return at most about `room` round lags."""
        rounded = [m * 10**e for e in range(len(str(self.last)) + 1) for m in (1, 2, 5)]
        if not self.logarithmic:
            step = next(step for step in rounded if step * room >= self.last)
            return list(range(0, self.last + 1, step))
        ticks = [lag for lag in rounded if self.lags[0] <= lag <= self.last]
        return ticks if len(ticks) <= room else [lag for lag in ticks if str(lag)[0] == "1"]


@dataclass(frozen=True)
class Chart:
    """What `log_chart` draws, whatever the width; curves hold powers of ten."""

    curves: Mapping[str, Values]
    lag_axis: LagAxis
    labels: tuple[str, str]
    hints: tuple[str, ...]
    unicode: bool


def _chart(chart: Chart, width: int, height: int) -> Iterator[Text]:
    curves, lag_axis, labels, unicode = chart.curves, chart.lag_axis, chart.labels, chart.unicode
    logs = [log for curve in curves.values() for log in curve if log is not None]
    yield from (Text(text, "bold") for text in wrap(labels[1], width))
    if not logs:
        yield Text("nothing to draw: no values")
        return
    axis = DecadeAxis.around(logs, height)
    height = axis.rows
    margin = max(len(axis.label(row)) for row in range(height))
    columns = max(1, width - margin - 2)

    glyphs, unseen = _plot(list(curves.values()), axis, lag_axis, columns, unicode)
    guide = math.floor(axis.row(-2) + 0.5)
    for row in range(height):
        label = axis.label(row)
        line = Text(f"{label:>{margin}} " + ("|+│┤"[2 * unicode + bool(label)]), "dim")
        for column in range(columns):
            empty = (("┈" if unicode else ".") if row == guide else " ", "dim")
            line.append(*glyphs.get((row, column), empty))
        line.rstrip()
        yield line
    yield from _lag_axis(lag_axis, columns, margin + 1, unicode)
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
    yield from _flow_entries(legend, width)

    drawn = {glyph for glyph, _ in glyphs.values()}
    hints = list(chart.hints)
    hints += ["above 1: it has grown"] if axis.top else []
    hints += [f"{under} below {limit}"] if under in drawn else []
    hints += [f"{over} above {decade_label(axis.top)}"] if over in drawn else []
    for text in wrap("; ".join(hints), width):
        yield Text(text, "dim")


def _mark(index: int, unicode: bool) -> str:
    marks = CURVE_MARKS + ascii_uppercase if unicode else ascii_uppercase
    return marks[index % len(marks)]


def _colour(index: int) -> str:
    return CURVE_STYLES[index % len(CURVE_STYLES)]


def _trace(
    curve: Values, axis: DecadeAxis, lag_axis: LagAxis, across: int, down: int
) -> Iterator[tuple[int, int]]:
    """Yield the dots x, y of a curve, neighbours joined; y lies outside where the curve does."""
    before = None
    for lag, log in zip(lag_axis.lags, curve, strict=False):
        if log is None:
            before = None
            continue
        y = (axis.row(log) + 0.5) * down / axis.rows - 0.5
        here = lag_axis.place(lag) * (across - 1), min(max(y, -down), 2.0 * down)
        x0, y0 = before or here
        dx, dy = here[0] - x0, here[1] - y0
        steps = math.ceil(max(abs(dx), abs(dy), 1))
        for step in range(steps + 1):
            part = step / steps
            yield math.floor(x0 + part * dx + 0.5), math.floor(y0 + part * dy + 0.5)
        before = here


def _plot(
    curves: Sequence[Values], axis: DecadeAxis, lag_axis: LagAxis, columns: int, unicode: bool
) -> tuple[dict[GridPosition, tuple[str, str]], dict[int, str]]:
    """Return glyph and style by position, and why curves are not visible, by their number."""
    wide, high = (2, 4) if unicode else (1, 1)  # dots in a cell
    dots: dict[GridPosition, int] = {}
    owners: dict[GridPosition, list[int]] = {}
    edges: dict[GridPosition, tuple[str, str]] = {}
    unseen: dict[int, str] = {}
    for index, curve in enumerate(curves):
        gone: set[str] = set()
        for x, y in _trace(curve, axis, lag_axis, columns * wide, axis.rows * high):
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
    owners: Mapping[GridPosition, Sequence[int]], curves: int, columns: int
) -> dict[GridPosition, tuple[str, str]]:
    """Return the marks of each curve: at regular columns of its own, at least one."""
    period = max(12, 2 * curves)
    cells = [
        sorted(cell for cell, its in owners.items() if index in its) for index in range(curves)
    ]
    marks: dict[GridPosition, int] = {}
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


def _lag_axis(lag_axis: LagAxis, columns: int, margin: int, unicode: bool) -> Iterator[Text]:
    """Yield the axis and, under it, the lags at its ticks."""
    room = max(1, columns // (len(str(lag_axis.last)) + 5))  # ticks that fit beside each other
    corner, plain, tick = "└─┬" if unicode else "+-+"
    axis, labels = [plain] * columns, [" "] * (margin + 1 + columns)
    end = 0
    for lag in lag_axis.ticks(room):
        column = math.floor(lag_axis.place(lag) * (columns - 1) + 0.5)
        axis[column] = tick
        start = margin + 1 + column - len(str(lag)) // 2
        start = max(0, min(start, len(labels) - len(str(lag))))
        if start >= end:
            end = start + len(str(lag))
            labels[start:end] = str(lag)
            end += 1
    yield Text(" " * margin + corner + "".join(axis), "dim")
    yield Text("".join(labels).rstrip(), "dim")


def _flow_entries(entries: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield lines of entries, as many in each as fit."""
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
    """Draw ratios as shades, one line for each row; neighbours are averaged to fit the width.

    Args:
        rows: ratios by name.
        columns: titles of the columns.
        unicode: shades instead of ASCII letters.
        colour: whether to colour the shades.
    """
    logs = [
        (printable(name, unicode), [log10_or_none(value) for value in values])
        for name, values in rows.items()
    ]
    titles = [printable(column, unicode) for column in columns]
    return LazyLines(lambda width: _heat(logs, titles, width, unicode, colour))


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
    yield from _flow_entries(legend, width)


def _shade(log: float | None, unicode: bool) -> tuple[str, str]:
    if log is None:
        return " ", ""
    glyph, plain, style = next(shade[1:4] for shade in SHADES if log >= shade[0])
    return glyph if unicode else plain, style
