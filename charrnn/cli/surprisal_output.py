"""Surprisal of every character of a text: for the terminal, as an HTML page, as CSV rows.

A character that surprised by `SURPRISED_BITS` or more has the likeliest ones under it, the most
probable first. In a text of bytes, those that are UTF-8 together are shown together: their
surprisals are added, and the likeliest are those of the first byte. CSV has one row a byte.
"""

import csv
import html
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from charrnn.cli.output.console import MAX_COLUMNS, MIN_COLUMNS, Screen, answer
from charrnn.cli.output.safe_text import decode_utf_8, label, write_plain
from charrnn.cli.output.text_plots import supports_colour
from charrnn.errors import StorageError, UsageError
from charrnn.evaluation.surprisal import LIKELIEST, surprisals
from charrnn.inference.model import Model
from charrnn.system.files import write_atomically
from charrnn.types import Ids

SURPRISED_BITS = 6
"""Bits from which the likeliest characters are shown: a probability of 1/64 or less."""

LEVELS = ((6, "white on red", "#"), (4, "black on yellow", "+"), (2, "black on cyan", "."))
"""Least bits of each level, most first; its style, and its mark where there is no colour."""

LEGEND = f"2, 4, 6 bits or more; under 6 or more, the {LIKELIEST} likeliest instead"

MAX_HTML_CHARACTERS = 200_000
"""Characters of an HTML page; a browser is slow with more."""

LINES_AT_ONCE = 200


@dataclass(frozen=True)
class Scored:
    """A symbol of the text, or several bytes shown together.

    Attributes:
        text: the symbol.
        nats: its surprisal; None for the first of the text, which is not predicted.
        likeliest: the most probable symbols in its place, and their probabilities.
    """

    text: str
    nats: float | None
    likeliest: tuple[tuple[str, float], ...] = ()

    @property
    def bits(self) -> float:
        """Surprisal in bits, 0 for the first symbol."""
        return (self.nats or 0.0) / math.log(2)

    @property
    def surprised(self) -> bool:
        """Return whether the likeliest symbols are to be shown."""
        return self.bits >= SURPRISED_BITS


def scored_symbols(model: Model, ids: Ids) -> Iterator[Scored]:
    """Yield the symbols of ids (N,) with their surprisals, a byte at a time in a text of bytes."""
    characters = model.vocabulary.characters
    yield Scored(characters[ids[0]], None)
    for chunk in surprisals(model.config, model.parameters, ids):
        rows = zip(
            ids[chunk.begin : chunk.begin + len(chunk.nats)].tolist(),
            chunk.nats.tolist(),
            chunk.likeliest.tolist(),
            chunk.probabilities.tolist(),
            strict=True,
        )
        for id_, nats, best, p in rows:
            others = tuple(zip((characters[i] for i in best), p, strict=True))
            yield Scored(characters[id_], nats, others)


def decoded(symbols: Iterable[Scored]) -> Iterator[Scored]:
    """Join the bytes that are UTF-8 together."""
    pending: list[Scored] = []

    def arrived() -> Iterator[str]:
        for symbol in symbols:
            pending.append(symbol)
            yield symbol.text

    for text in decode_utf_8(arrived()):
        known = [symbol.nats for symbol in pending if symbol.nats is not None]
        yield Scored(text, math.fsum(known) if known else None, pending[0].likeliest)
        pending.clear()


def picture(symbol: str, *, as_bytes: bool, blank: str = "␣") -> str:
    """Return a symbol as it is shown by itself: no control, hidden or combining character."""
    if as_bytes and len(symbol) == 1 and "\x80" <= symbol <= "\xff":
        return f"\\x{ord(symbol):02x}"
    return blank if symbol == " " else label(symbol)


