"""Surprisal of every character of a text: for the terminal, as an HTML page, as CSV rows.

A character that surprised by `SURPRISED_BITS` or more has the likeliest ones under it, the most
probable first. In a text of bytes, those that are UTF-8 together are shown together: their
surprisals are added, and the likeliest are those of the first byte. CSV has one row a byte.
"""

import csv
import html
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

from charrnn.cli.output.console import answer
from charrnn.cli.output.marked_text import Glyph, has_colour, picture, show_marked
from charrnn.cli.output.output_files import MAX_HTML_CHARACTERS, PAGE_END, page_head
from charrnn.cli.output.safe_text import decode_utf_8, write_plain
from charrnn.evaluation.surprisal import LIKELIEST
from charrnn.inference.model import Model
from charrnn.types import Ids

SURPRISED_BITS = 6
"""Bits from which the likeliest characters are shown: a probability of 1/64 or less."""

LEVELS = ((6, "white on red", "#"), (4, "black on yellow", "+"), (2, "black on cyan", "."))
"""Least bits of each level, most first; its style, and its mark where there is no colour."""

LEGEND = f"2, 4, 6 bits or more; under 6 or more, the {LIKELIEST} likeliest instead"


@dataclass(frozen=True)
class Scored:
    """A symbol of the text, or several bytes shown together.

    Attributes:
        text: the symbol.
        nats: its surprisal; None for the first of the text, which is not predicted.
        likeliest: the most probable symbols in its place, and their probabilities.
        symbols: number of symbols of the model that are shown together.
    """

    text: str
    nats: float | None
    likeliest: tuple[tuple[str, float], ...] = ()
    symbols: int = 1

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
    for chunk in model.surprisals(ids):
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
        nats = math.fsum(known) if known else None
        yield Scored(text, nats, pending[0].likeliest, len(pending))
        pending.clear()


def glyphs_of(model: Model, ids: Ids) -> Iterator[Scored]:
    """Yield the symbols as they are shown: bytes decoded, each text and likeliest a picture."""
    as_bytes = model.vocabulary.as_bytes
    symbols = scored_symbols(model, ids)
    for symbol in decoded(symbols) if as_bytes else symbols:
        # after `decoded`, a character is itself and no byte
        shown = picture(symbol.text, as_bytes=False, blank=" ")
        best = tuple((picture(other, as_bytes=as_bytes), p) for other, p in symbol.likeliest)
        yield Scored(shown, symbol.nats, best, symbol.symbols)


def style_and_mark(bits: float) -> tuple[str, str]:
    """Return the style of a level and its mark; both are blank for less than the least."""
    return next(((style, mark) for least, style, mark in LEVELS if bits >= least), ("", " "))


def marked(glyph: Scored) -> Glyph:
    """Return a glyph with its style, its mark and the likeliest under it."""
    under = tuple(other for other, _ in glyph.likeliest) if glyph.surprised else ()
    return Glyph(glyph.text, *style_and_mark(glyph.bits), under)


def show_surprisal(model: Model, ids: Ids) -> None:
    """Print the text, coloured or marked by surprisal, on stdout."""
    marks = ", ".join(mark for *_, mark in reversed(LEVELS))
    names = "cyan, yellow, red" if has_colour() else marks
    answer(Text(f"{names}: {LEGEND}\n"))
    show_marked(map(marked, glyphs_of(model, ids)))
    write_plain("\n")


STYLES = """:root { --a: #d3ecf5; --b: #ffdf80; --c: #ffa8a0; }
@media (prefers-color-scheme: dark) { :root { --a: #164456; --b: #6a4d00; --c: #8d221c; } }
.a { background: var(--a); } .b { background: var(--b); } .c { background: var(--c); }
.w { display: inline-block; vertical-align: top; }
.w span { display: block; }
.w small { display: block; font-size: 0.8em; line-height: 1.15; color: var(--dim);
  white-space: pre; }
"""


def html_parts(model: Model, ids: Ids, facts: str) -> Iterator[str]:
    """Yield a self-contained page without scripts; `facts` is a line of figures."""
    yield f"{page_head('Surprisal by character', STYLES)}<p>{html.escape(facts)}</p>\n<p>"
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
    yield f"</pre>\n{PAGE_END}"


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
