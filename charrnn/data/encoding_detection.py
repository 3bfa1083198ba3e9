"""Encoding detection: plausible encodings of a file that does not decode as requested."""

import codecs
import re
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

HEAD_BYTES = 2**13
"""Bytes at the beginning of a file that decide whether it is text, and in which byte order."""

SAMPLE_BYTES = 2**16
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

ReadChunks = Callable[[], Iterable[bytes | bytearray]]
"""Function that yields the content of a file in chunks, from the beginning at each call."""


class Family(NamedTuple):
    """An encoding, the language it suggests, and the letters of this language.

    `common` are some of those that make up most of its texts, and of no text that is something else
    and decoded as this.
    """

    encoding: str
    language: str
    letters: re.Pattern[str]
    common: frozenset[str]


CYRILLIC, RUSSIAN = re.compile("[Ѐ-ӿ]"), frozenset("оеаинтсрвлкм")
ARABIC, ALEF = re.compile("[\u0621-\u0652پچژگ،؟]"), frozenset("ايلمنوترب")
JAPANESE, KANA = (
    re.compile("[ぁ-ヿ一-鿿、。ｦ-ﾟ]"),
    frozenset("のにはをたがでてとしいるなかｱｲｳｶｷｸ、。"),
)
HAN, CHINESE = (
    re.compile("[一-鿿、。，！？]"),
    frozenset("的一是不了在人有我他这這大来來上之非道。，"),
)
HANGUL, KOREAN = re.compile("[가-힣]"), frozenset("이다는에의을가고하은한를지")
CENTRAL = "ąćęłńóśźżáčďéěíňřšťúůýžäöüßőűĄĆĘŁŃÓŚŹŻÁČĎÉĚÍŇŘŠŤÚŮÝŽÄÖÜŐŰ„”"
TURKISH = "çğıöşüâîÇĞİÖŞÜ"
WESTERN = "éèêëàâäáãåæçíìîïñóòôöõøœúùûüßðþÉÈÊËÀÂÄÁÃÅÆÇÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜÐÞ’‘“”«»–—…€¿¡"

FAMILIES = (
    Family("cp1251", "Russian", CYRILLIC, RUSSIAN),
    Family("koi8-r", "Russian", CYRILLIC, RUSSIAN),
    Family("cp866", "Russian", CYRILLIC, RUSSIAN),
    Family("iso8859-5", "Russian", CYRILLIC, RUSSIAN),
    Family("cp1256", "Arabic", ARABIC, ALEF),
    Family("iso8859-6", "Arabic", ARABIC, ALEF),
    Family("cp1253", "Greek", re.compile("[Ά-ώ]"), frozenset("αοιετνσςρηυ")),
    Family("cp1255", "Hebrew", re.compile("[\u05b0-\u05ea]"), frozenset("יוהלאמרתב")),
    Family("cp874", "Thai", re.compile("[\u0e01-\u0e5b]"), frozenset("านรอกเงมยลวด่้ั")),
    Family("shift_jis", "Japanese", JAPANESE, KANA),
    Family("cp932", "Japanese", JAPANESE, KANA),
    Family("euc_jp", "Japanese", JAPANESE, KANA),
    Family("gb18030", "Chinese", HAN, CHINESE),
    Family("big5", "Chinese", HAN, CHINESE),
    Family("euc_kr", "Korean", HANGUL, KOREAN),
    Family("cp949", "Korean", HANGUL, KOREAN),
)
"""Encodings for other scripts than Latin."""

LATIN_FAMILIES = tuple(
    Family(encoding, language, re.compile(f"[{letters}]"), frozenset(letters.lower()))
    for encoding, language, letters in (
        ("cp1252", "", WESTERN),
        ("cp1250", "Polish or Czech", CENTRAL),
        ("iso8859-2", "Polish or Czech", CENTRAL),
        ("cp1254", "Turkish", TURKISH),
    )
)
"""Encodings for Latin script: the first one unless another fits better."""

MIN_LETTER_SHARE = 0.6
"""Share of the non-ASCII characters that must be letters of the language."""

MAX_SUGGESTIONS = 3


def mark_of(head: bytes | bytearray) -> str | None:
    """Return the UTF codec whose byte order mark `head` begins with, or None."""
    return next((codec for codec, mark in MARKS.items() if head.startswith(mark)), None)


