"""Search spaces: grids hold every combination, random points are reproducible and in range."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UsageError
from charrnn.training.search_space import Choices, Range, grid_points, random_points


def test_a_grid_holds_every_combination_once() -> None:
    points = grid_points([Choices("--a", ("1", "2", "3")), Choices("--b", ("x", "y"))])
    assert [(point["--a"], point["--b"]) for point in points] == [
        *(("1", "x"), ("1", "y"), ("2", "x"), ("2", "y"), ("3", "x"), ("3", "y"))
    ]


@given(seed=st.integers(0, 2**63 - 1), count=st.integers(1, 30))
def test_a_longer_search_begins_with_the_same_points(seed: int, count: int) -> None:
    space: list[Choices | Range] = [
        Range("--lr", 0.01, 1, log=True),
        Choices("--cell", ("rnn", "gru")),
    ]
    longer = random_points(space, count + 5, seed)
    assert random_points(space, count, seed) == longer[:count]


@given(
    low=st.floats(1e-6, 1e6),
    factor=st.floats(1.001, 1e6),
    log=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_drawn_number_is_in_its_range(low: float, factor: float, log: bool, seed: int) -> None:
    span = Range("--lr", float(f"{low:g}"), float(f"{low * factor:g}"), log=log)
    [point] = random_points([span], 1, seed)
    assert span.low <= float(point["--lr"]) <= span.high


def test_a_whole_range_reaches_both_ends_and_nothing_beyond() -> None:
    drawn = {
        point["--layers"] for point in random_points([Range("--layers", 1, 3, whole=True)], 3, 0)
    }
    assert drawn == {"1", "2", "3"}


def test_the_logarithm_is_uniform() -> None:
    points = random_points([Range("--lr", 1e-4, 1, log=True)], 400, 3)
    logs = sorted(math.log10(float(point["--lr"])) for point in points)
    mean, middle = sum(logs) / len(logs), logs[len(logs) // 2]
    assert abs(mean + 2) < 0.2
    assert abs(middle + 2) < 0.3
    uniform = random_points([Range("--lr", 1e-4, 1)], 400, 3)
    assert abs(sum(float(point["--lr"]) for point in uniform) / 400 - 0.5) < 0.05


def test_points_are_different_and_a_small_space_is_exhausted() -> None:
    space = [Choices("--a", ("1", "2")), Choices("--b", ("1", "2"))]
    points = random_points(space, 50, 0)
    assert len({tuple(point.values()) for point in points}) == len(points) == 4


@pytest.mark.parametrize(
    ("low", "high", "log", "whole"),
    [
        *((2.0, 1.0, False, False), (1.0, 1.0, False, False), (0.0, 1.0, True, False)),
        *((-1.0, 1.0, True, False), (4.2, 4.8, False, True), (math.nan, 1.0, False, False)),
        (0.0, math.inf, False, False),
    ],
)
def test_bounds_that_are_no_range_are_refused(
    low: float, high: float, log: bool, whole: bool
) -> None:
    with pytest.raises(UsageError):
        Range("--lr", low, high, log=log, whole=whole)


def test_too_many_trials_are_refused() -> None:
    with pytest.raises(UsageError):
        grid_points([Choices("--a", tuple(map(str, range(1001))))])
    with pytest.raises(UsageError):
        random_points([Range("--lr", 0, 1)], 1001, 0)
