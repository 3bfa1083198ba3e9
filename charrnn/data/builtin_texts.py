"""Built-in corpora: two texts that Python ships, and a generated one.

    python-docs     the language manual behind `help()`
    python-source   the standard library
    france:GAP      sentences with a country and, GAP characters later, its language

The first two depend on the Python version, the third on its gap and seed only.
"""

import random
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from charrnn.data.decoding import STRICT_UTF_8, TextOptions
from charrnn.data.text_files import Corpus, normalised
from charrnn.errors import TextError, UsageError

PYTHON_SOURCE_CHARS = 4_000_000
"""Characters after which `python-source` takes no further module."""

FRANCE_SENTENCES = 3300
"""Sentences in `france`, whatever the gap: about 300 kB with the default one."""

DEFAULT_GAP = 60

LANGUAGES = {
    "Denmark": "Danish",
    "Finland": "Finnish",
    "France": "French",
    "Germany": "German",
    "Greece": "Greek",
    "Hungary": "Hungarian",
    "Iceland": "Icelandic",
    "Italy": "Italian",
    "Japan": "Japanese",
    "Norway": "Norwegian",
    "Poland": "Polish",
    "Portugal": "Portuguese",
    "Russia": "Russian",
    "Spain": "Spanish",
    "Sweden": "Swedish",
    "Turkey": "Turkish",
}

CLAUSES = (
    ("I sold eggs.", "I was happy.", "Tea was hot."),
    ("I had a drum.", "I had no hat.", "My bed broke."),
    ("Life was slow.", "The moon rose.", "We had a goat."),
    ("I was the cook.", "The wine froze.", "We owned a cow."),
    ("I fed the geese.", "The cat ran off.", "The sea was far."),
    ("My bike was blue.", "My room was cold.", "Shops shut early."),
    ("Summers were warm.", "We danced at dusk.", "We had no carpets."),
    ("Cherries grew wild.", "Few trains came by.", "We ate by the fire."),
    ("Snow fell all night.", "The mill burnt down.", "The wind was strong."),
    ("My uncle built boats.", "Our roof was leaking.", "School began at nine."),
    ("I learnt to swim late.", "My father drove a bus.", "We never locked doors."),
    ("I had a dog and a kite.", "Nobody had a telephone.", "The well never ran dry."),
    ("A river ran by the mill.", "I still miss the garden.", "My aunt mended old nets."),
)
"""A row for every length from the shortest to the longest, just below twice as long."""

OPENING, BEFORE_FILLER, AFTER_FILLER = "I grew up in ", ". ", " I speak fluent "
MIN_CLAUSE_CHARS, MAX_CLAUSE_CHARS = len(CLAUSES[0][0]), len(CLAUSES[-1][0])
MIN_GAP_CHARS = len(BEFORE_FILLER) + MIN_CLAUSE_CHARS + len(AFTER_FILLER)
MAX_GAP_CHARS = 10_000


class Sentence(NamedTuple):
    """A line of `france` without its line end, its country and its language."""

    text: str
    country: str
    language: str


def built_in_corpus(name: str, seed: int = 0, options: TextOptions = STRICT_UTF_8) -> Corpus:
    """Return the corpus called `name`; `seed` matters to `france` only.

    As from a file in UTF-8, it is normalised, or made of bytes, if `options` ask for it. Raises
    UsageError for an unknown name or gap, or an encoding; TextError if this Python lacks the text.
    """
    kind, colon, gap = name.partition(":")
    if kind not in BUILT_IN or (colon and kind != "france"):
        known = ", ".join(BUILT_IN)
        raise UsageError(f"no built-in corpus {name[:40]!r}; try one of {known}, france:GAP")
    refuse_encoding(kind, options)
    notes: tuple[str, ...] = ()
    if kind == "france":
        text = france(gap_of(gap) if colon else DEFAULT_GAP, seed)
    else:
        text = BUILT_IN[kind]()
        version = ".".join(map(str, sys.version_info[:3]))
        notes = (f"{kind} is what Python {version} ships",)
    if options.as_bytes:
        text = text.encode().decode("latin-1")
    return Corpus(normalised(text, options), folder_name(name), (name,), notes)


