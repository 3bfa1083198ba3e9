"""Decoding of text files, strict, with advice on encodings in its errors.

Reading a whole file and reading it in chunks use the same functions: `check_head` before decoding,
`undecodable` for the error, and `TextFacts` for checks and remarks after the last character.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Literal, get_args

from charrnn.data.encoding_detection import (
    HEAD_BYTES,
    ReadChunks,
    encoding_advice,
    mark_of,
    utf_16_order,
    with_order,
    zeros_of,
)
from charrnn.errors import TextError, UsageError
from charrnn.limits import check_kind

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: dict[str, Form] = {form.lower(): form for form in get_args(Form)}

UTF_16 = ("utf-16", "utf-16-le", "utf-16-be")
UTF_32 = ("utf-32", "utf-32-le", "utf-32-be")
MARK = "\ufeff"
SURROGATES = re.compile("[\ud800-\udfff]")
UNDAMAGED = "an undamaged copy"


def check_normal_form(name: str | None) -> None:
    """Raise `UsageError` for an unknown normal form; None is allowed."""
    if name is None:
        return
    check_kind("normalise", name, str)
    if name not in FORMS:
        raise UsageError(f"no normal form {name[:40]!r}; try {', '.join(FORMS)}")


@dataclass(frozen=True)
class TextOptions:
    """Options for decoding a text. Raises UsageError for an unknown encoding or normal form."""

    encoding: str = "utf-8"
    as_bytes: bool = False  # each byte one character, no encoding involved
    normalise: str | None = None

    def __post_init__(self) -> None:
        try:
            "a".encode(self.encoding)
            codecs.getincrementaldecoder(self.encoding)
        except (LookupError, ValueError) as error:
            message = f"no text encoding {self.encoding[:40]!r}; try utf-8, cp1252 or utf-16"
            raise UsageError(message) from error
        check_normal_form(self.normalise)
        if self.normalise is not None and self.as_bytes:
            raise UsageError("bytes have no normal form; try only one of --bytes and --normalize")

    @property
    def codec(self) -> str:
        """The codec's canonical name. Byte order marks are dropped here, not by `utf-8-sig`."""
        if self.as_bytes:
            return "latin-1"
        return codecs.lookup(self.encoding).name.removesuffix("-sig")


STRICT_UTF_8 = TextOptions()


@dataclass
class TextFacts:
    """Counts of line ends, NULs and byte order marks in a decoded file, added chunk by chunk."""

    marks: int = 0
    """Byte order marks at the beginning."""
    characters: int = 0
    crlf: int = 0
    cr: int = 0
    """Carriage returns, with or without a line feed."""
    lf: int = 0
    nul: bool = False
    _last: str = ""

    def add(self, text: str) -> str:
        """Count a chunk; return it without byte order marks, if it is at the beginning."""
        if not self.characters and text.startswith(MARK):
            rest = text.lstrip(MARK)
            self.marks += len(text) - len(rest)
            text = rest
        if text:
            self.characters += len(text)
            self.crlf += text.count("\r\n") + (self._last == "\r" and text[0] == "\n")
            self.cr += text.count("\r")
            self.lf += text.count("\n")
            self.nul = self.nul or "\0" in text
            self._last = text[-1]
        return text

    def remarks(self) -> list[str]:
        """Return remarks about byte order marks, line ends and NULs."""
        found = []
        if self.marks:
            found.append("begins with a byte order mark, dropped")
        if not self.characters:
            found.append("is empty")
        found += filter(None, [line_ends(self.crlf, self.cr - self.crlf, self.lf - self.crlf)])
        if self.nul:
            found.append("has NUL characters, kept")
        return found


def line_ends(crlf: int, cr: int, lf: int) -> str:
    """Describe line ends other than LF, given how often each kind occurs, with how to convert."""
    kinds = [name for name, count in (("CRLF", crlf), ("CR", cr), ("LF", lf)) if count]
    if not crlf and not cr:
        return ""
    if kinds == ["CRLF"]:
        return "has CRLF line ends, kept"
    how = {
        (False, True): r"tr '\r' '\n'",
        (True, False): r"tr -d '\r'",
        (True, True): r"sed 's/\r$//' | tr '\r' '\n'",
    }[crlf > 0, cr > 0]
    if kinds == ["CR"]:
        return f"has lone CRs, kept; {how} would convert them"
    return f"has mixed line ends ({', '.join(kinds)}), kept; {how} would convert them"


