"""Corpus checks before training: one-line remarks about suspicious texts or pairs."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from charrnn.data.vocabulary import CodeCounts
from charrnn.data.vocabulary import count as count_characters

SAMPLE_CHARS = 4_000_000
"""Characters that are checked; a longer text is sampled in evenly spaced parts."""

SAMPLE_PARTS = 8
"""Parts of a sample."""

MAX_SAMPLED_PAIRS = 20_000
"""Pairs that are checked; more are sampled at random."""

MIN_LINES = 50
"""Lines, blank ones aside, below which lines are not checked."""

MIN_CHARACTERS_FOR_RARE = 5_000
"""Characters of a text below which rare characters are not reported."""

MAX_CHARACTERS_IN_REMARK = 3

# Lines that occur often in ordinary code, plays and tables: they end so, or have no letter.
ORDINARY_END = (":", ";", "{", "}", "(", ")", ",", "[", "]", "\\\\", "*/", "->", "=>")
KEYWORDS = re.compile(
    r"#|//|@|(?:return|import|from|else|end|break|continue|pass|raise|include|use|using|begin|try|"
    r"fi|done|esac|then|do)\b"
)
TAG = re.compile(
    r"</?(?:!--|!doctype|html|head|body|title|meta|link|script|style|div|span|p|br|hr|a|b|i|u|em|"
    r"strong|font|center|h[1-6]|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|td|th|img|form|input|nav|"
    r"section|article|footer|header|pre|code|sup|sub|blockquote)\b[^<>\n]{0,300}>",
    re.IGNORECASE,
)
FOLLOW = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
MOJIBAKE = re.compile(f"[ÃÂÐÑØÙ][{FOLLOW}]|â[€\x80][{FOLLOW}]")
"""UTF-8 for accents, quotes, Cyrillic or Arabic, read as Latin-1 or cp1252."""

VISIBLE_SPACES = frozenset(" \t\n\r\f\v\u3000")
"""White space that ordinary texts hold; U+3000 is the space of Chinese and Japanese."""


def check_text(parts: Sequence[str], *, sampled: bool) -> list[str]:
    """Return remarks about the lines and the encoding of a text, or of parts of it if `sampled`."""
    suffix = f", in a sample of {sum(map(len, parts)):,} characters" if sampled else ""
    return [remark + suffix for remark in (*_lines(parts), *_tags(parts), *_mojibake(parts))]


def sample_of(text: str) -> list[str]:
    """Return a text of at most SAMPLE characters as it is, of a longer one PARTS parts."""
    if len(text) <= SAMPLE_CHARS:
        return [text]
    size = SAMPLE_CHARS // SAMPLE_PARTS
    return [
        text[start : start + size]
        for start in np.linspace(0, len(text) - size, SAMPLE_PARTS).astype(int).tolist()
    ]


def _lines(parts: Sequence[str]) -> Iterator[str]:
    """Yield a remark about a line that repeats suspiciously often, or about many such lines."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.replace("\r", "\n").split("\n"))
    stripped: Counter[str] = Counter()
    for line, count in counts.items():
        if text := line.strip():
            stripped[text] += count
    total = stripped.total()
    if total < MIN_LINES:
        return
    for line, count in stripped.most_common(100):
        if count >= 20 and count >= _suspicious_share(line) * total:
            yield f"the line {_quoted(line)} occurs {count:,} times, {count / total:.1%} of lines"
            break
    long = [(line, count) for line, count in stripped.items() if len(line) >= 12]
    lines = sum(count for _, count in long)
    if lines >= MIN_LINES and lines - len(long) > 0.5 * lines:
        share = (lines - len(long)) / lines
        yield f"{share:.0%} of the lines of 12 characters or more repeat an earlier one"


def _suspicious_share(line: str) -> float:
    """Return the share of all lines from which on this one is unlikely to be ordinary text."""
    if TAG.fullmatch(line):
        return 0.0005
    shouted = line.isupper() and len(line) <= 30  # a name in a play
    if (
        len(line) < 8
        or shouted
        or line.endswith(ORDINARY_END)
        or KEYWORDS.match(line)
        or not any(map(str.isalpha, line))
    ):
        return 2.0
    return 0.05 if len(line) < 12 else 0.01


def _tags(parts: Sequence[str]) -> Iterator[str]:
    """Yield a remark if HTML tags make up more than 2 % of the characters."""
    size = sum(map(len, parts))
    tags = sum(len(tag[0]) for part in parts if "<" in part for tag in TAG.finditer(part))
    if tags > 0.02 * size:
        yield f"HTML tags make up {tags / size:.0%} of the characters"


def _mojibake(parts: Sequence[str]) -> Iterator[str]:
    """Yield a remark if a text looks like UTF-8 decoded as another encoding."""
    found: Counter[str] = Counter()
    foreign = 0
    for part in parts:
        if not part.isascii():
            foreign += len(part) - len(part.encode("ascii", "ignore"))
            found.update(MOJIBAKE.findall(part))
    if found.total() >= 3 and 2 * found.total() > 0.2 * foreign:
        first, _ = found.most_common(1)[0]
        yield (
            f"{_quoted(first)} and the like occur {found.total():,} times: this looks like UTF-8 "
            "that was read as Latin-1"
        )


