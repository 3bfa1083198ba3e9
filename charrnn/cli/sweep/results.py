"""Results of a sweep: one row for each trial, best first, failures last."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from charrnn.checkpointing.run_records import as_count, as_number
from charrnn.cli.output.console import duration
from charrnn.cli.output.safe_text import label
from charrnn.cli.sweep.plan import SweepPlan
from charrnn.cli.trials.trial import (
    DIVERGED,
    FAILED,
    FINISHED,
    KILLED,
    Outcome,
    read_outcome,
    read_result,
)
from charrnn.training.search_space import Point
from charrnn.types import JSON


@dataclass(frozen=True)
class Row:
    """The result of one trial.

    Args:
        number: its number, from 1.
        folder: its run.
        point: the options that differ between trials, by flag.
        outcome: how it ended.
        nats: loss on the validation part of what trials read, in nats per character, or per symbol
            for pairs; None if there is none.
        steps: steps trained.
        best_step: the step of the model with this loss.
        parameters: number of parameters.
        per: what the loss is per: `char` or `symbol`.
    """

    number: int
    folder: Path
    point: Point
    outcome: Outcome
    nats: float | None
    steps: int | None
    best_step: int | None
    parameters: int | None
    per: str

    def as_dict(self) -> dict[str, JSON]:
        """Return the row as JSON values, units in the names."""
        return {
            "trial": self.number,
            "settings": {plain(flag): value for flag, value in self.point.items()},
            "status": self.outcome.status,
            "exit_code": self.outcome.exit_code,
            f"validation_nats_per_{self.per}": self.nats,
            f"validation_bits_per_{self.per}": bits(self.nats),
            "best_step": self.best_step,
            "steps": self.steps,
            "parameters": self.parameters,
            "seconds": self.outcome.seconds,
            "folder": str(self.folder),
            "error": self.outcome.error,
        }


def bits(nats: float | None) -> float | None:
    """Return a loss in bits."""
    return None if nats is None else nats / math.log(2)


def plain(flag: str) -> str:
    """Return an option without its dashes."""
    return flag.removeprefix("--")


def rows_of(folder: Path, plan: SweepPlan) -> list[Row]:
    """Return the results in the folders of the trials: by loss, those without a loss last."""
    per = "symbol" if "--layout" in plan.reading else "char"
    rows = [
        row_of(number, plan.trial_folder(folder, number), point, per)
        for number, point in enumerate(plan.points, 1)
    ]
    return sorted(rows, key=lambda row: (row.nats is None, row.nats or 0.0, row.number))


def row_of(number: int, folder: Path, point: Point, per: str) -> Row:
    """Return the result of one trial; only a finished one has a loss."""
    outcome = read_outcome(folder)
    found = read_result(folder) if outcome.status == FINISHED else {}
    validation = found.get("validation")
    scored = validation if isinstance(validation, dict) else {}
    return Row(
        number,
        folder,
        point,
        outcome,
        as_number(found.get("validation_nats_per_char", scored.get("nats_per_symbol"))),
        as_count(found.get("steps")),
        as_count(found.get("best_step")),
        as_count(found.get("parameters")),
        per,
    )


def results_table(rows: Sequence[Row], flags: Sequence[str]) -> Table:
    """Return the table of all trials."""
    per = rows[0].per if rows else "char"
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right")
    for flag in flags:
        table.add_column(plain(flag), justify="right", overflow="fold")
    for title in (f"nats/{per}", f"bits/{per}", "best step", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for place, row in enumerate(rows):
        best = place == 0 and row.nats is not None
        table.add_row(
            str(row.number),
            *(label(row.point[flag]) for flag in flags),
            *(f"{value:.4f}" if value is not None else "-" for value in (row.nats, bits(row.nats))),
            f"{row.best_step:,}" if row.best_step is not None else "-",
            duration(row.outcome.seconds) if row.outcome.seconds else "-",
            row.outcome.status,
            style="bold green" if best else "",
        )
    return table


def failures(rows: Sequence[Row], noun: str) -> list[str]:
    """Return a line for each run that has failed: what it said, without advice for `train`."""
    return [
        f"{noun} {row.number} {row.outcome.status}: {problem_of(row) or 'no message'}"
        for row in sorted(rows, key=lambda row: row.number)
        if row.outcome.status in (DIVERGED, FAILED, KILLED)
    ]


def problem_of(row: Row) -> str:
    """Return what went wrong in a run, without the advice."""
    return label(row.outcome.problem)


def results_as_csv(rows: Sequence[Row], flags: Sequence[str]) -> str:
    """Return the table as CSV, a row for each trial."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [name for name in rows[0].as_dict() if name != "settings"]
    first, *others = names
    writer.writerow([first, *map(plain, flags), *others])
    for row in rows:
        values = row.as_dict()
        settings = (row.point[flag] for flag in flags)
        writer.writerow([values[first], *settings, *(values[name] for name in others)])
    return out.getvalue()
