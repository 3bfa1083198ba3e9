"""Curves in text charts: dots of braille characters, marks, the horizontal axis and the legend."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Protocol, TypeAlias

from rich.text import Text

from charrnn.cli.output.text_plots import Values

GridPosition: TypeAlias = tuple[int, int]
"""Row and column of a character."""

CURVE_MARKS = "●■▲◆○□△◇"  # then letters, as in ASCII
CURVE_STYLES = ("cyan", "yellow", "magenta", "green", "red", "blue")
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of a cell's 4 × 2 dots


class VerticalAxis(Protocol):
    """A vertical axis of so many rows that places values."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    def row(self, value: float, /) -> float:
        """Return the row of a value, from 0 at the top, as a fraction; it may lie off the axis."""


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


def curve_mark(index: int, unicode: bool) -> str:
    """Return the mark of a curve in a chart and in its legend."""
    marks = CURVE_MARKS + ascii_uppercase if unicode else ascii_uppercase
    return marks[index % len(marks)]


def curve_colour(index: int) -> str:
    """Return the style of a curve."""
    return CURVE_STYLES[index % len(CURVE_STYLES)]


def _trace(
    curve: Values, axis: VerticalAxis, lag_axis: LagAxis, across: int, down: int
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


def plot_curves(
    curves: Sequence[Values], axis: VerticalAxis, lag_axis: LagAxis, columns: int, unicode: bool
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
                edges[axis.rows - 1 if y > 0 else 0, x // wide] = arrow, curve_colour(index)
                gone.add(arrow)
        if not any(index in shared for shared in owners.values()):
            unseen[index] = " and ".join("below" if arrow in "↓v" else "above" for arrow in gone)

    glyphs = {}
    for cell, shared in owners.items():
        index = shared[cell[1] % len(shared)]  # curves on the same cells take turns
        style = curve_colour(index) if len(shared) == 1 or not unicode else ""
        glyphs[cell] = chr(0x2800 + dots[cell]) if unicode else curve_mark(index, unicode), style
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
    return {cell: (curve_mark(index, True), curve_colour(index)) for cell, index in marks.items()}


def draw_lag_axis(lag_axis: LagAxis, columns: int, margin: int, unicode: bool) -> Iterator[Text]:
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


def flow_entries(entries: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield lines of entries, as many in each as fit."""
    line = Text()
    for entry in entries:
        if line and line.cell_len + 3 + entry.cell_len > width:
            yield line
            line = Text()
        line = line + Text("   ") + entry if line else entry
    yield line
