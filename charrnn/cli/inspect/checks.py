"""Checks of the options of `inspect-gradients`: each view accepts only the options it uses."""

import typer

from charrnn.cli.options import on_the_command_line
from charrnn.errors import UsageError

UNTRAINED_PARAMETERS = (
    "cells",
    "inits",
    "hidden",
    "layers",
    "gain",
    "input_init",
    "input_gain",
    "forget_bias",
)
MODEL_PARAMETERS = ("checkpoints", "at_init", *UNTRAINED_PARAMETERS)
TABLE_PARAMETERS = ("json", "as_table")

VIEW_PARAMETERS: dict[str, tuple[str, ...]] = {
    "the profile": (
        *MODEL_PARAMETERS,
        *("text", "encoding", "everything", "lags", "windows", "seed"),
        *TABLE_PARAMETERS,
        *("plot", "fail_on", "quiet"),
    ),
    "--show": ("show", *MODEL_PARAMETERS, "text", "encoding", *TABLE_PARAMETERS),
    "--context": ("context", *MODEL_PARAMETERS, "text", "encoding", "seed", *TABLE_PARAMETERS),
    "--probe": ("probe", "checkpoints", "gaps", "seed", *TABLE_PARAMETERS, "quiet"),
    "--live": ("live", "checkpoints"),
}
"""Parameters that each view uses; the profile is shown if no other view is chosen."""

VIEW_DESCRIPTIONS = {
    "the profile": "the gradient profile",
    "--show": "--show, the influence of the characters of one text,",
    "--context": "--context, a table of losses,",
    "--probe": "--probe, which trains networks of its own,",
    "--live": "--live, which shows the log of a run,",
}

EXCLUSIVE_PARAMETERS = (
    ("json", "as_table"),
    ("quiet", "json"),
    ("quiet", "as_table"),
    ("quiet", "everything"),
)
"""Pairs of parameters that contradict each other."""


def check_view_options(context: typer.Context) -> None:
    """Raise UsageError for an option on the command line that the chosen view does not use."""
    given = dict(on_the_command_line(context))
    chosen = [view for view in VIEW_PARAMETERS if view.removeprefix("--") in given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} contradict each other", "one of them")
    view = chosen[0] if chosen else "the profile"
    for name, flag in given.items():
        if name not in VIEW_PARAMETERS[view]:
            raise refusal(view, name, flag)
    for one, other in EXCLUSIVE_PARAMETERS:
        if view != "--probe" or "quiet" not in (one, other):
            refuse_both(given, one, other)
    if "encoding" in given and "text" not in given:
        raise UsageError("--encoding is for the file of --text", "--text FILE with it")


def refusal(view: str, name: str, flag: str) -> UsageError:
    """Return the error for an option that a view does not use."""
    if name in ("plot", "fail_on"):
        return UsageError(f"{view} has neither a plot nor a verdict", f"without {flag}")
    if view == "--live" and name in TABLE_PARAMETERS:
        return UsageError(f"--live does not use {flag}", "the run's metrics.jsonl itself")
    return UsageError(f"{VIEW_DESCRIPTIONS[view]} does not use {flag}", advice_for(name, flag))


def refuse_both(given: dict[str, str], one: str, other: str) -> None:
    """Raise UsageError if both options are given."""
    if one in given and other in given:
        raise UsageError(f"{given[one]} and {given[other]} contradict each other", "one of them")


def advice_for(name: str, flag: str) -> str:
    """Return advice on an option that the chosen view does not use."""
    readers = [
        view for view, names in VIEW_PARAMETERS.items() if name in names and view.startswith("--")
    ]
    if name in VIEW_PARAMETERS["the profile"] or not readers:
        return f"without {flag}"
    return f"{flag} with {readers[0]}"
