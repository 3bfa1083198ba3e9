"""Text features: a number for every character of a text, such as its position in the line.

A value depends on the text up to and including its character only, as the state of a network does
after it has read that character.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from charrnn.types import Array

TAB_COLUMNS = 8
"""Columns between two tab stops."""

MAX_BRACKET_CHARS = 1000
"""Characters after which an opening bracket without a closing one is ignored."""

CLOSING = {")": "(", "]": "[", "}": "{"}
QUOTES = {"“": "”", "„": "“", "«": "»", '"': '"'}
"""Closing mark of each quotation mark. Single ones are left out: most of them are apostrophes."""


def line_positions(text: str) -> Iterator[float]:
    """Yield the characters since the last newline; 0 at a newline."""
    position = 0
    for character in text:
        position = 0 if character == "\n" else position + 1
        yield position


def quote_depths(text: str) -> Iterator[float]:
    """Yield 1 from an opening quotation mark to before its closing one, else 0.

    A blank line ends a quotation, so that a missing mark does not invert the rest of the text.
    """
    closing, previous = "", ""
    for character in text:
        if closing:
            if character == closing or character == previous == "\n":
                closing = ""
        else:
            closing = QUOTES.get(character, "")
        previous = character
        yield bool(closing)


def bracket_depths(text: str) -> Iterator[float]:
    """Yield the number of brackets, (, [ or {, that are open after each character.

    A closing bracket also closes those that were opened within its own; one that closes nothing is
    ignored.
    """
    opened: list[tuple[str, int]] = []
    for position, character in enumerate(text):
        while opened and position - opened[0][1] >= MAX_BRACKET_CHARS:
            del opened[0]
        if character in "([{":
            opened.append((character, position))
        elif character in CLOSING:
            partner = CLOSING[character]
            if any(bracket == partner for bracket, _ in opened):
                while opened.pop()[0] != partner:
                    pass
        yield len(opened)


def indentations(text: str) -> Iterator[float]:
    """Yield the columns of blanks at the beginning of the line, as far as it has been read."""
    columns, beginning = 0, True
    for character in text:
        if character == "\n":
            columns, beginning = 0, True
        elif beginning and character == " ":
            columns += 1
        elif beginning and character == "\t":
            columns += TAB_COLUMNS - columns % TAB_COLUMNS
        else:
            beginning = False
        yield columns


def word_positions(text: str) -> Iterator[float]:
    """Yield the characters since the last boundary of a word; 0 outside words."""
    position = 0
    for character in text:
        position = position + 1 if is_word(character) else 0
        yield position


def word_boundaries(text: str) -> Iterator[float]:
    """Yield 1 for a character outside words, else 0."""
    return (not is_word(character) for character in text)


def capitals(text: str) -> Iterator[float]:
    """Yield 1 for a capital letter, else 0."""
    return (character.isupper() for character in text)


def is_word(character: str) -> bool:
    """Return whether a character belongs to a word: a letter, digit, underscore or apostrophe."""
    return character.isalnum() or character in "_'’"


FEATURES: Mapping[str, Callable[[str], Iterator[float]]] = {
    "position in the line": line_positions,
    "inside quotes": quote_depths,
    "depth of brackets": bracket_depths,
    "indentation": indentations,
    "capital letter": capitals,
    "position in the word": word_positions,
    "word boundary": word_boundaries,
}
"""Features of texts by name."""


def text_features(text: str, *, as_bytes: bool = False) -> dict[str, Array]:
    """Return the features of a text by name, each an array (N,) of float32.

    Args:
        text: the text of N characters.
        as_bytes: whether its characters, U+0000 to U+00FF, are bytes. They are decoded as UTF-8,
            and every byte of a character has the value of that character.

    Example:
        >>> text_features("a (b)\\n")["depth of brackets"].tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    repeats: Array | None = None
    if as_bytes:
        text = text.encode("latin-1").decode("utf-8", "surrogateescape")
        repeats = np.array([len(c.encode("utf-8", "surrogateescape")) for c in text], np.int64)
    found = {}
    for name, feature in FEATURES.items():
        values = np.fromiter(feature(text), np.float32, len(text))
        found[name] = values if repeats is None else np.repeat(values, repeats)
    return found
