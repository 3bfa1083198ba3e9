"""What a sweep tries: settings of trials from `--grid`, `--range`, `--random` and `--set`."""

from collections.abc import Sequence
from dataclasses import dataclass

from charrnn.cli.output.safe_text import label
from charrnn.cli.trials.settings import option_called, split_assignment
from charrnn.errors import UsageError
from charrnn.training.search_space import (
    MAX_TRIALS,
    Choices,
    Point,
    Range,
    grid_points,
    random_points,
)


@dataclass(frozen=True)
class Search:
    """Settings to try.

    Args:
        fixed: options of `train` that all trials have, by flag.
        flags: the options that differ between trials.
        points: for each trial, their values by flag.
        notes: remarks for stderr.
    """

    fixed: dict[str, str]
    flags: tuple[str, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()


def search_of(
    grid: Sequence[str], ranges: Sequence[str], fixed: Sequence[str], count: int | None, seed: int
) -> Search:
    """Return what the options of `charrnn sweep` ask for.

    Args:
        grid: `NAME=VALUE,VALUE`; with `count` a value is drawn, else all combinations are tried.
        ranges: `NAME=LOW:HIGH` or `NAME=LOW:HIGH:log`, for random search.
        fixed: `NAME=VALUE`, the same for all trials.
        count: the number of trials of a random search, or None for a grid.
        seed: the seed of a random search.

    Raises `UsageError` for options that contradict each other, are unknown or cannot be searched.
    """
    choices = [parse_grid(text) for text in grid]
    spans = [parse_range(text) for text in ranges]
    settings = dict(parse_fixed(text) for text in fixed)
    flags = [*(one.name for one in choices), *(one.name for one in spans)]
    for flag in flags:
        if flags.count(flag) > 1 or flag in settings:
            raise UsageError(f"{flag.removeprefix('--')} is given twice", "one of them")
    if not flags:
        raise UsageError("no option to search over", "--grid hidden=64,128")
    if count is None:
        if spans:
            raise UsageError("--range is for a random search", "--random 10")
        return Search(settings, tuple(flags), tuple(grid_points(choices)))
    if not 1 <= count <= MAX_TRIALS:
        raise UsageError(f"--random is {count}; it must be from 1 to {MAX_TRIALS:,}", "--random 10")
    points = random_points([*choices, *spans], count, seed)
    notes: tuple[str, ...] = ()
    if len(points) < count:
        notes = (f"the search space holds only {len(points)} different trials, not {count}",)
    return Search(settings, tuple(flags), tuple(points), notes)


def parse_grid(text: str) -> Choices:
    """Return the values of `--grid`; a repeated one is tried once."""
    name, listed = split_assignment(text, "--grid")
    found = option_called(name, "--grid", varied=True)
    values = [value.strip() for value in listed.split(",")]
    if "" in values:
        raise UsageError(f"--grid {label(text[:40])!r} has an empty value", "--grid lr=0.05,0.1")
    return Choices(found.flag, tuple(dict.fromkeys(values)))


def parse_range(text: str) -> Range:
    """Return the bounds of `--range`."""
    name, listed = split_assignment(text, "--range")
    found = option_called(name, "--range", varied=True)
    low, _, rest = listed.partition(":")
    high, colon, scale = rest.partition(":")
    advice = f"--range {found.name}=LOW:HIGH", f"--range {found.name}=LOW:HIGH:log"
    if found.kind not in (int, float):
        raise UsageError(
            f"--range {found.name}: its values are no numbers", f"--grid {found.name}=VALUE,VALUE"
        )
    if colon and scale != "log":
        raise UsageError(f"--range {label(text[:40])!r} ends in {label(scale[:20])!r}", *advice)
    try:
        bounds = number(low), number(high)
    except ValueError as error:
        raise UsageError(f"--range {label(text[:40])!r} has no two numbers", *advice) from error
    return Range(found.flag, *bounds, log=bool(colon), whole=found.kind is int)


def number(text: str) -> float:
    """Return a bound of a range. Raises ValueError."""
    if len(text) > 40:
        raise ValueError("too long for a number")
    return float(text)


def parse_fixed(text: str) -> tuple[str, str]:
    """Return flag and value of `--set`."""
    name, value = split_assignment(text, "--set")
    return option_called(name, "--set", varied=False).flag, value
