"""Text plots: sparklines, bars, histograms, coloured text, and the parts of larger charts.

They depend on numbers and names only, not on networks. Colour is optional, because every curve,
shade and strength also has a glyph of its own, and `unicode=False` draws in ASCII. A value that is
None or NaN, or negative on a logarithmic axis, leaves a gap.
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

MIN_EXPONENT, MAX_EXPONENT = -5, 6  # powers of ten between which an axis ends
EXPONENT_TOLERANCE = 0.1  # in powers of ten: a value this little above 1 is drawn at 1

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
    """Lines that are drawn when the width of the console is known; a rich renderable."""

    draw: Callable[[int], Iterable[Text]]
    """Returns the lines for a width in columns."""
    width: int | None = None
    """The largest width; None for that of the console."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield each line, cut at the width of the console."""
        width = max(1, min(self.width or options.max_width, options.max_width))
        for line in self.draw(width):
            line.truncate(width, overflow="crop")
            line.no_wrap = True
            yield line


def supports_colour(console: Console) -> bool:
    """Return whether a console shows colours: supported, and not disabled by NO_COLOR."""
    return console.color_system is not None and not console.no_color


def printable(text: str, unicode: bool) -> str:
    """Return `text` on one line without control characters; escaped unless `unicode`."""
    if unicode:
        return one_line(text)
    plain = (c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)
    return "".join(plain)


def shortened(text: str, cells: int, unicode: bool) -> str:
    """Return `text`, its middle replaced by dots if it is wider than `cells` columns."""
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
    """Return log10 of `value`, −∞ for 0; None for None, NaN and negative numbers."""
    if value is None or math.isnan(value) or value < 0:
        return None
    return math.log10(value) if value else -math.inf


def decade_label(exponent: int) -> str:
    """Return the axis label of a power of ten, as a share below 1: 100, 10, 1, 10%, …, 0.001%."""
    if -5 <= exponent < 0:
        return f"{100 * 10.0**exponent:.{max(0, -2 - exponent)}f}%"
    return str(10**exponent) if 0 <= exponent <= 3 else f"1e{exponent}"


@dataclass(frozen=True)
class DecadeAxis:
    """A vertical logarithmic axis; every labelled power of ten has a row of its own."""

    top: int
    """The power of ten at row 0."""
    rows: int
    """Number of rows."""
    rows_per_decade: float  # n, or 1/n, for a whole n

    @classmethod
    def around(cls, logs: Sequence[float], rows: int) -> "DecadeAxis":
        """Return an axis for values with these common logarithms; it contains 1 and 1%."""
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
        """Return the row of a value, from 0 at the top, as a fraction; it may lie off the axis."""
        return (self.top - log) * self.rows_per_decade

    def label(self, row: int) -> str:
        """Return the label of a row; empty between powers of ten."""
        exponent = self.top - row / self.rows_per_decade
        return decade_label(round(exponent)) if exponent == round(exponent) else ""


def resampled(values: Values, count: int) -> list[float | None]:
    """Return at most `count` values, each the mean of the finite ones among neighbours."""
    if len(values) <= count:
        return list(values)
    means: list[float | None] = []
    for index in range(count):
        part = values[index * len(values) // count : (index + 1) * len(values) // count]
        known = [value for value in part if value is not None]
        finite = [value for value in known if math.isfinite(value)]
        if finite:
            scale = max(map(abs, finite)) or 1.0  # sums of the largest floats would overflow
            mean = math.fsum(value / scale for value in finite) / len(finite)
            means.append(min(max(mean, -1.0), 1.0) * scale)
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
    """Return a curve on one line.

    Args:
        values: from left to right.
        log: whether the axis is logarithmic; values below 1e-5 of the highest are drawn as that.
        unicode: blocks instead of digits.
        width: columns; by default one for each value.
        low: value at the bottom; by default the lowest value.
        high: value at the top; by default the highest value.
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
    """Return a bar of `width` columns at `largest`, at least one mark for a value above 0."""
    if value is None or not value > 0 or not largest > 0:
        return ""
    part = min(value / largest, 1.0) if math.isfinite(largest) else float(value == largest)
    if not unicode:
        return "#" * math.floor(part * width + 0.5) or "|"[:width]
    eighths = max(1, math.floor(part * width * 8 + 0.5))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip())[:width]


def histogram(
    values: Values,
    bins: int | Sequence[float],
    width: int,
    unicode: bool,
    label: Callable[[float], str] = "{:.3g}".format,
) -> RenderableType:
    """Draw the number of values in each of `bins` equal bins, or between increasing bin edges.

    `label` writes an edge.
    """
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
    return LazyLines(lambda w: _histogram(edges, counts, len(values), w, unicode, label), width)


def log_histogram(
    values: Sequence[float], *, bins: int, width: int, unicode: bool
) -> RenderableType:
    """Draw a histogram of `values`, each at least 0.001, in bins of equal ratio."""
    logs = [math.log10(max(value, 1e-3)) for value in values]
    return histogram(logs, bins, width, unicode, lambda log: f"{10**log:.3g}")


def _histogram(
    edges: Sequence[float],
    counts: Sequence[int],
    total: int,
    width: int,
    unicode: bool,
    label: Callable[[float], str],
) -> Iterator[Text]:
    if not any(counts):
        yield Text("nothing to draw: no values")
        return
    labels = [f"{label(a)} to {label(b)}" if a < b else label(a) for a, b in pairwise(edges)]
    margin, most = max(map(len, labels)), max(counts)
    room = max(1, width - margin - len(f"{most:,}") - 3)
    for name, count in zip(labels, counts, strict=True):
        drawn = bar(count, most, room, unicode)
        yield Text.assemble(
            (f"{name:>{margin}} {'│' if unicode else '|'}", "dim"), drawn, f" {count:,}"
        )
    if missing := total - sum(counts):
        note = f"{missing:,} of {total:,} lie outside or are not finite"
        yield from (Text(text, "dim") for text in wrap(note, width))


def coloured_text(
    text: Sequence[str], strengths: Sequence[float], *, colour: bool, unicode: bool, width: int
) -> RenderableType:
    """Show the strength of each character: by its background, or by a mark below it.

    Args:
        text: the characters.
        strengths: a number from 0 for each; the largest sets the scale.
        colour: backgrounds instead of marks.
        unicode: blocks instead of digits as marks.
        width: columns.

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
            shown, cells = " " + shown, 1  # a combining accent at the start of a line
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
