"""Table and chart of a gradient profile: figures as text, and HTML for notebooks."""

from typing import TYPE_CHECKING

from charrnn.notebook_html import html_table, log_chart

if TYPE_CHECKING:
    from charrnn.analysis.gradient_profile import GradientProfile, StateProfile

PROFILE_HEADINGS = ("state", "halved after", "1% after", "per character")
"""Headings of `profile_row`."""


def profile_row(state: "StateProfile", K: int) -> tuple[str, str, str, str]:
    """Return the figures of one state as text; K is the largest lag measured."""
    return (
        state_name(state),
        format_lag(state.half_life_chars, K),
        format_lag(state.horizon_chars, K),
        format_decay_rate(state),
    )


def state_name(state: "StateProfile") -> str:
    """Return the layer and the state, as in `layer 0 c`."""
    return f"layer {state.layer} {state.state}"


def format_lag(value: int | None, K: int) -> str:
    """Return a lag as text; None means that it is greater than K, the largest lag measured."""
    return f"> {K}" if value is None else str(value)


def format_decay_rate(state: "StateProfile") -> str:
    """Return the factor by which the gradient changes per character; "-" if there is no fit."""
    return "-" if state.rate_per_char is None else f"×{state.rate_per_char:.3f}"


def profile_html(profile: "GradientProfile") -> str:
    """Return a table of all states and a chart of R(k) by lag, as HTML."""
    rows = [profile_row(state, profile.lags) for state in profile.lines]
    caption = f"gradient of the loss at one character, mean of {profile.windows:,} windows"
    curves = {state_name(state): state.ratio for state in profile.lines}
    x_label = "characters back"
    if any(state.reads_from_end for state in profile.lines):
        x_label += " (reverse: further on)"
    chart = log_chart(curves, x_label, "gradient norm relative to lag 0")
    return f"<div>{html_table(rows, PROFILE_HEADINGS, caption)}{chart}</div>"
