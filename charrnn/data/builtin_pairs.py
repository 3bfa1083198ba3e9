"""Pairs that we make up: one small problem for each layout, the same ones for the same seed.

dates        many-to-many   a date as people write it → ISO 8601
languages    many-to-one    a word of one of ten invented languages → the language;
             one-to-many    or the other way round
vowels       synced         each letter of a line → V, c, or what else it is
case         one-to-one     a letter → its capital
france:GAP   many-to-one    a sentence that names a country → its language, GAP characters later
"""

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from charrnn.data.builtin_texts import DEFAULT_GAP, folder_name, france_sentences, gap_of
from charrnn.data.pair_files import PairCorpus
from charrnn.data.pair_formats import Pair
from charrnn.errors import UsageError

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2099, 12, 31)
DATES = 25_000
WORDS = 1_200
LINES = 3_000
SENTENCES = 3_300

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def ordinal(day: int) -> str:
    """Return 1st, 2nd, 3rd, 4th and so on."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{'th' if day in (11, 12, 13) else suffix}"


FORMATS: tuple[Callable[[date], str], ...] = (
    lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{MONTHS[d.month - 1]} {ordinal(d.day)}, {d.year}",
    lambda d: f"the {ordinal(d.day)} of {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{d.day}-{MONTHS[d.month - 1][:3]}-{d.year}",
    lambda d: f"{MONTHS[d.month - 1][:3]} {d.day:02d} {d.year}",
    lambda d: f"{WEEKDAYS[d.weekday()]}, {d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{WEEKDAYS[d.weekday()][:3]} {d.day} {MONTHS[d.month - 1][:3]} {d.year}",
    lambda d: f"{d.month}/{d.day}/{d.year}",
    lambda d: f"{d.day:02d}.{d.month:02d}.{d.year}",
    lambda d: f"{d.year}/{d.month}/{d.day}",
    lambda d: f"{d.year} {MONTHS[d.month - 1].upper()} {d.day}",
)
"""Slashes mean month first, points day first, so that every date is unambiguous."""


def dates(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield dates in free formats, and the same as YYYY-MM-DD."""
    days = (LAST_DAY - FIRST_DAY).days
    for _ in range(DATES):
        day = FIRST_DAY + timedelta(days=rng.randint(0, days))
        yield rng.choice(FORMATS)(day), day.isoformat()


class Phonotactics(NamedTuple):
    """How the words of an invented language are built: syllables, and what may end them."""

    syllables: tuple[int, int]
    onsets: str
    nuclei: str
    codas: str
    endings: str


INVENTED = {
    "Aloha": Phonotactics((2, 4), "h k l m n p w", "a e i o u ai ao", "", "a i u"),
    "Brask": Phonotactics((1, 2), "br dr gr kr skr tr sk st", "a o u", "sk rk st ft g", "sk rst k"),
    "Celin": Phonotactics((2, 3), "c l m n r s v", "e i ie ia", "n l", "in iel ene"),
    "Dzhog": Phonotactics((1, 3), "dz zh sh ch g b", "o u e", "g zh v b", "og ush ev"),
    "Elvar": Phonotactics((2, 3), "l v r th f n", "a e i", "l r n", "ar iel ion"),
    "Finno": Phonotactics((2, 4), "k t p s l h", "a o u aa oo uu", "k t", "nen la kka"),
    "Gwydd": Phonotactics((1, 3), "gw ll rh c dd m", "y w e", "dd n ch", "ydd wyn och"),
    "Hanzu": Phonotactics((1, 2), "zh x q j sh l w", "an ang ing ao ui ua", "", "n ng o"),
    "Ixtal": Phonotactics((2, 3), "x tl c t qu ch", "a i e o", "tl c x", "tl tli co"),
    "Jamun": Phonotactics((2, 3), "j m bh dh k r", "a u aa i", "m n r", "am un ara"),
}


