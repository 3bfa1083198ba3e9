"""HTML for notebooks: tables, and line charts as inline SVG, for `_repr_html_`.

Colours of text and lines follow the theme of the notebook: there is no background, and the text has
the colour of its surroundings. Every text is escaped; there are no scripts and no links.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Curve: TypeAlias = Sequence[float | None]

CELL = "padding:0.15em 1em 0.15em 0;background:none;border:none;vertical-align:top;"
COLOURS = ("#1f88c9", "#d9692a", "#2b9d72", "#b060ae", "#a08a1e", "#c9506a")
"""Colours of curves, each with a contrast of at least 3 : 1 on white and on near-black."""

DASHES = ("none", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
WIDTH, LEFT, RIGHT = 560, 56, 540
"""Width of a chart, and where its horizontal axis begins and ends, in pixels."""

TOP, LOW, BELOW, KEY = 28, 220, 56, 20
"""Where the vertical axis begins and ends, the room for labels below it, and the height of a line
of the key, in pixels."""

MIN_DECADE, MAX_DECADE = -8, 8
"""Powers of ten between which the vertical axis ends."""

MAX_POINTS = 400
"""Points of a curve that are drawn; of more, every second, third and so on."""


def html_table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), caption: str = "") -> str:
    """Return a table; all its texts are escaped.

    Args:
        rows: the cells of each row; the first one of a row is its heading.
        header: headings of the columns; empty for none. Columns after the first are then figures,
            and stand to the right.
        caption: a line above the table; empty for none.

    Example:
        >>> "a &lt; b" in html_table([("a < b", "1")])
        True
    """
    parts = ['<table style="border-collapse:collapse;border:none;color:inherit">']
    if caption:
        style = "caption-side:top;color:inherit;text-align:left;font-weight:bold"
        parts.append(f'<caption style="{style}">{html.escape(caption)}</caption>')
    if header:
        cells = [_cell(text, "th", "col", right=at > 0) for at, text in enumerate(header)]
        parts.append(f"<thead>{_row(cells)}</thead>")
    for first, *others in rows:
        cells = [_cell(first, "th", "row", right=False)]
        cells += [_cell(text, "td", "", right=bool(header)) for text in others]
        parts.append(_row(cells))
    return "".join([*parts, "</table>"])


def _row(cells: Sequence[str]) -> str:
    return f'<tr style="background:none">{"".join(cells)}</tr>'


def _cell(text: str, tag: str, scope: str, *, right: bool) -> str:
    style = f"{CELL}text-align:{'right' if right else 'left'}"
    mark = f' scope="{scope}"' if scope else ""
    return f'<{tag}{mark} style="{style}">{html.escape(text)}</{tag}>'


@dataclass(frozen=True)
class _Axes:
    """Places of values in a chart: lags from 0 to `last`, powers of ten from `top` to `bottom`."""

    last: int
    top: int
    bottom: int

    def x(self, lag: float) -> float:
        return LEFT + (RIGHT - LEFT) * lag / max(1, self.last)

    def y(self, log: float) -> float:
        return TOP + (LOW - TOP) * (self.top - log) / (self.top - self.bottom)


def log_chart(curves: Mapping[str, Curve], x_label: str, y_label: str) -> str:
    """Return a chart of curves over 0, 1, 2, … with a logarithmic axis, as an SVG element.

    Args:
        curves: values by name; None, NaN, infinity and values of 0 or less leave a gap, and so
            do values below the axis.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.

    Example:
        >>> log_chart({"layer 0": [1.0, 0.1]}, "characters back", "ratio").count("<polyline")
        1
    """
    logs = {name: [_log10(value) for value in values] for name, values in curves.items()}
    known = [log for values in logs.values() for log in values if log is not None]
    top = math.ceil(min(max(known, default=0.0), MAX_DECADE))
    bottom = min(math.floor(max(min(known, default=-1.0), MIN_DECADE)), top - 1)
    axes = _Axes(max((len(values) for values in logs.values()), default=1) - 1, top, bottom)
    height = LOW + BELOW + KEY * len(logs)
    title = html.escape(f"{y_label}, by {x_label}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" '
        f'viewBox="0 0 {WIDTH} {height}" style="max-width:{WIDTH}px;width:100%;color:inherit" '
        'font-size="12" font-family="sans-serif" fill="currentColor">',
        *_frame(axes, x_label, y_label),
    ]
    for number, (name, values) in enumerate(logs.items()):
        stroke = (
            f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="2" fill="none" '
            f'stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        )
        parts += [f'<polyline points="{points}" {stroke}/>' for points in _pieces(values, axes)]
        y = LOW + BELOW + KEY * number
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + 30}" y2="{y}" {stroke}/>')
        parts.append(_text(LEFT + 38, y + 4, name, "start"))
    return "".join([*parts, "</svg>"])


def _frame(axes: _Axes, x_label: str, y_label: str) -> Iterator[str]:
    """Yield the lines and labels of the axes."""
    yield _text(LEFT, TOP - 10, y_label, "start")
    for decade in range(axes.top, axes.bottom - 1, -max(1, (axes.top - axes.bottom) // 5)):
        y = axes.y(decade)
        yield (
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.25"/>'
        )
        yield _text(
            LEFT - 6,
            y + 4,
            f"{10.0**decade:g}",
            "end",
        )
    for lag in sorted({round(axes.last * part / 4) for part in range(5)}):
        yield _text(axes.x(lag), LOW + 16, f"{lag:,}", "middle")
    yield _text((LEFT + RIGHT) / 2, LOW + 33, x_label, "middle")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _pieces(logs: Curve, axes: _Axes) -> Iterator[str]:
    """Yield the points of each part of a curve without gaps."""
    points: list[str] = []
    for lag in range(0, len(logs), max(1, len(logs) // MAX_POINTS)):
        log = logs[lag]
        if log is not None and axes.bottom <= log <= axes.top:
            points.append(f"{axes.x(lag):.1f},{axes.y(log):.1f}")
        elif points:
            yield " ".join(points)
            points = []
    if points:
        yield " ".join(points)


def _log10(value: float | None) -> float | None:
    """Return log10 of a positive finite number, otherwise None."""
    return math.log10(value) if value is not None and 0 < value < math.inf else None
