"""Terminal view of inspections: tables, charts by lag, heat maps, verdicts."""

import math
import sys
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from charrnn.analysis.context import ContextLosses, Influence
from charrnn.analysis.gradient_profile import exp_or_none
from charrnn.analysis.profile_table import PROFILE_HEADINGS, profile_row, state_name
from charrnn.cli.inspect.inspection import Inspection
from charrnn.cli.inspect.models import InspectedModel
from charrnn.cli.inspect.wording import spell_signs
from charrnn.cli.output.console import Screen, facts_table
from charrnn.cli.output.image_plots import GRADIENT_LABELS, Curve, HeatMap
from charrnn.cli.output.log_chart import heat_map, log_chart
from charrnn.cli.output.safe_text import one_line, unicode_ok
from charrnn.cli.output.text_columns import glyphs
from charrnn.cli.output.text_plots import bar, coloured_text, supports_colour
from charrnn.data.characters import byte_name, quoted

CHART_ROWS = 14
MAX_NAMED_TEXTS = 4
STYLES = {
    "sufficient": "green",
    "healthy": "green",
    "cut": "yellow",
    "short": "yellow",
    "fading": "yellow",
    "vanishing": "red",
    "exploding": "red",
    "nonfinite": "red",
}


class TerminalView:
    """Prints inspections to stdout, with the characters and colours that the terminal supports."""

    def __init__(self) -> None:
        self.console: Console = Screen(highlight=False)
        self.unicode = unicode_ok(sys.stdout)

    def show(self, found: Sequence[Inspection], *, everything: bool) -> None:
        """Show models side by side, then each in detail, then the verdicts."""
        self._title(found)
        self.console.print(self._summary(found))
        self.console.print()
        self.console.print(self._chart(found))
        for one in found:
            if len(one.profile.main_states) > 1:
                self.console.print(self._heat(one))
        for name in found[0].metrics:
            measured = [(one.model, one.metrics[name]) for one in found]
            table = type(measured[0][1]).comparison(measured, self.unicode)
            if table is not None:
                self.console.print()
                self.console.print(table)
        if everything:
            for one in found:
                self.console.print()
                self._details(one)
        self.console.print()
        self.verdicts(found, wrap=True)

    def verdicts(self, found: Sequence[Inspection], *, wrap: bool = False) -> None:
        """Print the verdict on each model; in one line of any length unless `wrap` is true."""
        for one in found:
            line = Text()
            if len(found) > 1:
                line.append(f"{one_line(one.model.name)}: ", style="bold")
            line.append(one_line(one.verdict.sentence), style=STYLES[one.verdict.kind])
            self.console.print(line, soft_wrap=not wrap)
            for note in one.profile.notes:
                self.console.print(Text(f"note: {note}"), soft_wrap=not wrap)

    def influence(self, model: InspectedModel, text: str, found: Influence) -> None:
        """Show a text, coloured by the influence of each character on the prediction after it."""
        prediction_name = model.prediction_name(found.target)
        target = byte_name(prediction_name) if model.as_bytes else quoted(prediction_name)
        chance = "" if found.probability is None else f" (probability {found.probability:.2f})"
        self.console.print(
            Text(f"{one_line(model.name)}: influence on the prediction {target}{chance}")
        )
        strengths = [0.0 if share is None else share for share in found.shares[: len(text)]]
        shown, strengths = glyphs(text, strengths, as_bytes=model.as_bytes)
        self.console.print(
            coloured_text(
                shown,
                strengths,
                colour=supports_colour(self.console),
                unicode=self.unicode,
                width=self.console.width,
            )
        )

    def context(self, model: InspectedModel, found: ContextLosses) -> None:
        """Show the loss by context length."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("characters seen", "nats", "bits", "loss above the full context"):
            table.add_column(title, justify="left" if "above" in title else "right")
        full = found.full_nats_per_char
        rows = [*zip(found.lags, found.nats_per_char, strict=True), (found.full_chars, full)]
        largest = max((n - full for _, n in rows if n is not None and full is not None), default=0)
        for seen, nats in rows:
            if nats is None or full is None:
                table.add_row(str(seen), "-", "-", "not finite")
                continue
            drawn = bar(nats - full, largest, 30, self.unicode)
            table.add_row(str(seen), f"{nats:.3f}", f"{nats / math.log(2):.3f}", Text(drawn))
        self.console.print(Text(f"{one_line(model.name)} on {one_line(model.text_name)}"))
        self.console.print(table)
        effective = found.effective_chars
        reach = f"more than {found.lags[-1]}" if effective is None else f"{effective}"
        self.console.print(
            Text(
                f"effective context: {reach} characters (the loss is within 1% of that with "
                f"{found.full_chars})"
            )
        )

    def _title(self, found: Sequence[Inspection]) -> None:
        state = "trained" if found[0].model.trained else "at initialisation"
        counts = sorted({one.profile.windows for one in found})
        windows = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        self.console.print(
            Text(
                f"gradient of the loss at one character, {state}, on "
                f"{one_line(text_names(found))}, mean of {windows} windows",
                style="bold",
            )
        )

    def _summary(self, found: Sequence[Inspection]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        several = len({one.model.text_name for one in found}) > 1
        for title, side in (
            ("model", "left"),
            *([("text", "left")] if several else []),
            *zip(PROFILE_HEADINGS, ("left", "right", "right", "right"), strict=True),
            ("verdict", "left"),
        ):
            table.add_column(title, justify="right" if side == "right" else "left")
        for one in found:
            for number, line in enumerate(one.profile.lines):
                state, halved, horizon, rate = profile_row(line, one.profile.lags)
                table.add_row(
                    Text(one_line(one.model.name) if not number else ""),
                    *([Text(one_line(one.model.text_name))] if several and not number else []),
                    *([""] if several and number else []),
                    state,
                    halved,
                    horizon,
                    spell_signs(rate, self.unicode),
                    Text(one.verdict.kind, style=STYLES[one.verdict.kind]) if not number else "",
                )
        return table

    def _chart(self, found: Sequence[Inspection]) -> RenderableType:
        curves = {curve.name: curve.values for curve in curves_of(found)}
        return log_chart(
            curves,
            x_label=lag_label(found),
            y_label="gradient norm relative to lag 0",
            unicode=self.unicode,
            width=min(self.console.width, 100),
            height=CHART_ROWS,
        )

    def _heat(self, one: Inspection) -> RenderableType:
        rows = {state_name(line): line.ratio for line in one.profile.lines}
        columns = [str(k) for k in range(one.profile.lags + 1)]
        return heat_map(rows, columns, unicode=self.unicode, colour=supports_colour(self.console))

    def _details(self, one: Inspection) -> None:
        metrics = one.metrics.values()
        lines = {
            label: spell_signs(text, self.unicode)
            for metric in metrics
            for label, text in metric.lines()
        }
        self.console.print(Text(one_line(one.model.name), style="bold"))
        self.console.print(facts_table(lines))
        for metric in metrics:
            for drawing in metric.drawings(self.unicode, self.console.width):
                self.console.print(drawing)


def lag_label(found: Sequence[Inspection]) -> str:
    """Return the name of the axis of lags: those of backward cells count further on."""
    both = any(one.model.config.bidirectional for one in found)
    return GRADIENT_LABELS.x + (" (reverse: further on)" if both else "")


def text_names(found: Sequence[Inspection]) -> str:
    """Return the names of the texts that the models are measured on; if many, their number."""
    names = list(dict.fromkeys(one.model.text_name for one in found))
    return ", ".join(names) if len(names) <= MAX_NAMED_TEXTS else f"{len(names)} texts"


def curves_of(found: Sequence[Inspection]) -> list[Curve]:
    """Return the curves to plot: all states of a single model, or the top layer of each model."""
    curves = []
    for one in found:
        forward = [line for line in one.profile.main_states if not line.reads_from_end]
        lines = one.profile.lines if len(found) == 1 else forward[-1:]
        for line in lines:
            name = one.model.name
            if len(found) == 1:
                name = state_name(line)
            curves.append(
                Curve(
                    name,
                    tuple(range(len(line.ratio))),
                    line.ratio,
                    tuple(map(exp_or_none, line.log_p10)),
                    tuple(map(exp_or_none, line.log_p90)),
                )
            )
    return curves


def layer_heat_map(one: Inspection) -> HeatMap | None:
    """Return the heat map of a plot, layer by lag; None for a model of one layer."""
    if len(one.profile.main_states) < 2:
        return None
    rows = {state_name(line): line.ratio for line in one.profile.lines}
    return HeatMap(tuple(range(one.profile.lags + 1)), rows)
