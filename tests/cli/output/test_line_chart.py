"""Charts of values by step: axes that fit, and what they show."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from charrnn.cli.output.line_chart import ValueAxis, line_chart, needs_log_axis

FINITE = st.floats(-1e300, 1e300)


def shown(width: int = 40, **settings: object) -> list[str]:
    """Return the lines of a chart in Unicode."""
    console = Console(width=width, color_system=None)
    usual = {"title": "loss", "x_label": "step", "unicode": True}
    with console.capture() as capture:
        console.print(line_chart(**(usual | settings)))  # type: ignore[arg-type]  # settings of a test
    return capture.get().splitlines()


@given(FINITE, FINITE, st.integers(4, 40))
def test_an_axis_contains_its_values_and_fits(one: float, other: float, rows: int) -> None:
    low, high = sorted((one, other))
    axis = ValueAxis.around(low, high, rows)
    slack = 1e-6 * axis.rows
    assert axis.rows <= rows
    assert axis.row(high) >= -slack
    assert axis.row(low) <= axis.rows - 1 + slack
    assert axis.label(0)
    assert axis.label(axis.rows - 1)


@given(st.floats(-300, 300), st.floats(-300, 300))
def test_a_logarithmic_axis_has_whole_powers_of_ten(one: float, other: float) -> None:
    axis = ValueAxis.around(min(one, other), max(one, other), 8, logarithmic=True)
    assert axis.step == int(axis.step) >= 1


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1.3, 2.5, ["2.5", "2", "1.5", "1"]),
        (0.0, 0.4, ["0.4", "0.2", "0"]),
        (24.0, 24.0, ["28", "26", "24", "22", "20"]),
        (0.0, 0.0, ["1", "0", "-1"]),
    ],
)
def test_labels_are_round(low: float, high: float, labels: list[str]) -> None:
    axis = ValueAxis.around(low, high, 7 if high != 24 else 11)
    assert [label for row in range(axis.rows) if (label := axis.label(row))] == labels


def test_a_straight_line_goes_from_corner_to_corner() -> None:
    lines = shown(series={"a": [0.0, 1.0, 2.0, 3.0, 4.0]}, steps=range(5), unicode=False, height=9)
    rows = [line.split("|")[-1].split("+")[-1] for line in lines[1:10]]
    assert rows[0].rstrip().endswith("A")
    assert rows[-1].startswith("A")
    starts = [row.index("A") for row in rows]
    assert starts == sorted(starts, reverse=True)
    assert len(set(starts)) == len(starts)


def test_values_above_the_axis_are_marked_and_said() -> None:
    lines = shown(series={"a": [9.0, 1.0, 1.5, 1.2]}, steps=range(4), high=2.0)
    assert "↑" in lines[1]
    assert lines[-1] == "↑ above 2"
    assert "↑" not in "".join(shown(series={"a": [9.0, 1.0]}, steps=range(2)))


def test_gaps_and_no_values() -> None:
    assert shown(series={"a": [None, math.nan]}, steps=range(2)) == [
        "loss",
        "nothing to draw: no values",
    ]
    assert shown(series={}, steps=())[-1] == "nothing to draw: no values"
    assert "b (no values)" in "".join(shown(series={"a": [1.0], "b": [None]}, steps=[0]))


def test_a_logarithmic_axis_leaves_out_zero() -> None:
    lines = shown(series={"a": [0.0, 0.01, 100.0]}, steps=range(3), logarithmic=True)
    labels = [line.split("┤")[0].strip() for line in lines if "┤" in line]
    assert labels == ["100", "10", "1", "0.1", "0.01"]


@pytest.mark.parametrize("width", [1, 2, 10, 200])
def test_every_width_is_kept(width: int) -> None:
    lines = shown(width, series={"a" * 50: [1.0, 2.0], "b": [3.0, None]}, steps=range(2))
    assert all(len(line) <= width for line in lines)


def test_a_log_axis_is_for_positive_values_that_differ_much() -> None:
    assert needs_log_axis([0.01, 1.0, None])
    assert not needs_log_axis([0.5, 1.0])
    assert not needs_log_axis([0.0, 100.0])
    assert not needs_log_axis([])
