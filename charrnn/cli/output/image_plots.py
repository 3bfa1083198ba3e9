"""Image files of gradient profiles, drawn by matplotlib, which is optional.

matplotlib is imported inside the functions, because importing it takes longer than the rest of the
program. pyplot is not used, and no global setting is changed.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from charrnn.checkpointing.npz_format import bounded_repr
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.output.text_plots import Values, decade_label, shortened
from charrnn.errors import StorageError, UsageError
from charrnn.system.files import write_atomically

TIMELESS_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Metadata for `savefig` by file ending. Equal data should give equal files."""

STYLE: dict[str, Any] = {
    "svg.hashsalt": "charrnn",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "legend.frameon": False,
}
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # distinct without colour too
MIN_SHOWN, MAX_SHOWN = 1e-6, 1e12  # values outside are drawn outside the axes
BAND = "shaded: p10 to p90"
HEAT_MAP_MIN = 1e-4  # ratio of the darkest shade
MAX_NAME_WIDTH, MAX_LAYER_NAME_WIDTH = 76, 20  # characters


@dataclass(frozen=True)
class Curve:
    """A ratio by lag, with an optional band around it. None is a gap."""

    name: str
    """Entry of the legend."""
    lags: Sequence[int]
    """Lags in characters, one for each value."""
    values: Values
    """The ratios."""
    low: Values = ()
    """Lower edge of the band; empty for no band."""
    high: Values = ()
    """Upper edge of the band."""


@dataclass(frozen=True)
class HeatMap:
    """Ratios by layer and by lag."""

    lags: Sequence[int]
    """Lags of the columns, in characters."""
    rows: Mapping[str, Values]
    """Ratios by the names of layers, from the first layer."""


@dataclass(frozen=True)
class AxisLabels:
    """Names of the axes and of the bands, and whether lags, from 1 on, are on a log axis."""

    x: str
    y: str
    band: str
    logarithmic_lags: bool = False


GRADIENT_LABELS = AxisLabels("characters back", "gradient norm relative to lag 0", BAND)


def check_plot(path: Path, option: str = "--plot") -> None:
    """Raise UsageError unless `save_plot` can write such a file; to be called before long work.

    The ending determines the format, and matplotlib must be installed. Errors name the `option`.
    """
    if path.suffix.lower() not in TIMELESS_METADATA:
        raise UsageError(
            f"cannot draw {bounded_repr(path)}: its ending names no format", ".png, .svg or .pdf"
        )
    import_matplotlib("figure", option)


def save_plot(
    path: Path,
    curves: Sequence[Curve],
    *,
    title: str,
    heat_map: HeatMap | None = None,
    labels: AxisLabels = GRADIENT_LABELS,
) -> None:
    """Draw curves by lag into a .png, .svg or .pdf, written whole or not at all.

    Raises UsageError as `check_plot` does, StorageError if the file cannot be written.
    """
    save_figure(path, lambda: profile_figure(curves, title=title, heat_map=heat_map, labels=labels))


def save_figure(path: Path, draw: Callable[[], Any], option: str = "--plot") -> None:
    """Write the matplotlib Figure that `draw` returns, whole or not at all.

    Raises UsageError as `check_plot` does, StorageError if the file cannot be written; both name
    the `option`.
    """
    check_plot(path, option)
    ending = path.suffix.lower()
    content = BytesIO()
    with default_style():
        metadata = TIMELESS_METADATA[ending]
        draw().savefig(content, format=ending[1:], dpi=150, metadata=metadata)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise StorageError(
            f"cannot write {bounded_repr(path)}: {error.strerror}", f"another place for {option}"
        ) from error


