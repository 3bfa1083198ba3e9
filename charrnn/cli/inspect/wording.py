"""Wording of `inspect-gradients`: numbers and unit statistics as text, for tables and charts."""

import math

from charrnn.analysis.unit_stats import UnitStats

IN_ASCII = str.maketrans({"σ": "sigma", "×": "x", "±": "+-", "∞": "inf"})


def spell_signs(text: str, unicode: bool) -> str:
    """Return `text`, its mathematical signs in ASCII unless the terminal shows Unicode."""
    return text if unicode else text.translate(IN_ASCII)


def describe_units(stats: UnitStats) -> str:
    """Return one line about the units of a layer."""
    parts = [f"{stats.saturated_share:.1%} of |h| above 0.99"]
    parts += [
        f"{gate.name} shut {gate.shut_share:.0%}, open {gate.open_share:.0%}"
        for gate in stats.gates
    ]
    parts.append(f"{len(stats.dead_units)} dead units")
    longest = [(n, stats.half_life_chars[n]) for n in stats.longest if stats.half_life_chars]
    if longest:
        named = ", ".join(f"{n} ({'∞' if v is None else f'{v:.0f}'})" for n, v in longest)
        parts.append(f"longest memory: units {named}")
    return "; ".join(parts)


def format_exp(log: float | None) -> str:
    """Return e^`log` in decimal notation, also where a float would be 0 or infinite; "-" for None.

    Example:
        >>> format_exp(-2000.0)
        '2.6e-869'
    """
    if log is None:
        return "-"
    exponent = log / math.log(10)
    if -3 <= exponent < 4:
        return f"{math.exp(log):.3g}"
    whole = math.floor(exponent)
    return f"{10 ** (exponent - whole):.1f}e{whole:+d}"
