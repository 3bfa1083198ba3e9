"""Encoding detection for files that do not decode: which encodings do, and are plausible."""

import codecs
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

HEAD = 2**13
"""Bytes at the beginning of a file that decide whether it is text, and in which byte order."""

SAMPLE = 2**16
"""Bytes after the first undecodable one that decide which encodings are plausible."""

MARKS = {  # UTF-32 before UTF-16, whose little-endian mark is the beginning of the other's
    "utf-8": codecs.BOM_UTF8,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}

CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32)])
"""Bytes that occur in no text of one byte per character: controls, without white space and ESC."""

Pieces = Callable[[], Iterable[bytes | bytearray]]
"""Returns the content of a file from its beginning, piece by piece, each time it is called."""


class Family(NamedTuple):
    """An encoding, the language it suggests, and the characters expected of such a text."""

    encoding: str
    language: str
    expected: re.Pattern[str]
    required: re.Pattern[str] | None = None


CYRILLIC, HAN = re.compile("[а-яёіїєґў]"), re.compile("[一-鿿、。，！？]")
KANA, JAPANESE = re.compile("[ぁ-ヿ]"), re.compile("[ぁ-ヿ一-鿿、。]")

FAMILIES = (
    Family("cp1251", "Russian", CYRILLIC),
    Family("koi8-r", "Russian", CYRILLIC),
    Family("cp866", "Russian", CYRILLIC),
    Family("iso8859-5", "Russian", CYRILLIC),
    Family("cp1256", "Arabic", re.compile("[\u0621-\u0652پچژگ،؟]")),
    Family("iso8859-6", "Arabic", re.compile("[\u0621-\u0652،؟]")),
    Family("cp1253", "Greek", re.compile("[α-ωάέήίόύώϊϋ]")),
    Family("cp1255", "Hebrew", re.compile("[\u05b0-\u05ea]")),
    Family("cp874", "Thai", re.compile("[\u0e01-\u0e5b]")),
    Family("shift_jis", "Japanese", JAPANESE, KANA),
    Family("cp932", "Japanese", JAPANESE, KANA),
    Family("euc_jp", "Japanese", JAPANESE, KANA),
    Family("gb18030", "Chinese", HAN),
    Family("big5", "Chinese", HAN),
    Family("euc_kr", "Korean", re.compile("[가-힣]")),
    Family("cp949", "Korean", re.compile("[가-힣]")),
)

LEAST_SHARE = 0.6
"""Share of the non-ASCII characters that must be the expected ones."""

MOST_FAMILIES = 3


def mark_of(head: bytes | bytearray) -> str | None:
    """Name the UTF whose byte order mark `head` begins with."""
    return next((codec for codec, mark in MARKS.items() if head.startswith(mark)), None)


def zeros_of(content: bytes | bytearray) -> str:
    """Name the UTF-16 or UTF-32 without a mark that `content` seems to be, or return "".

    In UTF-16, spaces and Western letters have a zero in one half, and hardly anything has in the
    other; in UTF-32 every character has a zero at one end.
    """
    head = content[:HEAD]
    if len(head) >= 16 and any(head):
        if not any(head[::4]) and head[1::4].count(0) >= len(head) / 5:
            return "utf-32-be"
        if not any(head[3::4]) and head[2::4].count(0) >= len(head) / 5:
            return "utf-32-le"
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < max(8, 0.04 * len(head)) or min(even, odd) > 0.01 * len(head):
        return ""
    controls = len(head) - len(bytes(head).translate(None, CONTROLS))
    if even + odd < 0.3 * len(head) and controls < 0.1 * len(head):
        return ""  # a text with some NULs, for other scripts than Latin have controls as halves
    return "utf-16-le" if odd > even else "utf-16-be"


COMMON = frozenset("\t\n\r ,.、。，")
"""Characters that hardly any text lacks, and whose bytes in the other order are rare ones."""


def utf_16_order(content: bytes | bytearray) -> str:
    """Name the byte order of UTF-16 without a mark, or return "" if it is not evident.

    Beside the zeros: some characters are common, and a script takes few different high bytes.
    """
    head = bytes(content[:HEAD])
    if (found := zeros_of(content)).startswith("utf-16"):
        return found
    orders = ("utf-16-le", "utf-16-be")
    little, big = (
        sum(character in COMMON for character in head.decode(order, "replace")) for order in orders
    )
    if min(little, big) == 0 and max(little, big) >= 3:
        return orders[big > little]
    even, odd = len(set(head[::2])), len(set(head[1::2]))
    if len(head) < 64 or 2 * min(even, odd) > max(even, odd):
        return ""
    return "utf-16-be" if even < odd else "utf-16-le"