def glyphs_of(model: Model, ids: Ids) -> Iterator[Scored]:
    """Yield the symbols as they are shown: bytes decoded, each text and likeliest a picture."""
    as_bytes = model.vocabulary.as_bytes
    symbols = scored_symbols(model, ids)
    for symbol in decoded(symbols) if as_bytes else symbols:
        # after `decoded`, a character is itself and no byte
        shown = picture(symbol.text, as_bytes=False, blank=" ")
        best = tuple((picture(other, as_bytes=as_bytes), p) for other, p in symbol.likeliest)
        yield Scored(shown, symbol.nats, best)


def style_and_mark(bits: float) -> tuple[str, str]:
    """Return the style of a level and its mark; both are blank for less than the least."""
    return next(((style, mark) for least, style, mark in LEVELS if bits >= least), ("", " "))


def width_of(glyph: Scored) -> int:
    """Return the columns of a glyph: as wide as the likeliest under it, if it has them."""
    others = [cell_len(other) for other, _ in glyph.likeliest] if glyph.surprised else []
    return max(cell_len(glyph.text), *others, 1)


def terminal_lines(glyphs: Iterable[Scored], columns: int, *, colour: bool) -> Iterator[Text]:
    """Yield lines of at most `columns`: the text, marks if not `colour`, and the likeliest."""
    row: list[Scored] = []
    used = 0
    for glyph in glyphs:
        width = width_of(glyph)
        if row and used + width > columns:
            yield from row_lines(row, colour=colour)
            row, used = [], 0
        row.append(glyph)
        used += width
        if glyph.text == "␊":
            yield from row_lines(row, colour=colour)
            row, used = [], 0
    if row:
        yield from row_lines(row, colour=colour)


def row_lines(row: list[Scored], *, colour: bool) -> Iterator[Text]:
    """Yield one line of text and what stands under it."""
    text, marks = Text(no_wrap=True), Text(no_wrap=True)
    under = [Text(no_wrap=True, style="dim") for _ in range(LIKELIEST)]
    for glyph in row:
        width = width_of(glyph)
        style, mark = style_and_mark(glyph.bits)
        text.append(padded(glyph.text, width), style if colour else "")
        marks.append(padded(mark, width))
        for rank, line in enumerate(under):
            has = glyph.surprised and rank < len(glyph.likeliest)
            line.append(padded(glyph.likeliest[rank][0] if has else "", width))
    yield text
    for line in under if colour else [marks, *under]:
        line.rstrip()
        if line.plain:
            yield line


def padded(text: str, columns: int) -> str:
    """Return a text with blanks after it up to a width."""
    return text + " " * (columns - cell_len(text))


def show_surprisal(model: Model, ids: Ids) -> None:
    """Print the text, coloured or marked by surprisal, on stdout."""
    screen = Screen(highlight=False)
    columns = max(MIN_COLUMNS, min(screen.width, MAX_COLUMNS))
    colour = supports_colour(screen)
    names = "cyan, yellow, red" if colour else ", ".join(mark for *_, mark in reversed(LEVELS))
    answer(Text(f"{names}: {LEGEND}\n"))
    lines = terminal_lines(glyphs_of(model, ids), columns, colour=colour)
    while block := list(islice(lines, LINES_AT_ONCE)):
        answer(Text("\n", no_wrap=True).join(block))
    write_plain("\n")


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Surprisal by character</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1b1b1b; --dim: #595959;
  --a: #d3ecf5; --b: #ffdf80; --c: #ffa8a0; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #e8e8e8; --dim: #a8a8a8;
  --a: #164456; --b: #6a4d00; --c: #8d221c; } }
