"""Metrics of `inspect-gradients`: one class measures, lists and writes each as JSON and CSV.

A further metric is a subclass of `Metric` and its entry in `METRICS`; `--all` then shows its lines,
`--json` its value under its name, and `--csv` its rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from charrnn.analysis.diagnosis import Truncation, truncation_bias
from charrnn.analysis.jacobians import (
    JACOBIAN_LAGS,
    RecurrentMatrix,
    Spectrum,
    recurrent_matrices,
    spectra,
)
from charrnn.analysis.lyapunov import Lyapunov, lyapunov
from charrnn.analysis.memory_lengths import MemoryLengths
from charrnn.analysis.unit_stats import UnitStats, unit_stats
from charrnn.cli.inspect.metric import Metric, MetricInput, MetricRow
from charrnn.cli.inspect.models import InspectedModel
from charrnn.cli.inspect.wording import describe_units, format_exp, spell_signs
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.output.text_plots import log_histogram
from charrnn.types import JSON

FEW_JACOBIAN_LAGS = (1, 5, 20)
"""Lags measured without `--all`."""

LARGE_STATE_SIZE = 600
"""Above this number of units, singular values take long: fewer windows are measured."""


@dataclass(frozen=True)
class Lengths(Metric):
    """The three memory lengths side by side, in characters."""

    lengths: MemoryLengths

    title = "memory lengths"
    always = True

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Take the lengths that the verdict rests on."""
        return cls(given.lengths)

    def values(self) -> dict[str, int | None]:
        """Return every length by its key in JSON; None if not measured, or beyond its limit."""
        one = self.lengths
        return {
            "reach_chars": one.reach_chars,
            "max_lag": one.max_lag,
            "used_chars": None if one.used is None else one.used.chars,
            "full_chars": None if one.used is None else one.used.full_chars,
            "text_chars": None if one.text is None else one.text.horizon_chars,
            "text_detected_chars": None if one.text is None else one.text.detected_chars,
            "text_max_lag": None if one.text is None else one.text.lags[-1],
            "gap_chars": one.gap_chars,
            "seq_length": one.seq_length,
        }

    def as_json(self) -> JSON:
        """Return one object."""
        return self.values()

    def rows(self) -> Iterator[MetricRow]:
        """Yield every length."""
        for name, value in self.values().items():
            yield MetricRow(name, value)

    @classmethod
    def comparison(
        cls, found: Sequence[tuple[InspectedModel, Self]], unicode: bool
    ) -> RenderableType | None:
        """Return a row for each model."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("lengths in characters")
        pairs = any(one.lengths.gap_chars is not None for _, one in found)
        titles = ["gradient reaches"]
        titles += ["gap of the task"] if pairs else ["model uses", "text: 1% after", "detected"]
        for title in titles:
            table.add_column(title, justify="right")
        for model, one in found:
            lengths = one.lengths
            cells = [at_most(lengths.reach_chars, lengths.max_lag)]
            if pairs:
                cells.append("-" if lengths.gap_chars is None else str(lengths.gap_chars))
            else:
                used, text = lengths.used, lengths.text
                cells += [
                    "-" if used is None else at_most(used.chars, used.full_chars),
                    "-" if text is None else at_most(text.horizon_chars, text.lags[-1]),
                    "-" if text is None else f"{text.detected_chars:,}",
                ]
            table.add_row(Text(one_line(model.name)), *cells)
        return table


@dataclass(frozen=True)
class JacobianSpectra(Metric):
    """Singular values of the state's Jacobian at some lags."""

    spectra: tuple[Spectrum, ...]

    title = "Jacobians at more lags"
    always = True

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Measure fewer lags and windows without `--all`, none for a large state."""
        model, everything = given.model, given.everything
        wanted = JACOBIAN_LAGS if everything else FEW_JACOBIAN_LAGS
        lags = tuple(k for k in wanted if k <= given.profile.lags)
        if model.config.bidirectional is not None:
            return cls(())
        small = model.config.hidden * model.config.layers <= LARGE_STATE_SIZE
        if not lags or not (everything or small):
            return cls(())
        windows = 4 if everything and small else 1
        found = spectra(
            model.config, model.parameters, model.ids, lags=lags, windows=windows, seed=given.seed
        )
        return cls(found)

    def as_json(self) -> JSON:
        """Return an object for each layer and lag."""
        return [asdict(spectrum) for spectrum in self.spectra]

    def rows(self) -> Iterator[MetricRow]:
        """Yield four quantities for each layer and lag."""
        for spectrum in self.spectra:
            for name in ("log_largest", "log_smallest", "condition_number", "log_bound"):
                value = getattr(spectrum, name)
                layer, lag = spectrum.layer, spectrum.lag_chars
                yield MetricRow(f"jacobian_{name}", value, layer=layer, lag=lag)

    @classmethod
    def comparison(
        cls, found: Sequence[tuple[InspectedModel, Self]], unicode: bool
    ) -> RenderableType | None:
        """Return a row for each model, layer and lag; the bound only where a cell has one."""
        bounded = any(s.log_bound is not None for _, one in found for s in one.spectra)
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("Jacobian of the state")
        titles = ["lag", "largest σ", "smallest σ", "condition"]
        for title in [*titles, "bound"] if bounded else titles:
            table.add_column(spell_signs(title, unicode), justify="right")
        for model, one in found:
            for number, spectrum in enumerate(one.spectra):
                name = one_line(model.name) if not number else ""
                if model.config.layers > 1:
                    name = f"{one_line(model.name)}, layer {spectrum.layer}"
                known = spectrum.condition_number
                cells = [
                    str(spectrum.lag_chars),
                    format_exp(spectrum.log_largest),
                    format_exp(spectrum.log_smallest),
                    "> 1e12" if known is None else f"{known:.1e}",
                ]
                if bounded:
                    cells.append(format_exp(spectrum.log_bound))
                table.add_row(Text(name), *cells)
        if not table.row_count:
            return None
        return Group(table, Text(spell_signs(JACOBIAN_NOTE, unicode), style="dim"))


JACOBIAN_NOTE = (
    "Over that many characters no direction of the state grows by more than the largest σ; a "
    "condition number above 1e12 means that some directions keep nothing."
)


@dataclass(frozen=True)
class RecurrentMatrices(Metric):
    """Spectral radius, norm and departure from normality of W_hh, by layer and gate."""

    matrices: tuple[RecurrentMatrix, ...]

    title = "spectral radius of W_hh"

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Describe the matrices whose numbers are finite."""
        return cls(recurrent_matrices(given.model.config, given.model.parameters))

    def as_json(self) -> JSON:
        """Return an object for each layer and gate."""
        return [asdict(matrix) for matrix in self.matrices]

    def rows(self) -> Iterator[MetricRow]:
        """Yield three quantities for each layer and gate."""
        for matrix in self.matrices:
            for name in ("spectral_radius", "largest_singular_value", "departure_from_normality"):
                value = getattr(matrix, name)
                yield MetricRow(f"W_hh_{name}", value, layer=matrix.layer, state=matrix.gate)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield a line for each layer and gate."""
        for matrix in self.matrices:
            yield (
                f"W_hh {matrix.layer} {matrix.gate}",
                f"spectral radius {matrix.spectral_radius:.3f}, largest σ "
                f"{matrix.largest_singular_value:.3f}, departure from normality "
                f"{round(matrix.departure_from_normality, 9):.3g}",
            )
        if self.matrices:
            yield (
                "",
                "a radius below 1 lets a linear network forget in the long run; a departure above "
                "0 allows growth before that",
            )


@dataclass(frozen=True)
class LyapunovExponents(Metric):
    """The first Lyapunov exponent along the text."""

    found: Lyapunov | None

    title = "Lyapunov exponent"

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Measure the exponent; None where a weight is not finite."""
        model = given.model
        if model.config.bidirectional is not None:
            return cls(None)
        return cls(lyapunov(model.config, model.parameters, model.ids, seed=given.seed))

    def as_json(self) -> JSON:
        """Return one object, or None."""
        return None if self.found is None else asdict(self.found)

    def rows(self) -> Iterator[MetricRow]:
        """Yield each exponent, and its standard error."""
        if self.found is not None:
            for value in self.found.nats_per_char:
                yield MetricRow("lyapunov_nats_per_char", value)
            for value in self.found.standard_error:
                yield MetricRow("lyapunov_standard_error", value)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the first exponent."""
        if self.found is not None and self.found.nats_per_char[0] is not None:
            error = self.found.standard_error[0]
            spread = "" if error is None else f" ± {error:.4f}"
            exponent = f"{self.found.nats_per_char[0]:+.4f}"
            yield "Lyapunov", f"first exponent {exponent}{spread} nats per character"
            meaning = (
                "positive: states that differ slightly separate, the network is chaotic"
                if self.found.nats_per_char[0] > 0
                else "negative: states that differ slightly meet, old differences are forgotten"
            )
            yield "", meaning


@dataclass(frozen=True)
class Units(Metric):
    """Saturation, gates and memory of the units, by layer."""

    layers: tuple[UnitStats, ...]

    title = "saturation and memory of units"

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Measure the units along the text."""
        model = given.model
        if model.config.bidirectional is not None:
            return cls(())
        return cls(unit_stats(model.config, model.parameters, model.ids, seed=given.seed))

    def as_json(self) -> JSON:
        """Return an object for each layer."""
        return [asdict(stats) for stats in self.layers]

    def rows(self) -> Iterator[MetricRow]:
        """Yield shares by layer and gate, and the half-life of every unit."""
        for stats in self.layers:
            layer = stats.layer
            yield MetricRow("saturated_share", stats.saturated_share, layer)
            yield MetricRow("dead_units", len(stats.dead_units), layer)
            for gate in stats.gates:
                yield MetricRow("gate_shut_share", gate.shut_share, layer, gate.name)
                yield MetricRow("gate_open_share", gate.open_share, layer, gate.name)
            for unit, value in enumerate(stats.half_life_chars):
                yield MetricRow("unit_half_life_chars", value, layer, unit)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield a line for each layer."""
        for stats in self.layers:
            yield f"layer {stats.layer}", describe_units(stats)

    def drawings(self, unicode: bool, width: int) -> Iterator[RenderableType]:
        """Yield a histogram of half-lives for each layer that has some."""
        for stats in self.layers:
            lives = [value for value in stats.half_life_chars if value is not None]
            if lives:
                yield Text(f"memory half-life of layer {stats.layer}: characters, number of units")
                yield log_histogram(lives, bins=8, width=min(width, 70), unicode=unicode)


@dataclass(frozen=True)
class TruncationAdvice(Metric):
    """The bias of truncated backpropagation, and a sequence length that keeps it small."""

    found: Truncation

    title = "advice on --seq-length"

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Compute the bias from the profile of the top layer's memory."""
        return cls(truncation_bias(given.profile.main_states[-1]))

    def as_json(self) -> JSON:
        """Return one object."""
        return asdict(self.found)

    def rows(self) -> Iterator[MetricRow]:
        """Yield the advised length, and the bias of every length up to the largest lag."""
        yield MetricRow("truncation_seq_length", self.found.seq_length)
        for length, value in enumerate(self.found.bias or ()):
            yield MetricRow("truncation_bias", value, lag=length)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the advice."""
        length = self.found.seq_length
        yield (
            "truncation",
            "cannot be bounded: no decay"
            if length is None
            else f"--seq-length {length} keeps the bias of the gradient within 10%",
        )


METRICS: dict[str, type[Metric]] = {
    "lengths": Lengths,
    "jacobians": JacobianSpectra,
    "recurrent_matrices": RecurrentMatrices,
    "lyapunov": LyapunovExponents,
    "units": Units,
    "truncation": TruncationAdvice,
}
"""Metrics by their key in `--json`, in the order in which they are shown."""


def help_of_all() -> str:
    """Return the help of `--all`: the titles of all metrics."""
    return f"Also measure: {', '.join(metric.title for metric in METRICS.values())}."


def at_most(value: int | None, limit: int) -> str:
    """Return a length, or that it is beyond the limit of its measurement."""
    return f"> {limit:,}" if value is None else f"{value:,}"
