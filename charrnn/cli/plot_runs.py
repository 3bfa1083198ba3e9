"""`charrnn plot`: loss, learning rate, gradient norm and gradient reach of runs."""

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Group

from charrnn.checkpointing.lookup import checked_path
from charrnn.cli.completion import complete_run
from charrnn.cli.options import Json
from charrnn.cli.output.console import answer, say
from charrnn.cli.output.image_plots import check_plot, save_figure
from charrnn.cli.output.line_chart import line_chart, needs_log_axis
from charrnn.cli.output.run_plots import ImagePanel, metrics_figure
from charrnn.cli.output.safe_text import label, unicode_ok, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.runs.run_metrics import (
    Metric,
    Panel,
    RunMetrics,
    folder_of,
    grid,
    names_of,
    newest_folder,
    panels,
    read_metrics,
)
from charrnn.errors import UsageError

TEXT_POINTS, IMAGE_POINTS = 160, 600
"""Points of a line in the terminal and in an image; more steps are averaged."""

LOSS_HEIGHT, HEIGHT = 15, 7
"""Rows of the chart of the loss, and of the others."""

START_SHARE = 0.05
"""Share of the steps at the start of a run whose losses do not stretch the axis."""

EXPLODED_NATS = 100.0
"""Loss in nats per character that only runs reach that have exploded."""

Series: TypeAlias = Mapping[str, Sequence[float | None]]
"""Values of the lines of a chart, all on one grid of steps."""

MAX_RUNS = 100
"""Runs that are plotted at once, at most."""


def plot_runs(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUNS]",
            autocompletion=complete_run,
            help="Folders of runs. Default: the newest run under ./checkpoints.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        list[Metric] | None,
        typer.Option(
            "--metric",
            help="What to plot; can be given several times. Default: all of them that were logged.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Save an image as FILE.png, .svg or .pdf, with matplotlib (the extra plot).",
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: a row for each run and step.")
    ] = False,
    json: Json = False,
) -> None:
    """Plot loss, learning rate, gradient norm and gradient reach of one or several runs.

    For example: charrnn plot checkpoints/a checkpoints/b --metric loss. The gradient reach needs
    charrnn train --watch-gradients.
    """
    chosen = [flag for flag, on in (("--csv", as_csv), ("--json", json), ("--out", out)) if on]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} contradict each other", "one of them")
    image = None if out is None else checked_path(out)
    if image is not None:
        check_plot(image, "--out")
    found = read_runs(runs or [])
    if as_csv:
        write_plain(csv_of(found))
        return
    if json:
        write_plain(f"{to_json({'runs': [as_json(run) for run in found.values()]})}\n")
        return
    drawn = panels(found, list(dict.fromkeys(metric or Metric)))
    if metric is None:
        drawn = [one for one in drawn if any(line.steps for line in one.lines)] or drawn[:1]
    title = ", ".join(label(name) for name in found)
    if image is not None:
        save_figure(
            image, lambda: metrics_figure(list(map(image_panel, drawn)), title=title), "--out"
        )
        return
    if not runs:
        say(f"charrnn: {', '.join(label(str(run.folder)) for run in found.values())}")
    answer(Group(*map(text_chart, drawn)))


def read_runs(paths: Sequence[str]) -> dict[str, RunMetrics]:
    """Read the metrics of runs, by the names that charts show; without paths, of the newest.

    Raises `UsageError` for too many, and errors as `read_metrics` does.
    """
    folders = [folder_of(path) for path in paths] or [newest_folder("charrnn train first")]
    folders = list(dict.fromkeys(folders))
    if len(folders) > MAX_RUNS:
        raise UsageError(f"{len(folders)} runs are too many for one plot", f"up to {MAX_RUNS}")
    return dict(zip(names_of(folders), map(read_metrics, folders), strict=True))


def text_chart(panel: Panel) -> Any:
    """Return a chart for the terminal."""
    steps = grid(panel.last, TEXT_POINTS)
    series = {line.name: line.on_grid(panel.last, len(steps)) for line in panel.lines}
    log = logarithmic(panel, series)
    return line_chart(
        series,
        steps,
        title=panel.title,
        x_label="step",
        unicode=unicode_ok(sys.stdout),
        height=LOSS_HEIGHT if panel.metric is Metric.LOSS else HEIGHT,
        logarithmic=log,
        low=0.0 if panel.metric is Metric.REACH else None,
        high=highest(panel, series),
        note=panel.note,
    )


def image_panel(panel: Panel) -> ImagePanel:
    """Return a chart for an image: long lines are averaged, short ones are exact."""
    points = grid(panel.last, IMAGE_POINTS)
    lines: list[tuple[Sequence[int], Sequence[float]]] = []
    for line in panel.lines:
        if len(line.steps) <= IMAGE_POINTS:
            lines.append((line.steps, line.values))
            continue
        values = line.on_grid(panel.last, len(points))
        known = [(s, v) for s, v in zip(points, values, strict=True) if v is not None]
        lines.append(([s for s, _ in known], [v for _, v in known]))
    names = [line.name + ("" if line.steps else " (not logged)") for line in panel.lines]
    series = {line.name: line.on_grid(panel.last, len(points)) for line in panel.lines}
    log = logarithmic(panel, series)
    low = 0.0 if panel.metric is Metric.REACH else None
    high = None if log else highest(panel, series)
    return ImagePanel(panel.title, names, lines, log, low, high, panel.note)


def logarithmic(panel: Panel, series: Series) -> bool:
    """Return whether a chart has a logarithmic axis.

    Losses have one if a run exploded, learning rates if those of two runs differ much.
    """
    if panel.metric is Metric.LOSS:
        return (highest(panel, series) or 0) > EXPLODED_NATS
    if panel.metric is Metric.RATE:
        known = ([value for value in values if value is not None] for values in series.values())
        return needs_log_axis(max(values) for values in known if values)
    return needs_log_axis(value for values in series.values() for value in values)


def highest(panel: Panel, series: Series) -> float | None:
    """Return the value up to which the axis of losses goes: the start of a run may lie above."""
    if panel.metric is not Metric.LOSS:
        return None
    points = max(map(len, series.values()), default=0)
    start = int(START_SHARE * points)
    later = [value for values in series.values() for value in values[start:] if value is not None]
    return max(later, default=None)


def columns_of(runs: Mapping[str, RunMetrics]) -> list[str]:
    """Return the names of the columns of several runs."""
    return list(dict.fromkeys(name for run in runs.values() for name in run.columns()))


def csv_of(runs: Mapping[str, RunMetrics]) -> str:
    """Return the metrics of runs as CSV: run, step, and the columns that were logged."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    columns = columns_of(runs)
    writer.writerow(["run", "step", *columns])
    writer.writerows(csv_rows(runs, columns))
    return written.getvalue()


def csv_rows(runs: Mapping[str, RunMetrics], columns: Sequence[str]) -> Iterator[list[object]]:
    """Yield the rows of `csv_of`; what was not logged at a step is empty."""
    for run in runs.values():
        for step, row in run.rows.items():
            yield [str(run.folder), step, *(row.get(name, "") for name in columns)]


def as_json(run: RunMetrics) -> dict[str, Any]:
    """Return the metrics of a run as JSON values."""
    rows = [{"step": step} | dict(row) for step, row in run.rows.items()]
    return {"run": str(run.folder), "rows": rows}
