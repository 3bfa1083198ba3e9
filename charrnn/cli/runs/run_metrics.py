"""Metrics of a run, read from metrics.jsonl: one row for each step, and what can be plotted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

from charrnn.checkpointing.lookup import RUNS, checked_path
from charrnn.checkpointing.run_records import (
    MAX_METRICS_BYTES,
    NUMBERS,
    complete_lines,
    open_metrics,
    parse_row,
)
from charrnn.errors import CheckpointError, StorageError

COLUMNS = tuple(name for name in NUMBERS if name != "profile_every")
"""Numbers of a row that are read, by their names in metrics.jsonl."""

REACH = "gradient_reach_chars"
"""Name of the columns of the gradient's reach, before a dot and the name of the state."""

MAX_STATES = 100
"""States whose reach is read, at most."""

LOSSES = ("validation_nats_per_char", "validation_nats_per_symbol")


class Metric(StrEnum):
    """What can be plotted."""

    LOSS = "loss"
    RATE = "rate"
    NORM = "gradient-norm"
    REACH = "gradient-reach"


@dataclass(frozen=True)
class RunMetrics:
    """The rows of a run.

    Args:
        folder: the folder of the run.
        rows: numbers by column, by step in ascending order; rows of one step are merged.
    """

    folder: Path
    rows: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def columns(self) -> list[str]:
        """Return the names of the columns that have a number, in the order of `COLUMNS`."""
        found = {name for row in self.rows.values() for name in row}
        reach = sorted(name for name in found if name not in COLUMNS)
        return [name for name in COLUMNS if name in found] + reach

    def line(self, name: str, column: str) -> "Line":
        """Return one column as a line; steps without a number are left out."""
        pairs = [(step, row[column]) for step, row in self.rows.items() if column in row]
        return Line(name, tuple(s for s, _ in pairs), tuple(v for _, v in pairs))

    def reach(self, name: str) -> "Line":
        """Return the largest of the reaches of all states, by step."""
        found = {
            step: max(values)
            for step, row in self.rows.items()
            if (values := [value for key, value in row.items() if key.startswith(f"{REACH}.")])
        }
        return Line(name, tuple(found), tuple(found.values()))


