"""Settings of trials: options of `charrnn train`, checked before anything is trained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import typer

from charrnn.cli.app import COMMANDS, load_command
from charrnn.cli.options import EARLIER_SPELLINGS
from charrnn.cli.output.safe_text import label
from charrnn.cli.train.checks import refuse_unread_options
from charrnn.cli.train.command import train_network
from charrnn.cli.train.request import SETTING_FIELDS, budget_given, settings_given
from charrnn.cli.usage_messages import closest, usage_message
from charrnn.errors import CharRNNError, UsageError
from charrnn.training.presets import Budget

READING = {"encoding", "as_bytes", "normalise", "layout", "val_fraction"}
"""Parameters of `train` that decide what is read: the same for all trials."""

MACHINE = {"workers", "backend", "save_every", "minutes"}
"""Parameters of `train` that do not belong to the settings compared: the same for all trials."""

VARIED = (SETTING_FIELDS | {"preset", "epochs", "steps"}) - {"backend", "earlier_plans"}
"""Parameters of `train` that may differ between trials."""

REFUSED = {
    "min_count": "it removes characters, and losses of different texts cannot be compared",
    "init_from": "the checkpoint may have been trained on the held-out text",
    "built_in": "--builtin is an option of its own",
}
"""Parameters of `train` that are neither, and why."""


@dataclass(frozen=True)
class TrainOption:
    """An option of `charrnn train`.

    Args:
        flag: the option as it is typed.
        parameter: the name of its parameter.
        kind: the type of its values.
        negative: the option that is typed for false, if it has one.
    """

    flag: str
    parameter: str
    kind: type
    negative: str | None = None

    @property
    def name(self) -> str:
        """The option without dashes, as in `--grid NAME=…`."""
        return self.flag.removeprefix("--")


def train_options() -> dict[str, TrainOption]:
    """Return the options of `charrnn train` by the names that they may be given under."""
    hints = get_type_hints(train_network)
    found = {}
    for parameter in load_command("train").params:
        for flag in parameter.opts:
            if flag.startswith("--") and parameter.name in hints:
                kinds = {hints[parameter.name], *get_args(hints[parameter.name])}
                kind = next((one for one in (bool, int, float) if one in kinds), str)
                negative = next(iter(parameter.secondary_opts), None)
                one = TrainOption(flag, parameter.name, kind, negative)
                found[flag.removeprefix("--")] = one
    earlier = {
        old.removeprefix("--"): found[new.removeprefix("--")]
        for old, new in EARLIER_SPELLINGS.items()
        if new.removeprefix("--") in found
    }
    return earlier | found


def option_called(name: str, given_as: str, *, varied: bool) -> TrainOption:
    """Return the option of `train` that a sweep names; `UsageError` if it may not set it.

    Args:
        name: the option, with or without dashes.
        given_as: the option of the sweep that names it, for the message.
        varied: whether its value is to differ between trials.
    """
    known = train_options()
    plain = name.strip().removeprefix("--").replace("_", "-")
    found = known.get(plain)
    allowed = VARIED if varied else VARIED | READING | MACHINE
    if found is None or (found.parameter not in allowed | READING | MACHINE | REFUSED.keys()):
        names = [one for one, item in known.items() if item.parameter in allowed]
        near = closest(f"--{plain}", [f"--{one}" for one in names])
        raise UsageError(
            f"{given_as} {label(name[:40])!r} is no option of train that a sweep can set",
            f"{given_as} {near.removeprefix('--')}=VALUE" if near else "charrnn train --help",
        )
    if found.parameter in REFUSED:
        raise UsageError(
            f"{given_as} {found.name} is refused: {REFUSED[found.parameter]}", "another option"
        )
    if found.parameter not in allowed:
        why = "losses cannot be compared" if found.parameter in READING else "it is no setting"
        raise UsageError(
            f"{given_as} {found.name}: with different values {why}", f"--set {found.name}=VALUE"
        )
    return found


def split_assignment(text: str, given_as: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE. Raises `UsageError` for anything else."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise UsageError(f"{given_as} {label(text[:40])!r} is not NAME=VALUE", f"{given_as} lr=0.1")
    return name, value.strip()


def words_of(settings: Mapping[str, str]) -> list[str]:
    """Return options by their flags as words; of an option without value if it is true.

    If it is false, its negative form, if there is one.
    """
    flags = {item.flag: item.negative for item in train_options().values() if item.kind is bool}
    words: list[str] = []
    for flag, value in settings.items():
        if flag not in flags:
            words += [flag, value]
        elif is_true(flag, value):
            words.append(flag)
        elif (negative := flags[flag]) is not None:
            words.append(negative)
    return words


def is_true(flag: str, value: str) -> bool:
    """Return the value of an option that has none on the command line."""
    if value.lower() not in ("true", "false"):
        raise UsageError(
            f"{flag.removeprefix('--')} is {label(value[:40])!r}; it must be true or false",
            f"--set {flag.removeprefix('--')}=true",
        )
    return value.lower() == "true"


@dataclass(frozen=True)
class CheckedSettings:
    """Settings of a trial as `train` understands them, before a preset completes them."""

    params: Mapping[str, Any]
    given: Mapping[str, Any]
    budget: Budget


def check_settings(words: Iterable[str], layout: str | None, where: str) -> CheckedSettings:
    """Parse words as `charrnn train` does.

    Args:
        words: options of `train`.
        layout: the layout of pairs, or None for a text.
        where: which trial it is, for the message.

    Raises `UsageError` for what `train` would refuse.
    """
    try:
        with load_command("train").make_context("train", list(words)) as context:
            params = dict(context.params)
            refuse_unread_options(
                context, layout=layout, cell=params["cell"], val_fraction=params["val_fraction"]
            )
        given = settings_given(params)
        budget = budget_given(params["minutes"], params["epochs"], params["steps"])
    except typer.TyperException as error:
        problem = usage_message(error, COMMANDS).partition("; try ")[0]
        raise UsageError(f"{where}: {problem}", "charrnn train --help") from error
    except CharRNNError as error:
        raise refused(where, error) from error
    return CheckedSettings(params, given, budget)


def refused(where: str, error: CharRNNError) -> UsageError:
    """Return the error for settings that `train` refuses; advice on its options is left out."""
    problem = error.problem.partition("; try ")[0]
    advice = [text for text in error.advice if not text.startswith("--")]
    return UsageError(f"{where}: {problem}", *(advice or ["charrnn train --help"]))
