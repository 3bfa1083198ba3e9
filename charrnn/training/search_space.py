"""Search spaces of hyperparameters: grids, and random search over lists and ranges.

Values are texts, as they are typed after an option. Random search draws each dimension
independently (Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization, JMLR 13).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from charrnn.errors import UsageError
from charrnn.randomness import Purpose, generator

MAX_TRIALS = 1_000
"""Most trials of one search."""

DIGITS = 3
"""Significant digits of a number that is drawn, so that it can be typed again."""

DRAWS = 20
"""Draws for each trial, after which a search space counts as exhausted."""

Point: TypeAlias = dict[str, str]
"""A value for each option that is searched over."""


@dataclass(frozen=True)
class Choices:
    """A list of values for an option.

    Args:
        name: the option.
        values: at least one value.
    """

    name: str
    values: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> str:
        """Return one of the values, each with the same probability."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """A range of numbers for an option, uniform or, if `log`, uniform in the logarithm.

    Args:
        name: the option.
        low: the lower bound, included.
        high: the upper bound, included.
        log: whether the logarithm is uniform; then `low` must be above 0.
        whole: whether numbers are rounded to whole ones.

    Raises `UsageError` for bounds that are no range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> [Range("--lr", 0.01, 1, log=True).draw(rng) for _ in range(3)]
        ['0.188', '0.0346', '0.0121']
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        shown = f"{self.low:g}:{self.high:g}"
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(
                f"the range {shown} of {self.name} does not go from a number to a larger one",
                "LOW:HIGH",
            )
        if self.log and self.low <= 0:
            raise UsageError(
                f"the range {shown} of {self.name} begins at 0 or below, which has no logarithm",
                "LOW:HIGH without :log",
            )
        if self.whole and math.ceil(self.low) > self.high:
            raise UsageError(
                f"the range {shown} of {self.name} holds no whole number", "a wider range"
            )

    def draw(self, rng: np.random.Generator) -> str:
        """Return a number of the range as text, with `DIGITS` significant digits."""
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        if self.whole:
            return str(min(math.floor(self.high), max(math.ceil(self.low), round(drawn))))
        rounded = float(f"{drawn:.{DIGITS}g}")
        return f"{min(self.high, max(self.low, rounded)):g}"


def grid_points(choices: Sequence[Choices]) -> list[Point]:
    """Return every combination; the values of the last option change first.

    Raises `UsageError` for more than `MAX_TRIALS`.

    Example:
        >>> grid_points([Choices("--hidden", ("64", "128")), Choices("--lr", ("0.1",))])
        [{'--hidden': '64', '--lr': '0.1'}, {'--hidden': '128', '--lr': '0.1'}]
    """
    check_count(math.prod(len(one.values) for one in choices))
    names = [one.name for one in choices]
    combinations = product(*(one.values for one in choices))
    return [dict(zip(names, values, strict=True)) for values in combinations]


def random_points(space: Sequence[Choices | Range], count: int, seed: int) -> list[Point]:
    """Return `count` different points, fewer if the space does not hold so many.

    Point number k depends on the seed, the space and the points before it only: a search with a
    larger `count` begins with the same points. Raises `UsageError` for more than `MAX_TRIALS`.

    Example:
        >>> random_points([Choices("--cell", ("gru", "lstm"))], 5, seed=0)
        [{'--cell': 'gru'}, {'--cell': 'lstm'}]
    """
    check_count(count)
    found: list[Point] = []
    for number in range(count):
        rng = generator(seed, Purpose.SEARCH, number)
        for _ in range(DRAWS):
            point = {one.name: one.draw(rng) for one in space}
            if point not in found:
                found.append(point)
                break
    return found


def check_count(count: int) -> None:
    """Raise `UsageError` for more than `MAX_TRIALS`."""
    if count > MAX_TRIALS:
        raise UsageError(f"{count:,} trials are more than {MAX_TRIALS:,}", "fewer values")