def word(language: Phonotactics, rng: random.Random) -> str:
    """Build one word."""
    onsets, nuclei, codas, endings = map(str.split, language[1:])
    parts = []
    for _ in range(rng.randint(*language.syllables)):
        parts += [rng.choice(onsets), rng.choice(nuclei)]
        if codas and rng.random() < 0.4:
            parts.append(rng.choice(codas))
    if rng.random() < 0.6:
        parts.append(rng.choice(endings))
    return "".join(parts)


def languages(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield words and the invented language they are from, as many of each, none of two."""
    found: set[str] = set()
    for number, (name, language) in enumerate(INVENTED.items(), 1):
        while len(found) < number * WORDS:
            if (fresh := word(language, rng)) not in found:
                found.add(fresh)
                yield fresh, name


def labelled_first(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield languages and words of them."""
    for text, name in languages(rng):
        yield name, text


def vowels(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield lines, and for each letter whether it is a vowel; y is one unless a vowel follows."""
    vocabularies = list(INVENTED.values())
    for _ in range(LINES):
        words = (word(rng.choice(vocabularies), rng) for _ in range(rng.randint(2, 7)))
        line = " ".join(words).capitalize() + rng.choice(".?!")
        yield line, "".join(map(mark, " " + line, line))


def mark(before: str, character: str) -> str:
    """Return V for a vowel, W for the second of a pair, c for a consonant, - for the rest.

    What a letter is depends on the one before it, so the mark needs a memory of one character.
    """
    if not character.isalpha():
        return "-"
    if character.lower() not in "aeiouyw":
        return "c"
    return "W" if before.lower() in "aeiouyw" else "V"


ALPHABETS = (("a", "z"), ("à", "ö"), ("ø", "þ"), ("α", "ρ"), ("σ", "ω"), ("а", "я"), ("ա", "ֆ"))
"""First and last letters of Latin, Latin-1, Greek, Cyrillic and Armenian."""


def case(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield every small letter of some scripts and its capital."""
    for first, last in ALPHABETS:
        for code in range(ord(first), ord(last) + 1):
            if len(chr(code).upper()) == 1:
                yield chr(code), chr(code).upper()


def france_pairs(gap: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield sentences up to where a language is due, and the language."""
    for text, _, language in france_sentences(gap, SENTENCES, rng):
        yield text.removesuffix(f"{language}."), language


Maker = Callable[[random.Random], Iterator[tuple[str, str]]]
DEMONSTRATIONS: dict[str, dict[str, Maker]] = {
    "dates": {"many-to-many": dates},
    "languages": {"many-to-one": languages, "one-to-many": labelled_first},
    "vowels": {"synced": vowels},
    "case": {"one-to-one": case},
}
"""Makers by name and layout; the first layout is meant where none is named."""


def natural_layout(name: str) -> str | None:
    """Return the layout that a corpus without `--layout` is for; None for one of plain text."""
    return next(iter(DEMONSTRATIONS[name])) if name in DEMONSTRATIONS else None


def demonstration(name: str, layout: str, seed: int = 0) -> PairCorpus:
    """Make the pairs called `name`; `UsageError` if there are none of that name and layout."""
    kind, colon, gap = name.partition(":")
    makers = DEMONSTRATIONS.get(name, {})
    if kind == "france":
        length = gap_of(gap) if colon else DEFAULT_GAP
        makers = {"many-to-one": lambda rng: france_pairs(length, rng)}
    if not makers:
        known = ", ".join(DEMONSTRATIONS)
        raise UsageError(f"no built-in pairs {name[:40]!r}; try one of {known}, france:GAP")
    if layout not in makers:
        raise UsageError(f"{name} is not for --layout {layout}; try {' or '.join(makers)}")
    pairs = dict.fromkeys(makers[layout](random.Random(seed)))
    return PairCorpus(
        tuple(Pair(*pair, f"{name} pair {number}") for number, pair in enumerate(pairs, 1)),
        folder_name(name),
        (name,),
    )
