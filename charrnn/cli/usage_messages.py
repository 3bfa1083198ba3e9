"""Messages for mistyped commands: what was typed, what is accepted, and the closest option."""

import re
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Any

import typer

from charrnn.cli.options import EARLIER_SPELLINGS
from charrnn.errors import UsageError

KINDS = {"int_parsing": "an integer", "int_from_float": "an integer", "float_parsing": "a number"}
MIN_SIMILARITY = 0.75
"""Smallest similarity, as of `difflib`, of an option that is suggested for another."""

MAX_SHOWN = 40
"""Characters of a value that a message repeats."""


def usage_message(error: typer.TyperException, commands: Collection[str]) -> str:
    """Return the message of a mistyped command, with what to try.

    Args:
        error: what the parser raised; its context tells the command.
        commands: names of all commands.
    """
    context: Any = getattr(error, "ctx", None)
    name = getattr(context, "info_name", None)
    page = f"charrnn {name} --help" if name in commands else "charrnn --help"
    typed: str | None = getattr(error, "option_name", None)
    message = error.format_message().rstrip(".")
    if message.startswith("No such option") and typed is not None:
        flags = options_in(context)
        near = closest(typed, [*flags, *(EARLIER_SPELLINGS if flags else ())])
        flag = EARLIER_SPELLINGS.get(near or "", near)
        flag = flag if flag in flags else closest(typed, flags)
        return f"No such option: {typed[:MAX_SHOWN]}; try {flag or page}"
    if message.startswith("No such command"):
        wrong = message.removeprefix("No such command").split("'")[1:-1]
        command = closest("'".join(wrong), commands)
        shown = "'".join(wrong)[:MAX_SHOWN]
        return f"No such command {shown!r}; try {f'charrnn {command}' if command else page}"
    if typed is not None:  # its value is missing, or it takes none
        return f"{message}; try {typed}{'' if 'not take' in message else ' VALUE'}"
    return value_message(error) or f"{message}; try {page}"


def check_words(words: Iterable[str]) -> None:
    """Raise `UsageError` for a NUL character, which no path and no text on a command line holds."""
    for word in words:
        if "\0" in word:
            raise UsageError(f"the argument {word[:MAX_SHOWN]!r} holds a NUL character", "a file")


def value_message(error: typer.TyperException) -> str | None:
    """Return the message for a value that its option does not accept, or None for other errors."""
    parameter: Any = getattr(error, "param", None)
    details = getattr(error.__cause__, "errors", None)
    if parameter is None or details is None:
        return None
    first: dict[str, Any] = details()[0]
    flag, value = parameter.opts[0], str(first["input"])[:MAX_SHOWN]
    if kind := KINDS.get(first["type"]):
        return f"{flag} is {value!r}; it must be {kind}; try {flag} 1"
    limits: dict[str, Any] = first.get("ctx", {})
    _, found, listed = str(limits.get("error", "")).partition(" is not one of ")
    if found:
        choices = re.findall(r"'([^']*)'", listed)
        advice = closest(value, choices) or choices[0]
        return f"{flag} is {value!r}; it must be {' or '.join(choices)}; try {flag} {advice}"
    if "ge" in limits:
        least = limits["ge"]
        return f"{flag} is {value}; it must be at least {least}; try {flag} {least}"
    if "le" in limits:
        most = limits["le"]
        return f"{flag} is {value}; it must be at most {most}; try {flag} {most}"
    return None


def options_in(context: Any) -> list[str]:
    """Return every option of the command that was being parsed, as it is typed."""
    if context is None:
        return []
    return [flag for parameter in context.command.params for flag in parameter.opts]


def closest(typed: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant: one begins with the other, or few letters differ.

    Example:
        >>> closest("--sede", ["--separator", "--seed"]), closest("--xyz", ["--seed"])
        ('--seed', None)
    """
    scores = {name: similarity(typed[:MAX_SHOWN], name) for name in names if len(name) > 2}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] >= MIN_SIMILARITY else None


def similarity(typed: str, name: str) -> float:
    """Return from 0 to 1 how alike two names are; a common beginning of one counts most."""
    bare, other = typed.lstrip("-"), name.lstrip("-")
    if min(len(bare), len(other)) >= 3 and (bare.startswith(other) or other.startswith(bare)):
        return 1.0
    return SequenceMatcher(None, bare, other).ratio()
