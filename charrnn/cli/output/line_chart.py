"""Charts in text of values by step, on a linear or logarithmic axis that fits the values."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

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
from charrnn.cli.output.text_plots import LazyLines, Values, log10_or_none, printable, shortened

ROWS_PER_LABEL = 2
"""Least rows between two labels of the vertical axis."""

SAME_SHARE = 1e-6
"""Difference, as a share of the larger value, below which two values are drawn as the same."""

MIN_MAGNITUDE, MAX_MAGNITUDE = 1e-290, 1e300
"""Smaller values are drawn as 0, and larger ones as the limit, so that quotients stay finite."""

MIN_LOG_RATIO = 30.0
"""Ratio of the largest to the smallest value from which `needs_log_axis` is true."""


@dataclass(frozen=True)
class ValueAxis:
    """A vertical axis with labels at multiples of a step of 1, 2 or 5 times a power of ten.

    Args:
        first: the lowest label, as a multiple of `step`.
        step: difference between labels; in powers of ten if `logarithmic`.
        intervals: number of steps.
        rows_per_interval: rows from one label to the next.
        logarithmic: whether values are common logarithms.
    """

    first: int
    step: float
    intervals: int
    rows_per_interval: int
    logarithmic: bool = False

    @classmethod
    def around(
        cls, low: float, high: float, rows: int, *, logarithmic: bool = False
    ) -> "ValueAxis":
        """Return an axis of at most `rows` rows that contains `low` and `high`."""
        if high - low <= max(SAME_SHARE * max(abs(low), abs(high)), MIN_MAGNITUDE):
            margin = 0.1 * abs(low) if abs(low) > MIN_MAGNITUDE else 1.0
            low, high = low - margin, high + margin
        wanted = max(2, (rows - 1) // ROWS_PER_LABEL)
        exponent = math.floor(math.log10((high - low) / wanted))
        exponent = max(0, exponent) if logarithmic else exponent
        steps = (m * 10.0**e for e in range(exponent, exponent + 4) for m in (1, 2, 5))
        for step in steps:
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first <= wanted:
                break
        intervals = max(1, last - first)
        return cls(first, step, intervals, max(1, (rows - 1) // intervals), logarithmic)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.intervals * self.rows_per_interval + 1

    @property
    def top(self) -> float:
        """The value at row 0."""
        return (self.first + self.intervals) * self.step

    def row(self, value: float) -> float:
        """Return the row of a value, from 0 at the top, as a fraction; it may lie off the axis."""
        return (self.top - value) / self.step * self.rows_per_interval

    def label(self, row: int) -> str:
        """Return the label of a row; empty between labels."""
        interval, between = divmod(row, self.rows_per_interval)
        if between:
            return ""
        value = (self.first + self.intervals - interval) * self.step
        return f"{10.0**value if self.logarithmic else value:.6g}"


def needs_log_axis(values: Iterable[float | None]) -> bool:
    """Return whether values are all positive and differ so much that a log axis shows them best."""
    known = [value for value in values if value is not None]
    return bool(known) and min(known) > 0 and max(known) > MIN_LOG_RATIO * min(known)


def line_chart(
    series: Mapping[str, Values],
    steps: Sequence[int],
    *,
    title: str,
    x_label: str,
    unicode: bool,
    height: int = 10,
    logarithmic: bool = False,
    low: float | None = None,
    high: float | None = None,
    note: str = "",
    width: int | None = None,
) -> RenderableType:
    """Draw values by step.

    Args:
        series: values of each curve, one for each step; None where there is none.
        steps: ascending steps from 0.
        title: what is drawn, and its unit.
        x_label: what stands under the steps.
        unicode: whether the console shows Unicode.
        height: most rows of the plot.
        logarithmic: whether the vertical axis is; values of 0 and below are then gaps.
        low: a value that a linear axis contains too.
        high: the largest value that the axis has to contain; larger ones are marked at its top.
        note: a line under the chart.
        width: columns; those of the console by default.
    """
    curves = {name: list(values) for name, values in series.items()}
    if logarithmic:
        curves = {
            name: [log10_or_none(value or None) for value in values]
            for name, values in curves.items()
        }
        low, high = None, log10_or_none(high or None)
    chart = LineChart(
        {printable(name, unicode): tuple(map(bounded, values)) for name, values in curves.items()},
        LagAxis(tuple(steps)),
        printable(title, unicode),
        printable(x_label, unicode),
        unicode,
        logarithmic,
        low,
        high,
        printable(note, unicode),
    )
    return LazyLines(lambda columns: draw(chart, columns, max(height, 4)), width)


@dataclass(frozen=True)
class LineChart:
    """What `line_chart` draws, whatever the width."""

    curves: Mapping[str, Values]
    steps: LagAxis
    title: str
    x_label: str
    unicode: bool
    logarithmic: bool
    low: float | None
    high: float | None
    note: str

    def axis(self, height: int) -> ValueAxis | None:
        """Return the vertical axis, or None if there are no values."""
        known = [value for curve in self.curves.values() for value in curve if value is not None]
        if not known:
            return None
        low, high = min(known), max(known)
        if self.high is not None:
            high = max(low, min(high, self.high))
        if self.low is not None:
            low = min(low, self.low)
        return ValueAxis.around(low, high, height, logarithmic=self.logarithmic)


def bounded(value: float | None) -> float | None:
    """Return a value that can be drawn; None for None and NaN."""
    if value is None or math.isnan(value):
        return None
    return min(max(value, -MAX_MAGNITUDE), MAX_MAGNITUDE)


def draw(chart: LineChart, width: int, height: int) -> Iterator[Text]:
    """Yield the lines of a chart."""
    unicode = chart.unicode
    yield from (Text(text, "bold") for text in wrap(chart.title, width))
    axis = chart.axis(height)
    if axis is None:
        yield Text("nothing to draw: no values")
        return
    margin = max(len(axis.label(row)) for row in range(axis.rows))
    columns = max(1, width - margin - 2)
    glyphs, unseen = plot_curves(list(chart.curves.values()), axis, chart.steps, columns, unicode)
    for row in range(axis.rows):
        label = axis.label(row)
        line = Text(f"{label:>{margin}} " + ("|+│┤"[2 * unicode + bool(label)]), "dim")
        for column in range(columns):
            line.append(*glyphs.get((row, column), (" ", "")))
        line.rstrip()
        yield line
    yield from draw_lag_axis(chart.steps, columns, margin + 1, unicode)
    yield Text(shortened(chart.x_label, width, unicode).center(width).rstrip(), "dim")
    if len(chart.curves) > 1:
        yield from flow_entries(legend(chart, unseen, width), width)
    arrow = "↑" if unicode else "^"
    notes = [chart.note] if chart.note else []
    if any(glyph == arrow for glyph, _ in glyphs.values()):
        notes.append(f"{arrow} above {axis.label(0)}")
    for text in wrap("; ".join(notes), width):
        yield Text(text, "dim")


def legend(chart: LineChart, unseen: Mapping[int, str], width: int) -> Iterator[Text]:
    """Yield the entries of the legend: the mark and the name of each curve."""
    for index, (name, curve) in enumerate(chart.curves.items()):
        empty = all(value is None for value in curve)
        note = " (no values)" if empty else f" (all {unseen[index]})" if index in unseen else ""
        known = shortened(name, max(1, width - 2 - len(note)), chart.unicode)
        mark = curve_mark(index, chart.unicode), curve_colour(index)
        yield Text.assemble(mark, f" {known}{note}")