@dataclass(frozen=True)
class Line:
    """Values of one run by step, in ascending order of the steps."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]

    def on_grid(self, last: int, points: int) -> list[float | None]:
        """Return the line at `points` steps from 0 to `last`, as `grid` has them.

        A point is the mean of the values nearest to it; without any, it lies between its
        neighbours. Points outside the first and the last value are None.
        """
        sums: dict[int, tuple[float, int]] = {}
        for step, value in zip(self.steps, self.values, strict=True):
            place = 0 if not last else (2 * step * (points - 1) + last) // (2 * last)
            total, count = sums.get(place, (0.0, 0))
            sums[place] = total + value, count + 1
        means = {place: total / count for place, (total, count) in sorted(sums.items())}
        found = [means.get(place) for place in range(points)]
        for before, after in pairwise(means):
            for place in range(before + 1, after):
                part = (place - before) / (after - before)
                found[place] = means[before] + part * (means[after] - means[before])
        return found


def grid(last: int, points: int) -> list[int]:
    """Return at most `points` steps from 0 to `last`, equally far from each other."""
    points = min(points, last + 1)
    return [last * place // max(1, points - 1) for place in range(points)]


@dataclass(frozen=True)
class Panel:
    """One chart: its lines, and what they are.

    Args:
        metric: what is plotted.
        title: its name and unit.
        lines: one for each run, or two for the loss of one run.
        note: how to read it, or why there is nothing.
    """

    metric: Metric
    title: str
    lines: tuple[Line, ...]
    note: str = ""

    @property
    def last(self) -> int:
        """The last step of all lines."""
        return max((line.steps[-1] for line in self.lines if line.steps), default=0)


def panels(runs: Mapping[str, RunMetrics], wanted: Sequence[Metric]) -> list[Panel]:
    """Return the charts of one or several runs.

    Args:
        runs: runs by the names that the charts show.
        wanted: what is plotted, in this order.
    """
    return [panel_of(runs, metric) for metric in wanted]


def panel_of(runs: Mapping[str, RunMetrics], metric: Metric) -> Panel:
    """Return one chart of one or several runs."""
    if metric is Metric.LOSS:
        return loss_panel(runs)
    if metric is Metric.RATE:
        lines = tuple(run.line(name, "lr") for name, run in runs.items())
        return Panel(metric, "learning rate", lines)
    if metric is Metric.NORM:
        lines = tuple(run.line(name, "gradient_norm") for name, run in runs.items())
        return Panel(metric, "gradient norm before clipping", lines)
    lines = tuple(run.reach(name) for name, run in runs.items())
    lacking = [line.name for line in lines if not line.steps]
    note = f"not logged by {', '.join(lacking)}: train with --watch-gradients" if lacking else ""
    return Panel(metric, "gradient reach: characters back until it is below 1%", lines, note)


def loss_panel(runs: Mapping[str, RunMetrics]) -> Panel:
    """Return the chart of losses: of one run in training and validation, of several in validation.

    A run without a validation has its training loss among several.
    """
    lines = []
    pairs = False
    for name, run in runs.items():
        validation = next((line for one in LOSSES if (line := run.line(name, one)).steps), None)
        training = run.line(name, "nats_per_char")
        pairs = pairs or any(LOSSES[1] in row for row in run.rows.values())
        if len(runs) == 1:
            lines.append(Line("training", training.steps, training.values))
            if validation is not None:
                lines.append(Line("validation", validation.steps, validation.values))
        elif validation is not None:
            lines.append(validation)
        else:
            lines.append(Line(f"{name} (training)", training.steps, training.values))
    kind = "loss" if len(runs) == 1 else "validation loss"
    unit = "symbol" if pairs else "character"
    return Panel(Metric.LOSS, f"{kind}, nats per {unit}", tuple(lines))


def read_metrics(folder: Path) -> RunMetrics:
    """Read the metrics of a run.

    Raises `CheckpointError` if there are none, and `StorageError` if the file cannot be read.
    """
    path = folder / "metrics.jsonl"
    rows: dict[int, dict[str, float]] = {}
    size = 0
    try:
        with open_metrics(path) as file:
            for line in complete_lines(file):
                size += len(line)
                if size > MAX_METRICS_BYTES:
                    break
                if (row := parse_row(line)) is not None:
                    rows.setdefault(row["step"], {}).update(numbers_of(row))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f"no metrics.jsonl in {str(folder)!r}", "the folder of a run"
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot read {str(path)!r}: {error.strerror or error}", "another run"
        ) from error
    return RunMetrics(folder, dict(sorted(rows.items())))


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a row by column, and the reach of the gradient of each state.

    The reach is the lag from which the gradient is below 1%; the largest lag of the profile if it
    is above 1% at all of them.
    """
    found = {name: row[name] for name in COLUMNS if name in row}
    if "characters" in found:
        found["characters"] = int(found["characters"])
    for state, line in list(row.get("gradient_by_lag", {}).items())[:MAX_STATES]:
        horizon = line["horizon_chars"]
        found[f"{REACH}.{state}"] = max(
            0, len(line["ratio"]) - 1 if horizon is None else int(horizon)
        )
    return found


def folder_of(path: str) -> Path:
    """Return a run's folder, also of one of its checkpoints."""
    checked = checked_path(path)
    return checked.parent if path.endswith(".npz") else checked


def newest_folder(advice: str) -> Path:
    """Return the run whose metrics were written last; `CheckpointError` with `advice` if none."""
    found = list(RUNS.glob("*/metrics.jsonl"))
    if not found:
        raise CheckpointError(f"no run under {str(RUNS)!r}", advice)
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent


def names_of(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a name for each run: that of its folder, or its path if two have the same name."""
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        yield name if names.count(name) == 1 else str(folder)
