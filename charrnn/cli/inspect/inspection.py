"""What was found in one model, gathered once, and given out as JSON and as tidy CSV.

The JSON object is `{"schema": 1, "models": [...]}`; each model has `name`, `text`, `trained`,
`model` (its configuration), `verdict` (`kind`, `sentence`) and

    profile      lags, windows, seed, nats_per_char and lines: for each layer and state the lists
                 ratio, geometric_mean, p10, p90 over lag 0 … K, their natural logarithms under
                 log_…, half_life_chars, horizon_chars (1 %), rate_per_char, rate_r_squared
    jacobians    for each layer and lag ln σ_max, ln σ_min, the condition number, ln of the bound

and with `--all` also `recurrent_matrices`, `lyapunov`, `units` and `truncation`. What is not a
finite number, or cannot be told, is null; the names of parameters that are not finite stand in
`profile.nonfinite`.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charrnn.analysis.diagnosis import Truncation, Verdict, diagnose, truncation_bias
from charrnn.analysis.gradient_profile import GradientProfile
from charrnn.analysis.jacobians import RecurrentMatrix, Spectrum, recurrent_matrices, spectra
from charrnn.analysis.lyapunov import Lyapunov, lyapunov
from charrnn.analysis.unit_stats import UnitStats, unit_stats
from charrnn.cli.inspect.models import InspectedModel

SCHEMA = 1
JACOBIAN_LAGS = (1, 5, 20)
ALL_JACOBIAN_LAGS = (1, 2, 5, 10, 20, 50, 100)
LARGE_STATE_SIZE = 600
"""Above so many numbers in a state, singular values take long: fewer windows are taken."""


@dataclass(frozen=True)
class Details:
    """What `--all` adds."""

    matrices: tuple[RecurrentMatrix, ...]
    lyapunov: Lyapunov | None
    units: tuple[UnitStats, ...]
    truncation: Truncation


@dataclass(frozen=True)
class Inspection:
    """One model, looked at."""

    model: InspectedModel
    profile: GradientProfile
    verdict: Verdict
    spectra: tuple[Spectrum, ...]
    details: Details | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; see the schema at the top of this module."""
        model = self.model
        found: dict[str, Any] = {
            "name": model.name,
            "text": model.text_name,
            "trained": model.trained,
            "model": model.config.as_dict(),
            "verdict": asdict(self.verdict),
            "profile": asdict(self.profile)
            | {"lines": [add_linear_ratios(asdict(line)) for line in self.profile.lines]},
            "jacobians": [asdict(spectrum) for spectrum in self.spectra],
        }
        if self.details is not None:
            details = asdict(self.details)
            details["recurrent_matrices"] = details.pop("matrices")
            found |= details
        return found


def inspect_model(
    model: InspectedModel, *, lags: int, windows: int, seed: int, everything: bool
) -> Inspection:
    """Look at one model."""
    config, parameters, ids = model.config, model.parameters, model.ids
    found = model.profile(lags, windows, seed)
    judged = diagnose(found, config, trained=model.trained, seq_length=model.seq_length)
    wanted = tuple(
        k for k in (ALL_JACOBIAN_LAGS if everything else JACOBIAN_LAGS) if k <= found.lags
    )
    jacobians: tuple[Spectrum, ...] = ()
    small = config.hidden * config.layers <= LARGE_STATE_SIZE
    if wanted and (everything or small):
        count = 4 if everything and small else 1
        jacobians = spectra(config, parameters, ids, lags=wanted, windows=count, seed=seed)
    details = None
    if everything:
        headline = found.main_states[-1]
        details = Details(
            recurrent_matrices(config, parameters),
            lyapunov(config, parameters, ids, seed=seed),
            unit_stats(config, parameters, ids, seed=seed),
            truncation_bias(headline),
        )
    return Inspection(model, found, judged, jacobians, details)


def inspections_as_json(found: Sequence[Inspection]) -> dict[str, Any]:
    """Return all models under the number of the schema."""
    return {"schema": SCHEMA, "models": [one.as_dict() for one in found]}


def inspections_as_csv(found: Sequence[Inspection]) -> str:
    """Return one row per model, layer, state, lag and quantity, with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "layer", "state", "lag", "quantity", "value"))
    for one in found:
        writer.writerows(csv_rows(one))
    return out.getvalue()


def csv_rows(one: Inspection) -> Iterator[tuple[object, ...]]:
    """Yield the tidy rows of one model; an empty value is one that is not a finite number."""
    name = one.model.name
    for line in one.profile.lines:
        values = add_linear_ratios(asdict(line))
        for quantity in ("ratio", "geometric_mean", "p10", "p90"):
            for lag, value in enumerate(values[quantity]):
                yield name, line.layer, line.state, lag, quantity, value
        for quantity in ("half_life_chars", "horizon_chars", "rate_per_char"):
            yield name, line.layer, line.state, "", quantity, values[quantity]
    for spectrum in one.spectra:
        for quantity in ("log_largest", "log_smallest", "condition_number", "log_bound"):
            value = getattr(spectrum, quantity)
            yield name, spectrum.layer, "", spectrum.lag_chars, f"jacobian_{quantity}", value


def add_linear_ratios(line: dict[str, Any]) -> dict[str, Any]:
    """Add G, p10 and p90 as plain ratios beside their logarithms, as R already stands."""
    for name, log_name in (
        ("geometric_mean", "log_geometric"),
        ("p10", "log_p10"),
        ("p90", "log_p90"),
    ):
        line[name] = [None if x is None else exp_clipped(x) for x in line[log_name]]
    return line


def exp_clipped(log: float) -> float:
    """Return eˣ within the range of a float."""
    return math.exp(min(log, 700.0))