def zeros_of(content: bytes | bytearray) -> str:
    """Name the UTF-16 or UTF-32 without a mark that `content` seems to be, or return "".

    In UTF-16, spaces and Western letters have a zero in one half, and hardly anything has in the
    other; in UTF-32 every character has a zero at one end.
    """
    head = content[:HEAD_BYTES]
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
    head = bytes(content[:HEAD_BYTES])
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


def encoding_advice(chunks: ReadChunks, offset: int) -> str:
    """Return `--encoding …` with encodings that decode all of a file, or "" if none is plausible.

    `offset` is that of the first byte that did not decode.
    """
    head, sample, before_is_ascii = _look(chunks(), offset)
    marked = mark_of(head)
    guesses = [marked[:6]] if marked else []
    guesses += ["utf-8", *filter(None, [zeros_of(head)]), "utf-32-le", "utf-32-be"]
    if working := _that_decode(guesses, chunks()):
        return f"--encoding {working[0]}"
    if not before_is_ascii or is_binary(head) or is_binary(sample):
        return ""  # damaged UTF-8, as which the letters before the offset were read, or no text
    another_script = is_another_script(sample)
    likely = _likely(sample, FAMILIES if another_script else LATIN_FAMILIES)
    if not another_script and (not likely or not likely[0].language):
        western = "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"
        return f"--encoding {western}" if _that_decode([western], chunks()) else ""
    working = _that_decode([family.encoding for family in likely], chunks())
    return _in_words(
        [family for family in likely if family.language and family.encoding in working]
    )


def is_binary(sample: bytes) -> bool:
    """Whether there are too many control characters for a text."""
    return len(sample) - len(sample.translate(None, CONTROLS)) > 0.01 * len(sample)


def is_another_script(sample: bytes) -> bool:
    """Whether the high bytes are those of another script than Latin: many, or side by side."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    high, letters = sum(runs), len(re.findall(rb"[A-Za-z]", sample))
    if 2 * sum(run for run in runs if run >= 3) >= high > 2:
        return True
    return high >= 8 and high > 0.5 * (high + letters)


def _look(chunks: Iterable[bytes | bytearray], offset: int) -> tuple[bytes, bytes, bool]:
    """Return the head, what follows `offset`, and whether all before it is ASCII."""
    head, sample, place, before_is_ascii = b"", b"", 0, True
    for chunk in chunks:
        head += bytes(chunk[: HEAD_BYTES - len(head)])
        cut = max(0, offset - place)
        before_is_ascii = before_is_ascii and chunk[:cut].isascii()
        sample += bytes(chunk[cut : cut + SAMPLE_BYTES - len(sample)])
        place += len(chunk)
        if len(sample) >= SAMPLE_BYTES:
            break
    return head, sample, before_is_ascii


def _that_decode(encodings: list[str], chunks: Iterable[bytes | bytearray]) -> list[str]:
    """Return those encodings that decode all chunks, in their order."""
    decoders = {name: codecs.getincrementaldecoder(name)() for name in encodings}

    def decode(chunk: bytes, final: bool) -> None:
        for name, decoder in list(decoders.items()):
            try:
                decoder.decode(chunk, final)
            except UnicodeError:
                del decoders[name]

    for chunk in chunks:
        if not decoders:
            return []
        decode(bytes(chunk), False)
    decode(b"", True)
    return [name for name in encodings if name in decoders]


def _likely(sample: bytes, families: tuple[Family, ...]) -> list[Family]:
    """Return the plausible families, best first."""
    scored = [(_score(sample, family), family) for family in families]
    best = max(score for score, _ in scored)
    likely = [(score, family) for score, family in scored if score and score >= 0.5 * best]
    return [family for _, family in sorted(likely, key=lambda one: -one[0])]


def _score(sample: bytes, family: Family) -> float:
    """Return the share of common letters, small ones preferred; 0 for another language."""
    text = sample.decode(family.encoding, "ignore")
    foreign = [character for character in text if character > "\x7f"]
    if not foreign or len(family.letters.findall(text)) < MIN_LETTER_SHARE * len(foreign):
        return 0.0
    common = sum(character.lower() in family.common for character in foreign)
    small = sum(not character.isupper() for character in foreign)
    return (common + 0.2 * small) / len(foreign)


def _in_words(families: list[Family]) -> str:
    """Return the option with the best encoding for each language."""
    best: dict[str, str] = {}
    for family in families:
        best.setdefault(family.language, family.encoding)
    words = [f"{encoding} if {language}" for language, encoding in best.items()]
    if not words:
        return ""
    words[0] = words[0].replace(" if ", " if it is ")
    return f"--encoding {', '.join(words[:MAX_SUGGESTIONS])}"
