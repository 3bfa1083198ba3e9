"""`charrnn runs`: runs with status, best loss, size and age."""

import math
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from charrnn.checkpointing.lookup import RUNS, checked_path, runs_under
from charrnn.cli.options import Json
from charrnn.cli.output.console import answer, say
from charrnn.cli.output.safe_text import label, shell_command, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.runs.run_status import RunSummary, Status, summary_of
from charrnn.errors import CheckpointError
from charrnn.run_files import is_run

STYLES = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.INTERRUPTED: "yellow",
    Status.DIVERGED: "red",
    Status.DAMAGED: "red",
    Status.MODEL: "",
}

MINUTE, HOUR, DAY, YEAR = 60, 3_600, 86_400, 31_557_600
"""Seconds; a year is 365.25 days."""


class Order(StrEnum):
    """What runs are sorted by."""

    AGE = "age"
    LOSS = "loss"
    NAME = "name"


def list_runs(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDERS]",
            help="Folders of runs, or runs. Default: ./checkpoints.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        Order,
        typer.Option(
            "--sort", help="Order: the newest first, the lowest validation loss first, or by name."
        ),
    ] = Order.AGE,
    json: Json = False,
) -> None:
    """List runs: status, progress, best validation loss, network, size on disk and age.

    For example: charrnn runs --sort loss. Statuses: running, finished, interrupted, diverged,
    damaged (a checkpoint cannot be read), and model only (no state of training).
    """
    places = [checked_path(folder) for folder in folders or [str(RUNS)]]
    found = sorted_runs([summary_of(run) for run in find_runs(places, given=bool(folders))], sort)
    if json:
        write_plain(f"{to_json({'runs': [as_json(run) for run in found]})}\n")
    elif found:
        answer(runs_table(found, time.time()))
    else:
        where = ", ".join(label(str(place)) for place in places)
        say(f"charrnn: no runs in {where}; begin one with: charrnn train")


def find_runs(places: Sequence[Path], *, given: bool) -> list[Path]:
    """Return the runs in folders, and the folders that are runs themselves; none of them twice.

    Raises `CheckpointError` for a folder that cannot be read; a default that does not exist (not
    `given`) has no runs.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not given and not place.exists():
            continue
        try:
            itself = is_run(place)
        except OSError as error:
            raise CheckpointError(
                f"cannot read {label(str(place))}: {error.strerror}", "another folder"
            ) from error
        found |= dict.fromkeys([place] if itself else runs_under(place))
    return list(found)


def sorted_runs(found: Sequence[RunSummary], order: Order) -> list[RunSummary]:
    """Return runs in an order; those without a loss come last in the order of losses."""
    if order is Order.NAME:
        return sorted(found, key=lambda run: str(run.folder))
    newest = sorted(found, key=lambda run: -run.changed)
    if order is Order.AGE:
        return newest
    return sorted(newest, key=lambda run: math.inf if run.best_nats is None else run.best_nats)


def as_json(run: RunSummary) -> dict[str, Any]:
    """Return a run as JSON values."""
    changed = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(run.changed))
    return vars(run) | {"folder": str(run.folder), "changed": changed}


def runs_table(found: Sequence[RunSummary], now: float) -> RenderableType:
    """Return a table of runs, and what can be done with an interrupted one."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")
    table.add_column("status", no_wrap=True)
    for title in ("done", "loss", "network", "disk", "age"):
        table.add_column(title, justify="right", no_wrap=True)
    for run in found:
        table.add_row(
            Text(label(str(run.folder))),
            Text(run.status, STYLES[run.status]),
            done(run),
            loss(run.best_nats),
            network(run),
            disk(run.size_bytes),
            age(now - run.changed),
        )
    return Group(table, *(Text(line, "dim") for line in notes(found)))


def notes(found: Sequence[RunSummary]) -> list[str]:
    """Return lines that explain a table of runs."""
    units = {run.unit for run in found if run.best_nats is not None}
    names = {"char": "character", "symbol": "symbol (of pairs)"}
    lines = []
    if units:
        each = " or ".join(names[unit] for unit in sorted(filter(None, units)))
        lines.append(f"loss: that of the best validation, in nats per {each}")
    stopped = [run for run in found if run.status is Status.INTERRUPTED and run.network]
    if stopped:
        command = shell_command("charrnn", "train", "--resume", str(stopped[0].folder))
        lines.append(f"continue an interrupted run: {command}")
    return lines


def done(run: RunSummary) -> str:
    """Return the share of the planned steps that a run has taken."""
    if run.step is None or not run.steps:
        return "-"
    return f"{min(100, 100 * run.step // run.steps)}%"


def loss(nats: float | None) -> str:
    """Return a loss with four decimals; that of a run that exploded with three digits."""
    if nats is None:
        return "-"
    return f"{nats:.4f}" if nats < 1_000 else f"{nats:.2e}"


def network(run: RunSummary) -> str:
    """Return layers, units and cell of a run."""
    if run.network is None:
        return "-"
    return f"{run.network['layers']}×{run.network['hidden']} {label(run.network['cell'])}"


def disk(size: int) -> str:
    """Return a number of bytes as text, in decimal units.

    Example:
        >>> disk(1_530_000)
        '1.5 MB'
    """
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB")):
        if size < limit:
            shown = size * 1e3 / limit
            return f"{shown:.1f} {unit}" if shown < 10 and unit != "B" else f"{shown:.0f} {unit}"
    return f"{size / 1e9:.1f} GB"


def age(seconds: float) -> str:
    """Return an age as text: one number and its unit.

    Example:
        >>> age(7_300)
        '2 h'
    """
    seconds = max(0.0, seconds)
    for limit, each, unit in ((MINUTE, 1, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h")):
        if seconds < limit:
            return f"{seconds // each:.0f} {unit}"
    return f"{seconds // DAY:.0f} d" if seconds < YEAR else f"{seconds // YEAR:.0f} y"
