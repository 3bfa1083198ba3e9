"""Typed text: conversion of command-line and console input to the characters of a model.

    text → unescaped, if it is an option for which escapes hold → without a byte order mark
         → in the normal form of the model's text → UTF-8 bytes, for a model of bytes

Used for every text that does not come from a corpus: prompts, stop texts, inputs to predict, texts
to show or to score. Unknown characters are left in place; the caller refuses them.
"""

import re
import unicodedata
from typing import TYPE_CHECKING

from charrnn.data.characters import repaired
from charrnn.data.decoding import FORMS, MARK
from charrnn.errors import UsageError

if TYPE_CHECKING:
    from charrnn.data.vocabulary import Vocabulary

ESCAPE = re.compile(
    r"\\(?:([nrt\\])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))|\\(.?)", re.DOTALL
)
SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
ESCAPES_HELP = r"\n \r \t \\ \xHH \uHHHH \UHHHHHHHH"
"""The escapes, as a help text or an error lists them."""


def typed(text: str, vocabulary: "Vocabulary", normalise: str | None = None) -> str:
    """Return a text as the model's own text is written.

    Args:
        text: what was typed, or read from a file or a pipe.
        vocabulary: of the model; decides between characters and bytes.
        normalise: the normal form of the model's text: nfc, nfd, nfkc or nfkd.

    Returns:
        The text in the vocabulary's kind of characters, known or not. A leading byte order mark is
        dropped if the model does not know it.
    """
    return without_mark(_spelled(repaired(text), vocabulary, normalise), vocabulary)


def without_mark(text: str, vocabulary: "Vocabulary") -> str:
    """Return a text in the vocabulary's characters without a leading byte order mark.

    The mark is kept if the model knows it.
    """
    mark = vocabulary.to_model_characters(MARK)
    return text.removeprefix(mark) if vocabulary.unknown(mark) else text


def typed_with_escapes(
    text: str, option: str, vocabulary: "Vocabulary", normalise: str | None = None
) -> str:
    """Return the value of `option` as `typed`, its escapes replaced first.

    `\\xHH` is U+00HH, and the byte HH for a model of bytes. Raises `UsageError` for a backslash
    that begins none of the escapes.

    Example:
        >>> from charrnn.data.vocabulary import Vocabulary
        >>> typed_with_escapes(r"\\r\\n", "--stop", Vocabulary("\\n\\rab"))
        '\\r\\n'
    """
    parts: list[str] = []
    characters: list[str] = []

    def finish() -> None:
        parts.append(_spelled(repaired("".join(characters)), vocabulary, normalise))
        characters.clear()

    end = 0
    for found in ESCAPE.finditer(text):
        characters.append(text[end : found.start()])
        end = found.end()
        simple, two, four, eight, _ = found.groups()
        if simple:
            characters.append(SIMPLE[simple])
        elif two and vocabulary.as_bytes:
            finish()
            parts.append(chr(int(two, 16)))
        elif code := two or four or eight:
            characters.append(_character(int(code, 16), option, found[0]))
        else:
            raise UsageError(
                f"{option} holds {found[0]}, which is no escape ({ESCAPES_HELP})",
                r"\\ for a backslash",
            )
    characters.append(text[end:])
    finish()
    return "".join(parts)


def escaped(text: str) -> str:
    """Return a text with its line ends, tabs and backslashes written as escapes."""
    names = {character: f"\\{letter}" for letter, character in SIMPLE.items()}
    return "".join(names.get(character, character) for character in text)


def normal_form(text: str, normalise: str | None) -> str:
    """Return a text in a normal form, if one is given."""
    return text if normalise is None else unicodedata.normalize(FORMS[normalise], text)


def _spelled(text: str, vocabulary: "Vocabulary", normalise: str | None) -> str:
    return vocabulary.to_model_characters(
        normal_form(text, None if vocabulary.as_bytes else normalise)
    )


def _character(code: int, option: str, escape: str) -> str:
    """Return the character of a code point; `UsageError` if there is none."""
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise UsageError(
            f"{option} holds {escape}, and U+{code:04X} is no character",
            "a code point up to U+10FFFF",
        )
    return chr(code)
