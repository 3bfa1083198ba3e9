"""Text for display: width in columns, decoded bytes, lists of characters.

Running text is made safe by `safe_text.visible`, the name of a file or a run by `safe_text.label`;
lists of characters go through `listed`, which names what cannot be seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len, set_cell_size

from charrnn.cli.output.safe_text import BIDI, SEPARATORS, decode_utf_8, one_line, visible
from charrnn.data.characters import code_name, enumerated, stands_alone

MAX_LISTED = 300
"""Characters of a vocabulary that are shown side by side."""

MAX_HIDDEN = 12
"""Characters of a vocabulary that are named because they cannot be seen."""


def cut(text: str, columns: int) -> str:
    """Return as much of the beginning of a line as fits into so many columns."""
    return text if cell_len(text) <= columns else set_cell_size(text, columns).rstrip(" ")


def cut_start(text: str, columns: int) -> str:
    """Return as much of the end of a line as fits into so many columns, after an ellipsis."""
    if cell_len(text) <= columns:
        return text
    end = text
    while end and cell_len(end) > columns - 1:
        end = end[1:]
    while end and not stands_alone(end[0]):
        end = end[1:]
    return f"…{end}"


def decoded_text(text: str, *, as_bytes: bool) -> str:
    """Return generated text as it is to be read: of bytes, decoded as UTF-8."""
    return "".join(decode_utf_8([text])) if as_bytes else text


def glyphs(
    text: str, strengths: Sequence[float], *, as_bytes: bool
) -> tuple[list[str], list[float]]:
    """Return the visible characters of a text, and a number for each: the sum over its bytes.

    Args:
        text: characters, or bytes as characters U+0000 to U+00FF.
        strengths: a number for each of them.
        as_bytes: whether they stand for bytes; those that are UTF-8 together are shown together.
    """
    if not as_bytes:
        return list(text), list(strengths)
    shown: list[str] = []
    sums: list[float] = []
    pending: list[float] = []

    def arrived() -> Iterator[str]:
        for character, strength in zip(text, strengths, strict=True):
            pending.append(strength)
            yield character

    for chunk in decode_utf_8(arrived()):
        shown.append(chunk)
        sums.append(sum(pending))
        pending.clear()
    return shown, sums


def listed(characters: Iterable[str], *, limit: int = MAX_LISTED) -> str:
    """Return characters side by side, then the names of those that cannot be seen alone.

    Controls are shown by their pictures, ␊ and so on.

    Example:
        >>> listed("ab\\n\\u200b\\u0301")
        'ab␊, U+200B ZERO WIDTH SPACE, U+0301 COMBINING ACUTE ACCENT'
    """
    seen, hidden = split_hidden(characters)
    shown = side_by_side(seen, limit)
    names = enumerated(map(code_name, hidden[:MAX_HIDDEN]), len(hidden))
    return ", ".join(filter(None, (shown, names)))


def split_hidden(characters: Iterable[str]) -> tuple[str, str]:
    """Return the characters that can be shown side by side, and the others."""
    seen: list[str] = []
    hidden: list[str] = []
    for character in characters:
        pictured = visible(character) != character and character not in BIDI + SEPARATORS
        (seen if pictured or character in "\n\t" or stands_alone(character) else hidden).append(
            character
        )
    return "".join(seen), "".join(hidden)


def side_by_side(characters: str, limit: int = MAX_LISTED) -> str:
    """Return the first characters on one line, and how many more there are."""
    rest = len(characters) - limit
    return one_line(characters[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def listed_bytes(characters: str) -> str:
    """Return bytes, as characters U+0000 to U+00FF: ASCII side by side, then ranges of the others.

    Example:
        >>> listed_bytes("ab\\n\\x80\\x81\\xff")
        '␊ab, 0x80–0x81, 0xFF'
    """
    codes = sorted(map(ord, characters))
    ascii_text = "".join(chr(code) for code in codes if code < 0x80)
    ranges = []
    for _, group in groupby(
        enumerate(code for code in codes if code >= 0x80), lambda x: x[1] - x[0]
    ):
        run = [code for _, code in group]
        ranges.append(f"0x{run[0]:02X}" + (f"–0x{run[-1]:02X}" if len(run) > 1 else ""))
    return ", ".join(filter(None, (one_line(ascii_text), *ranges)))