def check_character_counts(counts: CodeCounts, *, min_count: bool = False) -> list[str]:
    """Return remarks about invisible and about rare characters, given how often each occurs.

    With `min_count` the option of this name is advised for rare ones.
    """
    remarks = []
    codes = np.flatnonzero(counts).tolist()
    if len(counts) > 0xFFFD and (lost := int(counts[0xFFFD])):
        remarks.append(
            f"U+FFFD REPLACEMENT CHARACTER occurs {occurrences(lost)}: what was there is lost"
        )
    if unseen := [code for code in codes if is_invisible(chr(code))]:
        unseen.sort(key=lambda code: -int(counts[code]))
        names = [f"{character_name(chr(code))} {occurrences(int(counts[code]))}" for code in unseen]
        remarks.append(f"invisible characters: {_first(names)}")
    once = [code for code in codes if counts[code] == 1 and not is_invisible(chr(code))]
    once = [code for code in once if code != 0xFFFD]
    enough = int(counts.sum()) >= MIN_CHARACTERS_FOR_RARE
    if enough and (len(once) >= 3 or max(once, default=0) > 0x7F):
        what, them = ("occurs", "it") if len(once) == 1 else ("occur", "them")
        advice = f" (--min-count 2 leaves {them} out)" if min_count else ""
        shown = _first([character_label(chr(code)) for code in once])
        remarks.append(f"{count_with_noun(len(once), 'character')} {what} once{advice}: {shown}")
    return remarks


def is_invisible(character: str) -> bool:
    """Return whether a character is invisible or an unusual kind of space."""
    if character in VISIBLE_SPACES:
        return False
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return True  # variation selectors
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn")


def character_name(character: str) -> str:
    """Name a character: U+00AD SOFT HYPHEN."""
    code = f"U+{ord(character):04X}"
    if character == "\ufeff":
        return f"{code} BYTE ORDER MARK"
    kinds = {"Cc": "CONTROL CHARACTER", "Co": "PRIVATE USE", "Cn": "UNASSIGNED"}
    name = unicodedata.name(character, kinds.get(unicodedata.category(character), ""))
    return f"{code} {name}".rstrip()


def character_label(character: str) -> str:
    """Return a character with its code point, or its name if it is invisible by itself."""
    if not character.isprintable() or unicodedata.category(character).startswith("M"):
        return character_name(character)
    return f"{character!r} U+{ord(character):04X}"


def count_with_noun(count: int, noun: str) -> str:
    """Return a count with its noun: 1 character, 2 characters."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def occurrences(count: int) -> str:
    """Return a number of occurrences: once, 2 times."""
    return "once" if count == 1 else f"{count:,} times"


def _first(names: Sequence[str]) -> str:
    rest = len(names) - MAX_CHARACTERS_IN_REMARK
    listed = ", ".join(names[:MAX_CHARACTERS_IN_REMARK])
    return f"{listed} and {rest:,} more" if rest > 0 else listed


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


MIN_PAIRS = 20
MIN_DECIDED_SHARE, MIN_DECISION_GAIN = 0.99, 0.05

Feature = Callable[[str], object]

CHARACTER_FEATURES: dict[str, Feature] = {
    "the last character": lambda text: text[-1],
    "the first character": lambda text: text[0],
    "the last character but one": lambda text: text[-2:-1],
    "the second character": lambda text: text[1:2],
}


def check_pairs(pairs: Sequence[tuple[str, str]], *, label: int | None) -> list[str]:
    """Return remarks about pairs of texts, of which the side `label` is a label, if one is."""
    fields = "\n".join(field for pair in pairs for field in pair)
    remarks = [*_mojibake([fields]), *check_character_counts(count_characters(fields))]
    if label is None:
        return remarks
    sides = list(zip(*pairs, strict=True))
    return [*check_labels(sides[1 - label], sides[label]), *remarks]


def check_labels(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Return a remark if a single character decides the label of nearly every text."""
    if len(texts) > MAX_SAMPLED_PAIRS:
        chosen = sorted(random.Random(0).sample(range(len(texts)), MAX_SAMPLED_PAIRS))
        texts, labels = [texts[n] for n in chosen], [labels[n] for n in chosen]
    if len(texts) < MIN_PAIRS or len(set(labels)) < 2:
        return []
    commonest = Counter(labels).most_common(1)[0][1] / len(labels)
    found = [
        (_decided(list(map(feature, texts)), labels), name)
        for name, feature in CHARACTER_FEATURES.items()
    ]
    share, name = max([*found, _best_presence(texts, labels)], key=lambda one: one[0])
    if share < MIN_DECIDED_SHARE or share - commonest < MIN_DECISION_GAIN:
        return []
    return [
        f"{name} alone decides {share:.1%} of the labels; the commonest label has {commonest:.1%}"
    ]


def _decided(values: Sequence[object], labels: Sequence[str]) -> float:
    """Return the share of labels that are the commonest one of their value.

    A value that occurs once counts as undecided.
    """
    groups: dict[object, Counter[str]] = {}
    for value, label in zip(values, labels, strict=True):
        groups.setdefault(value, Counter())[label] += 1
    right = sum(max(group.values()) for group in groups.values() if group.total() > 1)
    return right / len(labels)


def _best_presence(texts: Sequence[str], labels: Sequence[str]) -> tuple[float, str]:
    """Return the largest share of labels decided by one character's presence, and its name."""
    per_label = Counter(labels)
    if sum(count for _, count in per_label.most_common(2)) < MIN_DECIDED_SHARE * len(labels):
        return 0.0, ""  # it has two values only
    present: dict[str, Counter[str]] = {}
    for text, label in zip(texts, labels, strict=True):
        for character in set(text):
            present.setdefault(character, Counter())[label] += 1
    best = (0.0, "")
    for character, group in sorted(present.items()):
        absent = max(per_label[label] - group[label] for label in per_label)
        share = (max(group.values()) + absent) / len(labels)
        if share > best[0]:
            shown = repr(character) if character.isprintable() else character_name(character)
            best = (share, f"whether {shown} occurs")
    return best
