"""Names of models and texts in tables and plots, distinct for distinct paths."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

OF_A_RUN = ("best.npz", "merged.npz")
"""Names of the model of a run in its folder."""


def model_names(files: Sequence[Path]) -> list[str]:
    """Return a name for each checkpoint: the run's folder for its model, otherwise its path."""
    places = [file.resolve() for file in files]
    longer = [place.parent if place.name in OF_A_RUN else place for place in places]
    names = [
        place.name if file.name in OF_A_RUN else str(file)
        for file, place in zip(files, longer, strict=True)
    ]
    return numbered_names(distinct_names(names, longer))


def distinct_names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Replace equal names by the last parts of their paths, as many as needed to differ.

    Example:
        >>> distinct_names(["a", "a", "b"], [Path("/x/a"), Path("/y/a"), Path("/x/b")])
        ['x/a', 'y/a', 'b']
    """
    found = list(names)
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        owners: dict[str, set[Path]] = {}
        for name, path in zip(found, paths, strict=True):
            owners.setdefault(name, set()).add(path)
        if all(len(of_name) == 1 for of_name in owners.values()):
            break
        found = [
            Path(*path.parts[-depth:]).as_posix() if len(owners[name]) > 1 else name
            for name, path in zip(found, paths, strict=True)
        ]
    return found


def numbered_names(names: Sequence[str]) -> list[str]:
    """Number equal names: `a`, `a (2)`."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return found