body { background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 1rem; }
pre { font: 0.95rem/1.5 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.a { background: var(--a); } .b { background: var(--b); } .c { background: var(--c); }
.w { display: inline-block; vertical-align: top; }
.w span { display: block; }
.w small { display: block; font-size: 0.8em; line-height: 1.15; color: var(--dim);
  white-space: pre; }
</style></head><body>
<h1>Surprisal by character</h1>
"""


def html_parts(model: Model, ids: Ids, facts: str) -> Iterator[str]:
    """Yield a self-contained page without scripts; `facts` is a line of figures."""
    yield f"{PAGE}<p>{html.escape(facts)}</p>\n<p>"
    names = ("6 bits or more", "4 to 6 bits", "2 to 4 bits")
    for css, name in reversed(tuple(zip("cba", names, strict=True))):
        yield f'<span class="{css}">{name}</span> '
    yield (
        f"</p>\n<p>Under a character of 6 bits or more: the {LIKELIEST} likeliest instead, the "
        "most probable first. The pointer over one shows its bits and the probabilities.</p>\n"
    )
    if len(ids) > MAX_HTML_CHARACTERS:
        yield f"<p>Only the first {MAX_HTML_CHARACTERS:,} of {len(ids):,} are shown.</p>\n"
    yield "<pre>\n"
    for glyph in glyphs_of(model, ids[:MAX_HTML_CHARACTERS]):
        yield html_glyph(glyph)
    yield "</pre>\n</body></html>\n"


def html_glyph(glyph: Scored) -> str:
    """Return the element of one glyph; a newline is shown as ↵, which more fonts have than ␊."""
    text = html.escape(glyph.text).replace("␊", "↵")
    end = "\n" if glyph.text == "␊" else ""
    if glyph.nats is None:
        return text + end
    likeliest = [(other.replace("␊", "↵"), p) for other, p in glyph.likeliest]
    best = ", ".join(f"{other} {p:.3f}" for other, p in likeliest)
    title = html.escape(f"{glyph.bits:.2f} bits; likeliest: {best}")
    css = next((c for c, (least, *_) in zip("cba", LEVELS, strict=True) if glyph.bits >= least), "")
    shown = f'<span class="{css}" title="{title}">{text}</span>' if css else text
    if not css:
        return f'<span title="{title}">{text}</span>{end}'
    if glyph.surprised:
        under = "\n".join(html.escape(other) for other, _ in likeliest)
        shown = f'<span class="w">{shown}<small>{under}</small></span>'
    return shown + end


def csv_parts(model: Model, ids: Ids) -> Iterator[str]:
    """Yield a header and a row for each symbol, in its exact characters; a byte ≥ 0x80 as \\xe9."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    as_bytes = model.vocabulary.as_bytes

    def exact(symbol: str) -> str:
        return f"\\x{ord(symbol):02x}" if as_bytes and symbol >= "\x80" else symbol

    ranks = range(1, min(LIKELIEST, len(model.vocabulary)) + 1)
    names = [name for rank in ranks for name in (f"likeliest_{rank}", f"probability_{rank}")]
    writer.writerow(["position", "character", "nats", "bits", *names])
    for position, symbol in enumerate(scored_symbols(model, ids)):
        known = symbol.nats is not None
        figures = [f"{symbol.nats:.9g}", f"{symbol.bits:.9g}"] if known else ["", ""]
        best = [field for other, p in symbol.likeliest for field in (exact(other), f"{p:.9g}")]
        blanks = [] if best else [""] * len(names)
        writer.writerow([position, exact(symbol.text), *figures, *best, *blanks])
        if buffer.tell() > 2**16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def check_endings(outputs: Iterable[tuple[str, Path | None]]) -> None:
    """Raise `UsageError` unless the file of an option such as --csv ends in its name."""
    for option, path in outputs:
        ending = f".{option.removeprefix('--')}"
        if path is not None and path.suffix.lower() != ending:
            raise UsageError(
                f"{option} is for a file that ends in {ending}", f"{option} surprisal{ending}"
            )


def save(option: str, path: Path, parts: Callable[[], Iterable[str]]) -> None:
    """Write a file atomically; `StorageError` if that fails."""
    try:
        write_atomically(path, (part.encode("utf-8", "backslashreplace") for part in parts()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StorageError(
            f"cannot write {label(str(path))} ({reason})", f"another file for {option}"
        ) from error