def refuse_encoding(name: str, options: TextOptions) -> None:
    """Raise UsageError for an encoding other than UTF-8: nothing built in is decoded."""
    if not options.as_bytes and options.codec != "utf-8":
        raise UsageError(
            f"--encoding {options.encoding} is for files, and {name} is built in", "without it"
        )


def python_docs() -> str:
    """Return the topics of Python's language manual, sorted by name, a blank line between them."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        problem = "this Python came without pydoc_data"
        raise TextError(problem, "--builtin python-source", "a file") from error
    return "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"


def python_source() -> str:
    """Return the first modules of the standard library, sorted by name; packages are left out."""
    library = Path(sysconfig.get_path("stdlib"))
    modules: list[str] = []
    size = 0
    for name in sorted(sys.stdlib_module_names):
        path = library / f"{name}.py"
        if size < PYTHON_SOURCE_CHARS and path.is_file():
            modules.append(path.read_text(encoding="utf-8"))
            size += len(modules[-1])
    if not modules:
        problem = "this Python came without its source"
        raise TextError(problem, "--builtin python-docs", "a file")
    return "\n".join(modules)


def france(gap: int = DEFAULT_GAP, seed: int = 0) -> str:
    """Return lines like "I grew up in France. <…> I speak fluent French."."""
    sentences = france_sentences(gap, FRANCE_SENTENCES, random.Random(seed))
    return "".join(f"{sentence.text}\n" for sentence in sentences)


def france_sentences(gap: int, count: int, rng: random.Random) -> list[Sentence]:
    """Make `count` sentences with exactly `gap` characters between country and language.

    The gap is counted from the end of one name to the beginning of the other. Raises UsageError
    for a gap outside MIN_GAP_CHARS and MAX_GAP_CHARS.
    """
    if not MIN_GAP_CHARS <= gap <= MAX_GAP_CHARS:
        raise UsageError(
            f"a gap of {gap} is not within {MIN_GAP_CHARS} and {MAX_GAP_CHARS} characters; "
            f"try france:{DEFAULT_GAP}"
        )
    pairs = list(LANGUAGES.items())
    length = gap - len(BEFORE_FILLER) - len(AFTER_FILLER)
    sentences = []
    for _ in range(count):
        country, language = rng.choice(pairs)
        between = BEFORE_FILLER + _filler(length, rng) + AFTER_FILLER
        sentences.append(Sentence(f"{OPENING}{country}{between}{language}.", country, language))
    return sentences


def _filler(length: int, rng: random.Random) -> str:
    """Return whole clauses, separated by spaces, that make up exactly `length` characters.

    Each clause leaves room for one more, until what is left is the length of a row of CLAUSES.
    """
    clauses = []
    while length > MAX_CLAUSE_CHARS:
        rows = CLAUSES[: length - 2 * MIN_CLAUSE_CHARS]
        clauses.append(rng.choice(rng.choice(rows)))
        length -= len(clauses[-1]) + 1
    clauses.append(rng.choice(CLAUSES[length - MIN_CLAUSE_CHARS]))
    return " ".join(clauses)


def gap_of(text: str) -> int:
    """Read the number behind `france:`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise UsageError(f"the gap {text[:40]!r} is not a number; try france:{DEFAULT_GAP}")
    return int(text)


def folder_name(name: str) -> str:
    """Return a name that is valid for a folder on every platform: Windows forbids colons."""
    return name.replace(":", "-")


BUILT_IN: dict[str, Callable[..., str]] = {
    "python-docs": python_docs,
    "python-source": python_source,
    "france": france,
}
"""The corpora by name; only `france` takes arguments."""
