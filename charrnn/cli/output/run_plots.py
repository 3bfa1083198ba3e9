"""Image files of the metrics of runs, drawn by matplotlib as in `image_plots`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from charrnn.cli.output.image_plots import (
    DASHES,
    LINE_COLOURS,
    MAX_NAME_WIDTH,
    import_matplotlib,
    matplotlib_text,
)

PANEL_INCHES = 2.3
MAX_LEGEND_NAME = 36  # characters
MAX_MARKED = 30  # points of a line that are marked


@dataclass(frozen=True)
class ImagePanel:
    """One chart of a figure.

    Args:
        title: what is drawn, and its unit.
        names: a name for each line.
        lines: steps and values of each line.
        logarithmic: whether the vertical axis is.
        low: the lower end of a linear axis; None: that of the values.
        high: the upper end of it; None: that of the values.
        note: text in a chart without values.
    """

    title: str
    names: Sequence[str]
    lines: Sequence[tuple[Sequence[int], Sequence[float]]]
    logarithmic: bool = False
    low: float | None = None
    high: float | None = None
    note: str = ""


def metrics_figure(panels: Sequence[ImagePanel], *, title: str) -> Any:
    """Return a matplotlib Figure: the charts below each other, with one axis of steps."""
    size = 7.5, 0.7 + PANEL_INCHES * len(panels)
    figure = import_matplotlib("figure", "--out").Figure(figsize=size, layout="constrained")
    figure.suptitle(matplotlib_text(title, MAX_NAME_WIDTH), fontsize="large")
    every = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, panel in zip(every, panels, strict=True):
        _draw_panel(axes, panel)
    every[-1].set_xlabel("step")
    every[-1].set_xlim(left=0)
    locator = import_matplotlib("ticker", "--out").MaxNLocator(integer=True, min_n_ticks=1)
    every[-1].xaxis.set_major_locator(locator)
    return figure


def _draw_panel(axes: Any, panel: ImagePanel) -> None:
    """Draw the lines of one chart, and its legend if there are several."""
    axes.set_title(panel.title, loc="left", fontsize="medium")
    handles = []
    for index, (steps, values) in enumerate(panel.lines):
        (line,) = axes.plot(
            steps,
            values,
            color=LINE_COLOURS[index % len(LINE_COLOURS)],
            linestyle=DASHES[index % len(DASHES)],
            linewidth=1.4,
            marker="o" if len(values) <= MAX_MARKED else "",
            markersize=3,
        )
        handles.append(line)
    if panel.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(panel.low, panel.high)
    if not any(len(values) for _, values in panel.lines):
        note = matplotlib_text(panel.note or "no values", 90)
        axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", color="0.4")
        axes.set_yticks([])
    elif len(handles) > 1:
        # matplotlib leaves out labels that begin with an underscore, so they come afterwards
        numbers = [str(index) for index in range(len(handles))]
        legend = axes.legend(handles, numbers, handlelength=3, fontsize="small")
        for text, name in zip(legend.get_texts(), panel.names, strict=True):
            text.set_text(matplotlib_text(name, MAX_LEGEND_NAME))
