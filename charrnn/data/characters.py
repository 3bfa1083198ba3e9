"""Character names for messages, and the characters that are invisible by themselves.

é          'é' U+00E9
U+0301     U+0301 COMBINING ACUTE ACCENT      would attach to the quote before it
U+200B     U+200B ZERO WIDTH SPACE            shows nothing
U+DCE9     byte 0xE9 (not UTF-8) U+DCE9       from an argument that could not be decoded
"""

import unicodedata
from collections.abc import Iterable

HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
"""Invisible: controls, formats, unassigned, private use, surrogates, separators."""

HIDDEN_OTHERS = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    )
)
"""Fillers, the blank braille pattern and variation selectors, of other categories."""

JAMO = frozenset((*range(0x1160, 0x1200), *range(0xD7B0, 0xD800)))
"""Hangul vowels and finals, which join the letter before them."""

UNDECODED = range(0xDC80, 0xDD00)
"""What Python makes of the bytes 0x80 to 0xFF of an argument that it cannot decode."""

MAX_NAMED = 5
"""Characters that a message names before it says how many more there are."""


def repaired(text: str) -> str:
    """Return an argument whose bytes are UTF-8 although the locale is not, as what they mean.

    Bytes that are not UTF-8 stay what Python made of them.
    """
    if not any("\udc80" <= character <= "\udcff" for character in text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def is_hidden(character: str) -> bool:
    """Return whether a character shows nothing, or a blank that is not a space."""
    if character == " ":
        return False
    return unicodedata.category(character) in HIDDEN_CATEGORIES or ord(character) in HIDDEN_OTHERS


def is_combining(character: str) -> bool:
    """Return whether a character is drawn on, or joined to, the one before it."""
    return unicodedata.category(character).startswith("M") or ord(character) in JAMO


def stands_alone(character: str) -> bool:
    """Return whether a character can be seen for what it is without any other beside it."""
    return not (is_hidden(character) or is_combining(character))


def code_name(character: str) -> str:
    """Return the code point of a character and its Unicode name.

    Example:
        >>> code_name("\\u200b")
        'U+200B ZERO WIDTH SPACE'
    """
    code = ord(character)
    if code in UNDECODED:
        return f"byte 0x{code - 0xDC00:02X} (not UTF-8) U+{code:04X}"
    if code < 0x20 or code == 0x7F:  # Unicode names the pictures of controls, not the controls
        picture = chr(0x2421 if code == 0x7F else 0x2400 + code)
        return f"U+{code:04X} {unicodedata.name(picture).removeprefix('SYMBOL FOR ')}"
    category = unicodedata.category(character)
    kinds = {"Cc": "control", "Cn": "unassigned", "Co": "private use", "Cs": "surrogate"}
    return f"U+{code:04X} {unicodedata.name(character, kinds.get(category, 'unnamed'))}"


def named(character: str) -> str:
    """Return a character for a message: in quotes and by its code point, or by its name.

    Example:
        >>> named("é"), named("\\u0301")
        ("'é' U+00E9", 'U+0301 COMBINING ACUTE ACCENT')
    """
    if not stands_alone(character):
        return code_name(character)
    return f"{quoted(character)} U+{ord(character):04X}"


def byte_name(character: str) -> str:
    """Return the name of a byte, U+0000 to U+00FF, for a message: `byte 0xE9`, `'a'` if ASCII."""
    code = ord(character)
    return quoted(character) if 0x20 <= code < 0x7F else f"byte 0x{code:02X}"


def labelled(text: str) -> str:
    """Return a text on one line in which no character is hidden: those are shown as `<U+200B>`.

    So is a combining mark that has no character to stand on. A label of visible characters stays
    as it is.
    """
    shown = []
    bare = True
    for character in text:
        combining = is_combining(character)
        hidden = is_hidden(character) or (combining and bare)
        shown.append(f"<U+{ord(character):04X}>" if hidden else character)
        bare = hidden or (bare if combining else not character.isalnum())
    return "".join(shown)


def quoted(symbol: str) -> str:
    """Return a symbol, a character or a label, in quotes; one that cannot be seen by its name."""
    if len(symbol) == 1 and not stands_alone(symbol):
        return code_name(symbol)
    mark = '"' if "'" in symbol and '"' not in symbol else "'"
    return f"{mark}{labelled(symbol)}{mark}"


def enumerated(names: Iterable[str], total: int) -> str:
    """Join the first names, and say how many more there are.

    Example:
        >>> enumerated(["a", "b"], 2), enumerated(["a", "b"], 9000)
        ('a, b', 'a, b and 8,998 more')
    """
    shown = list(names)
    rest = total - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")