def with_order(codec: str, head: bytes | bytearray) -> str:
    """Give UTF-16 or UTF-32 without a mark the byte order that Python's codecs fall back to."""
    if codec not in ("utf-16", "utf-32") or (mark_of(head) or "").startswith(codec):
        return codec
    if codec == "utf-16" and head.startswith(MARKS["utf-16-le"]):  # followed by a NUL
        return codec
    return f"{codec}-{sys.byteorder[0]}e"


def encoding_advice(pieces: Pieces, offset: int) -> str:
    """Return `--encoding …` with encodings that decode all of a file, or "" if none is plausible.

    `offset` is that of the first byte that did not decode.
    """
    head, sample, before_is_ascii = _look(pieces(), offset)
    marked = mark_of(head)
    guesses = [marked[:6]] if marked else []
    guesses += ["utf-8", *filter(None, [zeros_of(head)]), "utf-32-le", "utf-32-be"]
    # Letters with accents before the offset mean damaged UTF-8, which no other encoding cures.
    if before_is_ascii and not is_another_script(sample):
        guesses.append("cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1")
    if working := _that_decode(guesses, pieces()):
        return f"--encoding {working[0]}"
    if not before_is_ascii or not is_another_script(sample):
        return ""
    likely = _likely_families(sample)
    working = _that_decode([family.encoding for family in likely], pieces())
    return _in_words([family for family in likely if family.encoding in working])


def is_another_script(sample: bytes) -> bool:
    """Whether the high bytes are those of another script than Latin: many, or side by side."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    high, letters = sum(runs), len(re.findall(rb"[A-Za-z]", sample))
    if 2 * sum(run for run in runs if run >= 3) >= high > 2:
        return True
    return high >= 8 and high > 0.3 * (high + letters)


def _look(pieces: Iterable[bytes | bytearray], offset: int) -> tuple[bytes, bytes, bool]:
    """Return the head, what follows `offset`, and whether all before it is ASCII."""
    head, sample, place, before_is_ascii = b"", b"", 0, True
    for piece in pieces:
        head += bytes(piece[: HEAD - len(head)])
        cut = max(0, offset - place)
        before_is_ascii = before_is_ascii and piece[:cut].isascii()
        sample += bytes(piece[cut : cut + SAMPLE - len(sample)])
        place += len(piece)
        if len(sample) >= SAMPLE:
            break
    return head, sample, before_is_ascii


def _that_decode(encodings: list[str], pieces: Iterable[bytes | bytearray]) -> list[str]:
    """Return those encodings that decode all pieces, in their order."""
    decoders = {name: codecs.getincrementaldecoder(name)() for name in encodings}

    def decode(piece: bytes, final: bool) -> None:
        for name, decoder in list(decoders.items()):
            try:
                decoder.decode(piece, final)
            except UnicodeError:
                del decoders[name]

    for piece in pieces:
        if not decoders:
            return []
        decode(bytes(piece), False)
    decode(b"", True)
    return [name for name in encodings if name in decoders]


def _likely_families(sample: bytes) -> list[Family]:
    """Return the families whose expected characters make up most of the sample, best first."""
    return [family for _, family in sorted(_scores(sample), key=lambda found: -found[0])]


def _scores(sample: bytes) -> Iterator[tuple[float, Family]]:
    """Yield plausible families, each with its share of expected characters."""
    texts: set[str] = set()
    for family in FAMILIES:
        text = sample.decode(family.encoding, "replace")
        foreign = sum(character > "\x7f" for character in text)
        share = len(family.expected.findall(text)) / max(1, foreign)
        lacks = family.required is not None and not family.required.search(text)
        if share >= LEAST_SHARE and not lacks and text not in texts:
            texts.add(text)
            yield share, family


def _in_words(families: list[Family]) -> str:
    """Say which encoding is for which language."""
    if not families:
        return ""
    first, *others = families[:MOST_FAMILIES]
    words = [f"--encoding {first.encoding} if it is {first.language}"]
    return ", ".join(words + [f"{other.encoding} if {other.language}" for other in others])
