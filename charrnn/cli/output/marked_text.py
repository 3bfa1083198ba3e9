"""Text of which every character has a colour, or a mark where there is no colour."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rich.cells import cell_len
from rich.text import Text

from charrnn.cli.output.console import MAX_COLUMNS, MIN_COLUMNS, Screen, answer
from charrnn.cli.output.safe_text import label
from charrnn.cli.output.text_plots import supports_colour

LINES_AT_ONCE = 200

NEWLINE = "␊"
"""Picture of a newline, which ends a line."""


@dataclass(frozen=True)
class Glyph:
    """A character as it is shown.

    Attributes:
        text: its picture, of `picture`.
        style: its style where there is colour.
        mark: what stands under it where there is none.
        under: what else stands under it, one in each line.
    """

    text: str
    style: str = ""
    mark: str = " "
    under: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Its columns: as wide as the widest of what stands under it."""
        return max(cell_len(self.text), *map(cell_len, self.under), 1)


def picture(symbol: str, *, as_bytes: bool, blank: str = "␣") -> str:
    """Return a symbol as it is shown by itself: no control, hidden or combining character."""
    if as_bytes and len(symbol) == 1 and "\x80" <= symbol <= "\xff":
        return f"\\x{ord(symbol):02x}"
    return blank if symbol == " " else label(symbol)


def marked_lines(glyphs: Iterable[Glyph], columns: int, *, colour: bool) -> Iterator[Text]:
    """Yield lines of at most `columns`: the text, marks if not `colour`, and what is under it."""
    row: list[Glyph] = []
    used = 0
    for glyph in glyphs:
        if row and used + glyph.width > columns:
            yield from _row_lines(row, colour=colour)
            row, used = [], 0
        row.append(glyph)
        used += glyph.width
        if glyph.text == NEWLINE:
            yield from _row_lines(row, colour=colour)
            row, used = [], 0
    if row:
        yield from _row_lines(row, colour=colour)


def _row_lines(row: list[Glyph], *, colour: bool) -> Iterator[Text]:
    """Yield one line of text and what stands under it."""
    text, marks = Text(no_wrap=True), Text(no_wrap=True)
    depth = max(len(glyph.under) for glyph in row)
    under = [Text(no_wrap=True, style="dim") for _ in range(depth)]
    for glyph in row:
        text.append(_padded(glyph.text, glyph.width), glyph.style if colour else "")
        marks.append(_padded(glyph.mark, glyph.width))
        for rank, line in enumerate(under):
            line.append(_padded(glyph.under[rank] if rank < len(glyph.under) else "", glyph.width))
    yield text
    for line in under if colour else [marks, *under]:
        line.rstrip()
        if line.plain:
            yield line


def _padded(text: str, columns: int) -> str:
    """Return a text with blanks after it up to a width."""
    return text + " " * (columns - cell_len(text))


def has_colour() -> bool:
    """Return whether stdout shows colours."""
    return supports_colour(Screen(highlight=False))


def show_marked(glyphs: Iterable[Glyph]) -> None:
    """Print the glyphs on stdout, coloured or marked, a block of lines at a time."""
    screen = Screen(highlight=False)
    columns = max(MIN_COLUMNS, min(screen.width, MAX_COLUMNS))
    lines = marked_lines(glyphs, columns, colour=supports_colour(screen))
    while block := list(islice(lines, LINES_AT_ONCE)):
        answer(Text("\n", no_wrap=True).join(block))
