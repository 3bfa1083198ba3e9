"""The figures of an inspection in words: what stands in the cells and lines of its tables."""

import math
from collections.abc import Iterator

from charrnn.analysis.gradient_profile import StateProfile
from charrnn.analysis.jacobians import Spectrum
from charrnn.analysis.unit_stats import UnitStats
from charrnn.cli.inspect.inspection import Inspection


def detail_lines(one: Inspection) -> Iterator[tuple[str, str]]:
    """Yield what `--all` adds, a line each."""
    details = one.details
    if details is None:
        return
    for matrix in details.matrices:
        yield (
            f"W_hh {matrix.layer} {matrix.gate}",
            f"spectral radius {matrix.spectral_radius:.3f}, largest σ "
            f"{matrix.largest_singular_value:.3f}, departure from normality "
            f"{round(matrix.departure_from_normality, 9):.3g}",
        )
    if details.lyapunov is not None and details.lyapunov.nats_per_char[0] is not None:
        error = details.lyapunov.standard_error[0]
        spread = "" if error is None else f" ± {error:.4f}"
        yield (
            "Lyapunov",
            f"first exponent {details.lyapunov.nats_per_char[0]:+.4f}{spread} nats per character",
        )
    for unit in details.units:
        yield f"layer {unit.layer}", unit_line(unit)
    advice = details.truncation.seq_length
    yield (
        "truncation",
        "cannot be bounded: no decay"
        if advice is None
        else f"--seq-length {advice} keeps the bias of the gradient within 10%",
    )


def unit_line(unit: UnitStats) -> str:
    """Describe the units of a layer in a line."""
    parts = [f"{unit.saturated_share:.1%} of |h| above 0.99"]
    parts += [
        f"{gate.name} shut {gate.shut_share:.0%}, open {gate.open_share:.0%}" for gate in unit.gates
    ]
    parts.append(f"{len(unit.dead_units)} dead units")
    longest = [(n, unit.half_life_chars[n]) for n in unit.longest if unit.half_life_chars]
    if longest:
        named = ", ".join(f"{n} ({'∞' if v is None else f'{v:.0f}'})" for n, v in longest)
        parts.append(f"longest memory: units {named}")
    return "; ".join(parts)


def spectrum_cells(spectrum: Spectrum) -> list[str]:
    """Return the largest and smallest singular value and the condition number, as shown."""
    known = spectrum.condition_number
    condition = "> 1e12" if known is None else f"{known:.1e}"
    return [format_exp(spectrum.log_largest), format_exp(spectrum.log_smallest), condition]


def format_exp(log: float | None) -> str:
    """Show eˣ for any x, also where a float would be 0 or infinite."""
    if log is None:
        return "-"
    exponent = log / math.log(10)
    if -3 <= exponent < 4:
        return f"{math.exp(log):.3g}"
    whole = math.floor(exponent)
    return f"{10 ** (exponent - whole):.1f}e{whole:+d}"


def format_lag(value: int | None, K: int) -> str:
    """Show a lag, or that it lies beyond what was followed."""
    return f"> {K}" if value is None else str(value)


def format_decay_rate(line: StateProfile) -> str:
    """Show the factor per character."""
    return "-" if line.rate_per_char is None else f"×{line.rate_per_char:.3f}"
