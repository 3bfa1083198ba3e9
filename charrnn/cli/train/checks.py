"""Checks of the options of `charrnn train` before any file is read.

An option that the run would ignore is refused. The configurations themselves check ranges, names in
registries, and contradictions of budgets.
"""

from typing import Any

import typer

from charrnn.cli.options import on_the_command_line
from charrnn.cli.output.console import warn
from charrnn.cli.train.network_plans import parse_network_plans
from charrnn.cli.train.option_traits import FROM_CHECKPOINT, RESUMABLE, TEXT_ONLY
from charrnn.data.file_discovery import STDIN
from charrnn.data.layouts import LAYOUTS
from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.training.presets import PRESETS, Budget


def refuse_new_settings(context: typer.Context) -> None:
    """Raise `UsageError` for an option that would change a resumed run."""
    for name, flag in on_the_command_line(context):
        if name not in RESUMABLE:
            raise UsageError(
                f"--resume keeps the run's own settings and plan, {flag} would change them; "
                "try --init-from for a new run"
            )


def refuse_unread_options(
    context: typer.Context,
    *,
    layout: str | None,
    cell: str | None,
    val_fraction: float | None,
    has_teachers: bool = False,
) -> None:
    """Raise `UsageError` for the first option given that this run would not read.

    Args:
        context: the command line.
        layout: the layout of the run, from `--like` too; None for a text.
        cell: the cell of the run, from `--like` too; None for that of the preset.
        val_fraction: the validation part of the run, from `--like` too; None for the default.
        has_teachers: whether the run has teachers, from `--like` too.
    """
    given = dict(on_the_command_line(context))
    values = context.params
    if layout is not None:
        for name in TEXT_ONLY:
            if name in given:
                raise UsageError(
                    f"{given[name]} is for texts, and --layout reads pairs as whole "
                    "examples; try without it"
                )
    if "generated" in given and not has_teachers:
        raise UsageError(
            "--generated is how much teachers generate, and there are none",
            "--teacher CKPT",
            "--train-teachers 4",
        )
    if has_teachers and values["label_smoothing"]:
        raise UsageError(
            "--label-smoothing smooths the characters of a text, and with --teacher probabilities "
            "are learned instead",
            "without it",
        )
    if values["train_teachers"]:
        check_train_teachers(values)
    if values["bidirectional"]:
        check_bidirectional(layout)
    if values["balance"]:
        check_labels("--balance", layout)
    if (values["networks"] or 1) > 1:
        if layout is None:
            raise UsageError(
                "--networks is for pairs, and this is a text",
                f"charrnn ensemble corpus.txt --members {values['networks']}",
            )
        if "init_from" in given:
            raise UsageError(
                "--networks trains from several initial weights, --init-from from one", "without it"
            )
    if "network_plans" in given:
        check_network_plans(values)
    if values["ngrams"]:
        if layout is None:
            raise UsageError(
                "--ngrams is for labels; n-grams of a text are mixed into a trained network",
                f"charrnn combine RUN --ngrams {values['ngrams']} after training",
            )
        check_labels("--ngrams", layout)
    if "init_from" in given:
        for name, why in FROM_CHECKPOINT.items():
            if name in given:
                raise UsageError(
                    f"with --init-from {given[name]} has no effect: {why}; try without it"
                )
    if val_fraction == 0:
        if values["patience"]:
            raise UsageError(
                "--patience needs validations, and --val-fraction 0 leaves no validation set; try "
                "without one of them"
            )
        if values["eval_every"]:
            warn("--val-fraction 0 leaves no validation set, so that --eval-every has no effect")
    if values["quiet"] and values["sample_every"]:
        raise UsageError("--sample-every shows samples, and --quiet none; try one of them")
    if "forget_bias" in given and "init_from" not in given:
        cell = cell or cell_of_preset(values["preset"])
        if cell in CELLS and CELLS[cell].forget_bias_gate is None:
            raise UsageError(
                f"--forget-bias is for an lstm, and the cell is {cell}; try without it"
            )


def check_train_teachers(values: dict[str, Any]) -> None:
    """Raise `UsageError` for `--train-teachers` beside an option that it does not go with."""
    if values["teacher"]:
        raise UsageError(
            "--teacher names the teachers, and --train-teachers trains others", "one of them"
        )
    if values["init_from"] is not None:
        raise UsageError(
            "--train-teachers trains from new weights, --init-from from given ones", "without it"
        )
    if STDIN in (values["corpus"] or ()):
        raise UsageError(
            "--train-teachers reads the text several times, and standard input is read once",
            "a file",
        )


def check_bidirectional(layout: str | None) -> None:
    """Raise `UsageError` if no input is known as a whole before the first prediction."""
    fit = [name for name, one in LAYOUTS.items() if one.backward_use]
    if layout is None:
        raise UsageError(
            "--bidirectional reads inputs that are known as a whole, and a text is predicted from "
            "its beginning",
            "without it",
        )
    if layout in LAYOUTS and layout not in fit:
        raise UsageError(
            f"--bidirectional is for {', '.join(fit)}; an input of {layout} is one symbol",
            "without it",
        )


def check_network_plans(values: dict[str, Any]) -> None:
    """Raise `UsageError` for plans of further networks that do not fit the other options."""
    plans = len(parse_network_plans(values["network_plans"]))
    networks = values["networks"] or 1
    if plans != networks - 1:
        raise UsageError(
            f"--network-plans has {plans} plan{'s' * (plans > 1)}, and --networks {networks} needs "
            f"{networks - 1}",
            f"--networks {plans + 1}",
        )
    if values["steps"] is None:
        raise UsageError("--network-plans repeats a run that has --steps", "--steps N")


def check_labels(flag: str, layout: str | None) -> None:
    """Raise `UsageError` for an option if answers are not labels of texts."""
    fit = [name for name, one in LAYOUTS.items() if one.classifies]
    if layout is None or (layout in LAYOUTS and layout not in fit):
        other = "a text" if layout is None else f"--layout {layout}"
        raise UsageError(
            f"{flag} is for labels, --layout {', '.join(fit)}, and this is {other}", "without it"
        )


def cell_of_preset(preset: str) -> str:
    """Return the cell that a preset means; that of `ModelConfig` for an unknown one."""
    settings: dict[str, Any] = {}
    if preset in PRESETS:
        settings = PRESETS[preset](10**6, Budget(steps=1), None)
    return str(settings.get("cell", ModelConfig.cell))