def import_matplotlib(module: str, option: str = "--plot") -> Any:
    """Import one of matplotlib's modules; raises UsageError if it is not installed."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise UsageError(f"{option} needs matplotlib", "pip install matplotlib") from error


@contextmanager
def default_style() -> Iterator[None]:
    """Use the default style whatever matplotlibrc says, and ignore warnings of missing glyphs."""
    with import_matplotlib("style").context(["default", STYLE]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def profile_figure(
    curves: Sequence[Curve],
    *,
    title: str,
    heat_map: HeatMap | None = None,
    labels: AxisLabels = GRADIENT_LABELS,
) -> Any:
    """Return a matplotlib Figure: curves above, the heat map below if there is one."""
    if heat_map and not (heat_map.rows and heat_map.lags):
        heat_map = None
    names = [matplotlib_text(curve.name, MAX_NAME_WIDTH) for curve in curves]
    banded = any(curve.low and curve.high for curve in curves)
    entries = [*names, labels.band] if banded else names
    legend_columns = max(1, 84 // (max(map(len, entries), default=0) + 8))
    legend_rows = math.ceil(len(entries) / legend_columns)
    below = 0.9 + 0.35 * len(heat_map.rows) if heat_map else 0.0  # inches, as all sizes here

    size = 7.5, 4.2 + 0.22 * legend_rows + below
    figure = import_matplotlib("figure").Figure(figsize=size, layout="constrained")
    heights = [3.6, below] if heat_map else [1.0]
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(matplotlib_text(title, MAX_NAME_WIDTH), fontsize="large")
    axes = panels[0]
    handles = [_draw(axes, index, curve) for index, curve in enumerate(curves)]
    if banded:
        handles.append(import_matplotlib("patches").Patch(color="0.85"))
    axes.axhline(0.01, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.set_ylabel(labels.y)
    _scale(axes, curves)
    if heat_map:
        _draw_heat_map(figure, panels[1], heat_map)
    last = max((lag for curve in curves for lag in curve.lags), default=0)
    for panel in panels:
        panel.set_xlabel(labels.x)
        if labels.logarithmic_lags:
            panel.set_xscale("log")
            panel.set_xlim(1, max(last, 2))
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            continue
        panel.set_xlim(0 if last else -0.5, last or 0.5)
        locator = import_matplotlib("ticker").MaxNLocator(integer=True, min_n_ticks=1)
        panel.xaxis.set_major_locator(locator)
    if handles:
        # matplotlib leaves out labels that begin with an underscore, so they come afterwards
        numbers = [str(index) for index in range(len(handles))]
        place = {"loc": "outside lower center", "ncols": legend_columns, "handlelength": 3}
        legend = figure.legend(handles, numbers, **place)
        for text, entry in zip(legend.get_texts(), entries, strict=True):
            text.set_text(entry)
    return figure


def matplotlib_text(name: str, longest: int) -> str:
    """Return a name on one line, shortened, its `$` escaped, which would begin mathematics."""
    return shortened(one_line(name), longest, unicode=True).replace("$", r"\$")


def clipped_values(values: Values) -> list[float]:
    """Return values for a logarithmic axis: NaN for gaps, others clipped just outside its range."""
    return [
        math.nan
        if value is None or math.isnan(value) or value < 0
        else min(max(value, MIN_SHOWN / 100), MAX_SHOWN * 100)
        for value in values
    ]


def _draw(axes: Any, index: int, curve: Curve) -> Any:
    """Draw a curve over its band; return the line for the legend."""
    colour = LINE_COLOURS[index % len(LINE_COLOURS)]
    if curve.low and curve.high:
        band = clipped_values(curve.low), clipped_values(curve.high)
        axes.fill_between(curve.lags, *band, color=colour, alpha=0.15, linewidth=0)
    values = clipped_values(curve.values)
    (line,) = axes.plot(
        curve.lags,
        values,
        color=colour,
        linestyle=DASHES[index % len(DASHES)],
        linewidth=1.6,
        marker="o" if len(values) == 1 else "",
    )
    return line


def _scale(axes: Any, curves: Sequence[Curve]) -> None:
    """Set the vertical axis: whole powers of ten, from 1% or less to 1 or more."""
    ticker = import_matplotlib("ticker")
    logs = [
        math.log10(value)
        for curve in curves
        for value in clipped_values(curve.values)
        if MIN_SHOWN <= value <= MAX_SHOWN
    ]
    bottom = min(-2, math.floor(min(logs, default=0)))
    top = max(0, math.ceil(max(logs, default=0) - 0.1))
    axes.set_yscale("log")
    axes.set_ylim(10.0**bottom / 1.5, 10.0**top * 1.5)
    axes.yaxis.set_major_locator(ticker.LogLocator(numticks=12))
    axes.yaxis.set_major_formatter(lambda value, _: decade_label(round(math.log10(value))))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _draw_heat_map(figure: Any, axes: Any, heat_map: HeatMap) -> None:
    """Draw a row for each layer, the first layer at the bottom."""
    count = len(heat_map.lags)
    padded = [[*clipped_values(row), *[math.nan] * count][:count] for row in heat_map.rows.values()]
    edges = [lag - 0.5 for lag in heat_map.lags] + [lag + 0.5 for lag in heat_map.lags[-1:]]
    axes.set_facecolor("0.85")  # shows through where there is no value
    shades = axes.pcolormesh(
        edges,
        range(len(padded) + 1),
        padded,
        norm=import_matplotlib("colors").LogNorm(HEAT_MAP_MIN, 1.0),
        cmap="viridis",
        rasterized=True,
    )
    names = [matplotlib_text(name, MAX_LAYER_NAME_WIDTH) for name in heat_map.rows]
    axes.set_yticks([row + 0.5 for row in range(len(names))], labels=names)
    bar = figure.colorbar(shades, ax=axes, extend="both", pad=0.02, aspect=8)
    exponents = range(round(math.log10(HEAT_MAP_MIN)), 1)
    bar.set_ticks(
        [10.0**exponent for exponent in exponents], labels=list(map(decade_label, exponents))
    )
    bar.ax.minorticks_off()
    bar.set_label("relative\nto lag 0")
