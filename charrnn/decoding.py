"""From bytes to characters: strictly, and with advice where that fails."""

import codecs
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from charrnn.errors import TextError, UsageError

HEAD = 2**13
"""Bytes at the beginning of a file that decide whether it is text."""

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: dict[str, Form] = {form.lower(): form for form in get_args(Form)}

MARKS = {  # UTF-32 before UTF-16, whose little-endian mark is how the other's begins
    "utf-8": codecs.BOM_UTF8,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


@dataclass(frozen=True)
class TextOptions:
    """How bytes become characters. Raises UsageError for what does not exist or make sense."""

    encoding: str = "utf-8"
    as_bytes: bool = False  # each byte one character, no encoding involved
    normalise: str | None = None

    def __post_init__(self) -> None:
        try:
            "a".encode(self.encoding)
        except (LookupError, ValueError) as error:
            message = f"no text encoding {self.encoding[:40]!r}; try utf-8, cp1252 or utf-16"
            raise UsageError(message) from error
        if self.normalise is not None and self.normalise not in FORMS:
            raise UsageError(f"no normal form {self.normalise[:40]!r}; try {', '.join(FORMS)}")
        if self.normalise is not None and self.as_bytes:
            raise UsageError("bytes have no normal form; try only one of --bytes and --normalise")


STRICT_UTF_8 = TextOptions()


def decode(content: bytearray, name: str, options: TextOptions) -> tuple[str, list[str]]:
    """Turn the bytes of `name` into characters; a byte order mark is dropped, with a remark.

    Raises TextError with the place, and an encoding that does work, for what cannot be decoded.
    """
    if options.as_bytes:
        return content.decode("latin-1"), []
    codec = codecs.lookup(options.encoding).name
    mark = MARKS.get(codec, b"")
    start = len(mark) if content.startswith(mark) else 0
    try:
        text = str(memoryview(content)[start:], codec)
    except UnicodeError as error:
        offset = start + getattr(error, "start", 0)
        line = str(content[start:offset], codec, "ignore").count("\n") + 1
        raise TextError(
            f"{name} is not {codec.upper()} (byte 0x{content[offset]:02x} at offset {offset}, "
            f"line {line}); try {_advice(content, offset)}"
        ) from error
    if codec == "utf-8" and "\0" in text and (guess := _zeros_of_utf_16(content)):
        raise TextError(
            f"{name} looks like UTF-16, zeros are in every other place; try --encoding {guess}, "
            "or --bytes to keep the zeros"
        )
    return text, ["begins with a byte order mark, dropped"] if start else []


def _advice(content: bytearray, offset: int) -> str:
    """Suggest how to read what does not decode at `offset`, and only what does work."""
    guesses = [codec[:6] for codec, mark in MARKS.items() if content.startswith(mark)]
    guesses += ["utf-8", _zeros_of_utf_16(content)]
    # Accented letters before the offset mean damaged UTF-8; as cp1252 all of them would be wrong.
    if content[:offset].isascii():
        guesses.append("cp1252" if re.search(rb"[\x80-\x9f]", content) else "latin-1")
    for encoding in filter(None, guesses):
        with suppress(UnicodeError):
            str(content, encoding)
            return f"--encoding {encoding}"
    return "--bytes, or an undamaged copy"


def _zeros_of_utf_16(content: bytearray) -> str:
    """Name the UTF-16 without a mark that `content` seems to be, or return "".

    Its spaces and Western letters have a zero in one half, and hardly anything has in the other.
    """
    head = content[:HEAD]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < max(8, 0.04 * len(head)) or min(even, odd) > 0.01 * len(head):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"
