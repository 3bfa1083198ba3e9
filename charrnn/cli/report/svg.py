"""Charts as inline SVG: text stays text, and colours are classes that the page defines."""

import html
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from charrnn.cli.output.safe_text import one_line
from charrnn.cli.report.content import Chart, Series

WIDE, NARROW = (720, 320), (340, 260)
"""Sizes in pixels, for a screen and for a phone; the page shows the one that fits."""

LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 44
"""Margins around the axes, in pixels."""

LEAST_SHARE = 1e-5
"""Smallest value of a logarithmic axis; smaller ones are not drawn."""


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` to pixels from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        transform: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = transform(self.low), transform(self.high)
        share = (transform(value) - low) / (high - low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self, count: int) -> list[float]:
        """Return about `count` round values within the axis."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**exponent for exponent in range(first, last + 1)]
        step = round_step((self.high - self.low) / count)
        number = math.ceil(self.low / step - 1e-9)
        found = []
        while number * step <= self.high + 1e-9 * step:
            found.append(number * step)
            number += 1
        return found


def round_step(step: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `step`.

    Example:
        >>> round_step(0.13)
        0.2
    """
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def line_chart(chart: Chart, size: tuple[int, int]) -> str:
    """Return a chart as an SVG element, to be placed in an HTML page.

    Args:
        chart: the curves; with none that has a point, an empty text is returned.
        size: width and height in pixels.
    """
    axes = axes_of(chart, size)
    if axes is None:
        return ""
    x, y = axes
    width, height = size
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(chart.title)}">',
        *grid(chart, x, y, size),
        *(part for number, one in enumerate(chart.series) for part in curve(one, number, x, y)),
        f'<text class="name" x="{(x.begin + x.end) / 2:.0f}" y="{height - 6}" '
        f'text-anchor="middle">{escaped(chart.x_label)}</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def axes_of(chart: Chart, size: tuple[int, int]) -> tuple[Axis, Axis] | None:
    """Return the axes that hold all points of a chart; None without points."""
    points = [
        point for one in chart.series for point in drawn_points(one, logarithmic=chart.logarithmic)
    ]
    if not points:
        return None
    width, height = size
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if chart.guide is not None:
        ys.append(chart.guide)
    if chart.logarithmic:
        high = max(1.0, *ys)
        low = min(10.0 ** math.floor(math.log10(min(ys))), high / 10)
        left, right = min(xs), max(*xs, 10 * min(xs))
    else:
        margin = 0.05 * (max(ys) - min(ys)) or 0.5
        low, high = min(ys) - margin, max(ys) + margin
        left, right = min(0.0, *xs), max(*xs, 1.0)
    return (
        Axis(left, right, LEFT, width - RIGHT, chart.logarithmic),
        Axis(low, high, height - BOTTOM, TOP, chart.logarithmic),
    )


def drawn_points(one: Series, *, logarithmic: bool) -> Iterator[tuple[float, float]]:
    """Yield the points of a curve that an axis can show."""
    for x, y in zip(one.x, one.y, strict=True):
        if y is not None and math.isfinite(y) and not (logarithmic and (y < LEAST_SHARE or x <= 0)):
            yield x, y


def grid(chart: Chart, x: Axis, y: Axis, size: tuple[int, int]) -> Iterator[str]:
    """Yield the lines and numbers of both axes."""
    for value in y.ticks(5):
        at = y.at(value)
        yield f'<line class="grid" x1="{x.begin}" x2="{x.end}" y1="{at:.1f}" y2="{at:.1f}"/>'
        text = percent(value) if chart.logarithmic else f"{value:g}"
        yield f'<text x="{x.begin - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
    for value in x.ticks(3 if size == NARROW else 6):
        at = x.at(value)
        yield f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" y1="{y.begin}" y2="{y.begin + 4}"/>'
        yield f'<text x="{at:.1f}" y="{y.begin + 17}" text-anchor="middle">{value:,.0f}</text>'
    if chart.guide is not None:
        at = y.at(chart.guide)
        yield f'<line class="guide" x1="{x.begin}" x2="{x.end}" y1="{at:.1f}" y2="{at:.1f}"/>'


def percent(share: float) -> str:
    """Return a share as a percentage, without superfluous zeros.

    Example:
        >>> percent(0.001)
        '0.1%'
    """
    return f"{100 * share:.10f}".rstrip("0").rstrip(".") + "%"


def curve(one: Series, number: int, x: Axis, y: Axis) -> Iterator[str]:
    """Yield the elements of one curve: a line with its gaps, or marks."""
    logarithmic = y.logarithmic
    shown = dict(drawn_points(one, logarithmic=logarithmic))
    if one.marked:
        for at, value in shown.items():
            yield f'<circle class="s{number}" cx="{x.at(at):.1f}" cy="{y.at(value):.1f}" r="3.5"/>'
        return
    steps: list[str] = []
    move = True
    for at in one.x:
        if at in shown:
            steps.append(f"{'M' if move else 'L'}{x.at(at):.1f} {y.at(shown[at]):.1f}")
        move = at not in shown
    if steps:
        yield f'<path class="s{number}" d="{"".join(steps)}"/>'


def escaped(text: str) -> str:
    """Return a text for HTML, on one line and without control characters."""
    return html.escape(one_line(text))