def decode(content: bytearray, name: str, options: TextOptions) -> tuple[str, TextFacts]:
    """Return the characters of `content` without leading byte order marks, and facts about them.

    Raises TextError with the offset, the line and an encoding that works, if there is one, for
    bytes that cannot be decoded; `name` stands for the file in the message.
    """
    facts = TextFacts()
    if options.as_bytes:
        return facts.add(content.decode("latin-1")), facts
    head = content[:HEAD_BYTES]
    check_head(head, name, options)
    codec = with_order(options.codec, head)
    try:
        text = str(content, codec)
    except UnicodeError as error:
        offset = getattr(error, "start", 0)
        line = str(content[:offset], codec, "ignore").count("\n") + 1
        raise undecodable(name, codec, offset, line, lambda: [content]) from error
    text = facts.add(text)
    check_characters(text, name, options)
    if facts.nul:
        check_zeros(head, len(content), name, options)
    return text, facts


def check_head(head: bytes | bytearray, name: str, options: TextOptions) -> None:
    """Raise TextError if the first bytes of a file show another encoding than the given one."""
    codec = options.codec
    if options.as_bytes or codec in ("utf-8", "ascii"):  # which fail at the mark
        return
    marked = mark_of(head)
    if marked is not None:
        allowed = {marked, marked[:6]}
        if marked == "utf-32-le":  # or UTF-16 that begins with a NUL
            allowed |= {"utf-16", "utf-16-le"}
        if codec not in allowed:
            raise TextError(
                f"{name} begins with the byte order mark of {marked.upper()}, "
                f"which contradicts the encoding {codec}",
                f"--encoding {marked[:6]}",
            )
    elif codec in UTF_16:
        order = utf_16_order(head)
        own = with_order(codec, head)
        if order and order != own:
            without = " without a mark" if codec == "utf-16" else ""
            raise TextError(f"{name} looks like {order.upper()}{without}", f"--encoding {order}")
        if not order and _is_utf_8(head):
            raise TextError(f"{name} looks like UTF-8, not UTF-16", "--encoding utf-8")


def _is_utf_8(head: bytes | bytearray) -> bool:
    """Whether `head` is UTF-8 without NUL, which UTF-16 hardly ever is."""
    if b"\0" in head or len(head) < 4:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(bytes(head))
    except UnicodeError:
        return False
    return True


def check_zeros(head: bytes | bytearray, size: int, name: str, options: TextOptions) -> None:
    """Raise TextError if a file that decodes, but holds NULs, is UTF-16 without a mark."""
    if options.as_bytes or options.codec in (*UTF_16, *UTF_32):
        return
    if guess := zeros_of(head):
        kind, width = guess[:6].upper(), int(guess[4:6]) // 8
        if size % width:
            raise _half_a_character(f"{name} looks like {kind}", size % width)
        where = "every other place" if width == 2 else "half of all places"
        raise TextError(
            f"{name} looks like {kind}, zeros are in {where}",
            f"--encoding {guess}",
            "--bytes to keep the zeros",
        )


def check_characters(text: str, name: str, options: TextOptions) -> None:
    """Raise TextError for halves of surrogate pairs, which a few codecs let pass."""
    if options.as_bytes or options.codec in ("utf-8", *UTF_16, *UTF_32) or text.isascii():
        return  # these let none pass
    if found := SURROGATES.search(text):
        raise TextError(
            f"{name} holds half of a surrogate pair, U+{ord(found[0]):04X}", UNDAMAGED, "--bytes"
        )


def undecodable(name: str, codec: str, offset: int, line: int, chunks: ReadChunks) -> TextError:
    """Return the error for a file whose byte at `offset`, in line `line`, does not decode."""
    size, bad, head = 0, b"", b""
    for chunk in chunks():
        head += bytes(chunk[: 4 - len(head)])
        begin = max(0, offset - size)
        bad += bytes(chunk[begin : begin + 4 - len(bad)])
        size += len(chunk)
    marked = mark_of(head) or ""
    if codec in (*UTF_16, *UTF_32) and size - offset < 4:
        return _half_a_character(f"{name} is cut ({codec.upper()})", size - offset)
    if marked in UTF_16 and size % 2 and codec not in UTF_16:
        return _half_a_character(f"{name} is {marked.upper()} by its byte order mark", 1)
    what = f"byte 0x{bad[0]:02x} at offset {offset}" if bad else f"at offset {offset}"
    if codec == "utf-8" and bad[:1] == b"\xed" and bad[1:2] >= b"\xa0":
        what = f"half of a surrogate pair at offset {offset}"
    problem = f"{name} is not {codec.upper()} ({what}, line {line})"
    if advice := encoding_advice(chunks, offset):
        return TextError(problem, advice)
    return TextError(problem, "--bytes", UNDAMAGED)


def _half_a_character(problem: str, count: int) -> TextError:
    """Return the error for a file whose last bytes are not a whole character."""
    which = "the last byte is" if count == 1 else f"the last {count} bytes are"
    return TextError(f"{problem}, and {which} half a character", UNDAMAGED, "--bytes")
