"""Inspection of one model: gradient profile, verdict and metrics; as JSON and as tidy CSV.

`--json` prints `{"schema": 1, "models": [...]}`. Each model has `name`, `text`, `trained`, `model`
(its configuration), `verdict` (`kind`, `sentence`, `gradient`), `profile`, and a key for each
metric measured:

    profile             lags, windows, seed, nats_per_char, nonfinite (names of parameters that are
                        not finite), notes, and lines: one object for each layer and state with the
                        fields of `StateProfile`, and geometric_mean, p10, p90 by lag 0 … K
    lengths             characters: reach_chars and max_lag of the gradient; used_chars and
                        full_chars of the context; text_chars (below 1 %), text_detected_chars and
                        text_max_lag of the text's dependence; gap_chars of pairs; seq_length
    jacobians           list by layer and lag: the fields of `Spectrum`
    recurrent_matrices  with --all; list by layer and gate: the fields of `RecurrentMatrix`
    lyapunov            with --all; the fields of `Lyapunov`
    units               with --all; list by layer: the fields of `UnitStats`
    truncation          with --all; the fields of `Truncation`

`--csv` prints the columns model, layer, state, lag, quantity, value. `state` is the name of a state
or gate, or the number of a unit. A number that is not finite, or not known, is null in JSON and
empty in CSV.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charrnn.analysis.diagnosis import Verdict, diagnose
from charrnn.analysis.gradient_profile import GradientProfile, exp_or_none
from charrnn.analysis.memory_lengths import MemoryLengths, dependence, measure_lengths
from charrnn.analysis.text_memory import TextMemory
from charrnn.cli.inspect.metric import Metric, MetricInput, MetricRow
from charrnn.cli.inspect.metrics import METRICS
from charrnn.cli.inspect.models import InspectedModel
from charrnn.types import Ids

SCHEMA = 1
"""Version of the JSON object; it increases when a key changes its meaning or is removed."""


@dataclass(frozen=True)
class Inspection:
    """All that was measured of one model."""

    model: InspectedModel
    """The model and the data it was measured on."""
    profile: GradientProfile
    """Its gradient profile."""
    lengths: MemoryLengths
    """How far the gradient reaches, how much the model uses, how far the text depends."""
    verdict: Verdict
    """The verdict on these."""
    metrics: Mapping[str, Metric]
    """Metrics by their names in `METRICS`."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        model = self.model
        return {
            "name": model.name,
            "text": model.text_name,
            "trained": model.trained,
            "model": model.config.as_dict(),
            "verdict": asdict(self.verdict),
            "profile": asdict(self.profile)
            | {"lines": [add_linear_ratios(asdict(line)) for line in self.profile.lines]},
        } | {name: metric.as_json() for name, metric in self.metrics.items()}

    def rows(self) -> Iterator[MetricRow]:
        """Yield the rows of the CSV: the profile, then each metric."""
        for line in self.profile.lines:
            values = add_linear_ratios(asdict(line))
            for quantity in ("ratio", "geometric_mean", "p10", "p90"):
                for lag, value in enumerate(values[quantity]):
                    yield MetricRow(quantity, value, line.layer, line.state, lag)
            for quantity in ("half_life_chars", "horizon_chars", "rate_per_char"):
                yield MetricRow(quantity, values[quantity], line.layer, line.state)
        for metric in self.metrics.values():
            yield from metric.rows()


class TextMemories:
    """The dependence within each text, measured once for all models on it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._found: list[tuple[Ids, TextMemory | None]] = []

    def of(self, ids: Ids) -> TextMemory | None:
        """Return the dependence within a text; None if it is too short."""
        for known, found in self._found:
            if known is ids:
                return found
        found = dependence(ids, self.seed)
        self._found.append((ids, found))
        return found


def inspect_model(
    model: InspectedModel,
    *,
    lags: int,
    windows: int,
    seed: int,
    everything: bool,
    memories: TextMemories | None = None,
) -> Inspection:
    """Measure one model: its gradient profile, the verdict on it, and metrics.

    Args:
        model: the model and the data it is measured on.
        lags: characters to follow the gradient back.
        windows: positions of losses.
        seed: chooses these positions.
        everything: whether to measure all of `METRICS`, as `--all` does.
        memories: the dependence within the texts of all models; measured if it is not given.
    """
    profile = model.profile(lags, windows, seed)
    lengths = measure_lengths(
        profile,
        model.config,
        model.parameters,
        model.ids,
        trained=model.trained,
        text=(memories or TextMemories(seed)).of(model.ids) if model.examples is None else None,
        seq_length=model.seq_length,
        examples=model.examples,
        seed=seed,
    )
    verdict = diagnose(profile, model.config, trained=model.trained, lengths=lengths)
    given = MetricInput(model, profile, lengths, seed, everything)
    metrics = {
        name: metric.measure(given)
        for name, metric in METRICS.items()
        if everything or metric.always
    }
    return Inspection(model, profile, lengths, verdict, metrics)


def inspections_as_json(found: Sequence[Inspection]) -> dict[str, Any]:
    """Return the JSON object of `--json`."""
    return {"schema": SCHEMA, "models": [one.as_dict() for one in found]}


def inspections_as_csv(found: Sequence[Inspection]) -> str:
    """Return the table of `--csv`: a row for each model, layer, state, lag and quantity."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "layer", "state", "lag", "quantity", "value"))
    for one in found:
        for row in one.rows():
            place = one.model.name, row.layer, row.state, row.lag
            writer.writerow((*place, row.quantity, row.value))
    return out.getvalue()


def add_linear_ratios(line: dict[str, Any]) -> dict[str, Any]:
    """Add G, p10 and p90 themselves to a state profile that holds their logarithms."""
    for name, log_name in (
        ("geometric_mean", "log_geometric"),
        ("p10", "log_p10"),
        ("p90", "log_p90"),
    ):
        line[name] = [exp_or_none(x) for x in line[log_name]]
    return line
