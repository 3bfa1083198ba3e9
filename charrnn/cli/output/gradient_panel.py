"""Gradient panel: the state of a run's gradient on one screen, from rows of its metrics.jsonl.

`train --watch-gradients` shows it during training; `inspect-gradients --live` reads the file from a
second terminal.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from charrnn.analysis.gradient_monitor import (
    RECENT_STEPS,
    SPIKE_RATIO,
    norms_by_layer,
    recent_norms,
)
from charrnn.cli.output.console import facts_table
from charrnn.cli.output.safe_text import one_line, unicode_ok
from charrnn.cli.output.text_plots import sparkline

SPARK_WIDTH = 24
MIN_SHARE = 1e-4


class GradientPanel:
    """The latest rows of a run, summarised; a rich renderable.

    Args:
        stream: where it will be drawn, stderr by default. Its encoding is read here, because rich
            may replace the stream later.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.unicode = unicode_ok(stream)
        self.rows: deque[Mapping[str, Any]] = deque(maxlen=RECENT_STEPS)
        self.norms_row: Mapping[str, Any] = {}
        self.by_lag: Mapping[str, Any] = {}
        self.validation: Mapping[str, Any] = {}
        self.step = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one row of metrics.jsonl, of any kind."""
        self.step = max(self.step, int(row.get("step", 0)))
        if "gradient_norm" in row:
            self.rows.append(row)
        if "gradient_norms" in row:
            self.norms_row = row
        if "gradient_by_lag" in row:
            self.by_lag = row
        if "validation_nats_per_char" in row:
            self.validation = row

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(f"gradient at step {self.step:,}", style="bold")]
        parts.append(facts_table(dict(self._facts())))
        if self.norms_row:
            parts.append(self._table())
        return Group(*parts)

    def _facts(self) -> Iterator[tuple[str, str]]:
        latest = self.rows[-1] if self.rows else None
        known = recent_norms(self.rows)
        if latest is None or known is None:
            yield "norm", "no step has been logged yet"
            return
        yield (
            "loss",
            (f"{latest['nats_per_char']:.3f} nats" if "nats_per_char" in latest else "not finite")
            + (
                f", validation {self.validation['validation_nats_per_char']:.3f}"
                if self.validation
                else ""
            ),
        )
        yield (
            "norm",
            f"{latest['gradient_norm']:.3g} before clipping, "
            f"{latest['gradient_norm_clipped']:.3g} after; median {known.median_norm:.3g}",
        )
        yield "clip", f"binds in {known.clipped:.0%} of the last {known.steps} steps"
        named = ", ".join(f"{step:,}" for step in known.spikes[-5:])
        yield (
            "spikes",
            f"at steps {named}" if known.spikes else f"none above {SPIKE_RATIO:g} times the median",
        )
        if self.norms_row:
            norms = norms_by_layer(self.norms_row["gradient_norms"])
            yield "layers", ", ".join(f"{name} {value:.3g}" for name, value in norms.items())
        for name, line in self.by_lag.get("gradient_by_lag", {}).items():
            yield f"{one_line(name)} by lag", describe_by_lag(line, self.unicode)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("parameter")
        table.add_column("gradient norm", justify="right")
        table.add_column("update / weight", justify="right")
        ratios = self.norms_row["update_to_weight"]
        for name, value in self.norms_row["gradient_norms"].items():
            ratio = ratios.get(name)
            moved = "-" if ratio is None else f"{ratio:.1e}"
            table.add_row(Text(one_line(name)), f"{value:.3g}", moved)
        return table


def describe_by_lag(line: Mapping[str, Any], unicode: bool) -> str:
    """Return a sparkline of the gradient by lag (log scale), and where it falls to 1%."""
    ratios = line["ratio"]
    drawn = sparkline(ratios, log=True, unicode=unicode, width=SPARK_WIDTH, low=MIN_SHARE, high=1.0)
    horizon = line["horizon_chars"]
    reach = (
        f"above 1% for {len(ratios) - 1} characters"
        if horizon is None
        else f"1% after {horizon} characters"
    )
    rate = line["rate_per_char"]
    times = "×" if unicode else "x"
    return f"{drawn} {reach}" + ("" if rate is None else f", {times}{rate:.2f} each")
