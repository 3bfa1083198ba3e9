"""Notes about files, grouped: one line for each kind of remark."""

from collections.abc import Iterable

MAX_LISTED_FILES = 3
"""File names that a note lists before the number of the others."""

PLURALS = {"has": "have", "is": "are", "begins": "begin"}


class FileNotes:
    """Remarks about files, grouped by kind.

    Example:
        >>> notes = FileNotes()
        >>> notes.add("a.txt", "is empty")
        >>> notes.add("b.txt", "is empty")
        >>> notes.lines()
        ('2 files are empty: a.txt, b.txt',)
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, *remarks: str) -> None:
        """Add remarks about the file `name`; each begins with `has`, `is` or `begins`."""
        for remark in remarks:
            self._names.setdefault(remark, []).append(name)

    def lines(self) -> tuple[str, ...]:
        """Return one line for each kind of remark."""
        return tuple(_line(remark, names) for remark, names in self._names.items())


def _line(remark: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} {remark}"
    verb, _, rest = remark.partition(" ")
    return f"{len(names):,} files {PLURALS.get(verb, verb)} {rest}: {list_names(names)}"


def list_names(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    all_names = list(names)
    first = ", ".join(all_names[:MAX_LISTED_FILES])
    rest = len(all_names) - MAX_LISTED_FILES
    return f"{first} and {rest:,} more" if rest > 0 else first
