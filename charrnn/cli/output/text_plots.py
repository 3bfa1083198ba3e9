"""Marks made of characters: sparklines, bars, coloured text, and what every picture is made with.

Pictures need neither colour nor Unicode. They know numbers and names, not networks. Every curve,
shade and strength has a glyph of its own; colour only repeats what the glyphs say. `unicode=False`
draws with ASCII alone. A value that is `None`, negative where a logarithm is wanted, or not a
number leaves a gap.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from charrnn.cli.output.safe_text import one_line

Values: TypeAlias = Sequence[float | None]

MIN_EXPONENT, MAX_EXPONENT = -5, 6  # powers of ten; a chart need not show what lies beyond
EXPONENT_TOLERANCE = 0.1  # in powers of ten: what exceeds 1 by less fits into the line of 1

BLOCKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"
STRENGTH_STYLES = (
    tuple(  # from white to orange: black text stays readable, whatever the terminal's theme
        f"black on rgb({255 - 4 * level},{255 - 19 * level},{255 - 27 * level})"
        for level in range(10)
    )
)


@dataclass(frozen=True)
class LazyLines:
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


def supports_colour(console: Console) -> bool:
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


def log10_or_none(value: float | None) -> float | None:
    """Return log10, −∞ for 0, and None where there is no number to draw."""
    if value is None or math.isnan(value) or value < 0:
        return None
    return math.log10(value) if value else -math.inf


def decade_label(exponent: int) -> str:
    """Name a power of ten as a share, down to 0.001%: 100, 10, 1, 10%, 1%."""
    if -5 <= exponent < 0:
        return f"{100 * 10.0**exponent:.{max(0, -2 - exponent)}f}%"
    return str(10**exponent) if 0 <= exponent <= 3 else f"1e{exponent}"


@dataclass(frozen=True)
class DecadeAxis:
    """A logarithmic axis on which every power of ten that has a label has a row to itself."""

    top: int
    rows: int
    rows_per_decade: float  # n, or 1/n, for a whole n

    @classmethod
    def around(cls, logs: Sequence[float], rows: int) -> "DecadeAxis":
        """Return the axis from 1 or more down to 1% or less that shows these values best."""
        top = 0 if max(logs) <= EXPONENT_TOLERANCE else math.ceil(min(max(logs), MAX_EXPONENT))
        bottom = math.floor(min(-2, max(min(logs), MIN_EXPONENT)))
        gaps, decades = rows - 1, top - bottom
        if gaps < decades:
            return cls(top, rows, 1 / math.ceil(decades / gaps))
        scale = gaps // decades  # rows that would show nothing are left out
        return cls(top, decades * scale + 1, scale)

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
        return decade_label(round(exponent)) if exponent == round(exponent) else ""


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
        shown = [log10_or_none(value) for value in shown]
        low, high = (log10_or_none(limit) if limit else None for limit in (low, high))
    finite = [value for value in shown if value is not None and math.isfinite(value)]
    top = high if high is not None else max(finite, default=0.0)
    lowest = min(finite, default=0.0)
    if log:
        lowest = max(lowest, top + MIN_EXPONENT) if -math.inf not in shown else top + MIN_EXPONENT
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
    return LazyLines(lambda w: _histogram(edges, counts, len(values), w, unicode), width)


def log_histogram(
    values: Sequence[float], *, bins: int, width: int, unicode: bool
) -> RenderableType:
    """Draw a histogram of the common logarithms of `values`, each at least 0.001."""
    logs = [math.log10(max(value, 1e-3)) for value in values]
    return histogram(logs, bins, width, unicode)


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
    text: Sequence[str], strengths: Sequence[float], *, colour: bool, unicode: bool, width: int
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
    return LazyLines(lambda w: _strengths(text, levels, w, colour, unicode), width)


def _strengths(
    text: Sequence[str], levels: Sequence[int], width: int, colour: bool, unicode: bool
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
        line.append(shown, STRENGTH_STYLES[level] if colour else "")
        marks += (ramp[level] + " " * (cells - 1))[: max(cells, 0)]
        if character == "\n":
            yield from finished()
            line, marks = Text(), ""
    if line:
        yield from finished()
    if not colour:
        yield from map(Text, wrap(f"marks: {ramp[1]} weakest, {ramp[9]} strongest", width))
        return
    swatches = ((str(level), style) for level, style in enumerate(STRENGTH_STYLES))
    yield Text.assemble("weakest ", *swatches, " strongest")
