"""Charts in text: curves by lag on a logarithmic axis, and heat maps.

As in `text_plots`, colour is optional, and `unicode=False` draws in ASCII.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from charrnn.cli.output.curve_drawing import (
    LagAxis,
    curve_colour,
    curve_mark,
    draw_lag_axis,
    flow_entries,
    plot_curves,
)
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

GRADIENT_HINTS = ("near 1: all of it arrives", "under the dotted 1% line: hardly any")

Shade: TypeAlias = tuple[float, str, str, str, str]
"""From this power of ten on: glyph, in ASCII, style, meaning."""

SHADES: tuple[Shade, ...] = (
    (1.0, "▲", "^", "bright_red", "over 10"),
    (math.log10(0.5), "█", "#", "bright_yellow", "50% and more"),
    (-1.0, "▓", "*", "green", "10-50%"),
    (-2.0, "▒", "+", "cyan", "1-10%"),
    (-3.0, "░", "-", "blue", "0.1-1%"),
    (-math.inf, "·", ".", "dim", "less"),
)
WEIGHT_SHADES = SHADES[1:]
"""Shades of weights from 0 to 1."""


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

    glyphs, unseen = plot_curves(list(curves.values()), axis, lag_axis, columns, unicode)
    guide = math.floor(axis.row(-2) + 0.5)
    for row in range(height):
        label = axis.label(row)
        line = Text(f"{label:>{margin}} " + ("|+│┤"[2 * unicode + bool(label)]), "dim")
        for column in range(columns):
            empty = (("┈" if unicode else ".") if row == guide else " ", "dim")
            line.append(*glyphs.get((row, column), empty))
        line.rstrip()
        yield line
    yield from draw_lag_axis(lag_axis, columns, margin + 1, unicode)
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
        legend.append(
            Text.assemble((curve_mark(index, unicode), curve_colour(index)), " " + known + note)
        )
    yield from flow_entries(legend, width)

    drawn = {glyph for glyph, _ in glyphs.values()}
    hints = list(chart.hints)
    hints += ["above 1: it has grown"] if axis.top else []
    hints += [f"{under} below {limit}"] if under in drawn else []
    hints += [f"{over} above {decade_label(axis.top)}"] if over in drawn else []
    for text in wrap("; ".join(hints), width):
        yield Text(text, "dim")


def heat_map(
    rows: Mapping[str, Values],
    columns: Sequence[str],
    *,
    unicode: bool,
    colour: bool,
    shades: Sequence[Shade] = SHADES,
) -> RenderableType:
    """Draw ratios as shades, one line for each row; neighbours are averaged to fit the width.

    Args:
        rows: ratios by name.
        columns: titles of the columns.
        unicode: shades instead of ASCII letters.
        colour: whether to colour the shades.
        shades: those that are used.
    """
    logs = [
        (printable(name, unicode), [log10_or_none(value) for value in values])
        for name, values in rows.items()
    ]
    titles = [printable(column, unicode) for column in columns]
    return LazyLines(lambda width: _heat(logs, titles, width, unicode, colour, shades))


def _heat(
    rows: Sequence[tuple[str, Values]],
    titles: Sequence[str],
    width: int,
    unicode: bool,
    colour: bool,
    shades: Sequence[Shade],
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
            glyph, style = _shade(log, unicode, shades)
            line.append(glyph * wide, style if colour else "")
        line.rstrip()
        yield line
    legend = (
        Text.assemble((glyph if unicode else plain, style if colour else ""), " " + meaning)
        for _, glyph, plain, style, meaning in shades
    )
    yield from flow_entries(legend, width)


def _shade(log: float | None, unicode: bool, shades: Sequence[Shade]) -> tuple[str, str]:
    if log is None:
        return " ", ""
    glyph, plain, style = next(shade[1:4] for shade in shades if log >= shade[0])
    return glyph if unicode else plain, style
