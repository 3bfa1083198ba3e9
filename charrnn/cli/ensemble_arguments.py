"""Checkpoint arguments of commands that accept `--ensemble`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.cli.completion import complete_run
from charrnn.cli.output.safe_text import label
from charrnn.errors import UsageError
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.model import Model, load_network

EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Use all checkpoints given, at least two: the arithmetic mean of the probabilities "
        "of their models.",
    ),
]
CheckpointArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CHECKPOINT]",
        autocompletion=complete_run,
        help="An .npz file, or the folder of a run (its best.npz); several with --ensemble. "
        "Default: best.npz of the newest run under ./checkpoints.",
        show_default=False,
    ),
]


def single_checkpoint(checkpoints: Sequence[str] | None) -> str | None:
    """Return the only checkpoint argument, or None; `UsageError` for several."""
    if not checkpoints:
        return None
    if len(checkpoints) > 1:
        raise UsageError(f"{len(checkpoints)} checkpoints are named", "one", "--ensemble")
    return checkpoints[0]


def load_ensemble(checkpoints: Sequence[str] | None) -> tuple[Ensemble, list[Path]]:
    """Return the ensemble of the checkpoints on the command line, and their files.

    Raises `UsageError` for fewer than two, for one that is named twice, and for models that do not
    fit together; `CheckpointError` as `charrnn.load`.
    """
    paths = [find_checkpoint(argument) for argument in checkpoints or ()]
    if len(paths) < 2:
        found = "one is named" if paths else "none is named"
        raise UsageError(
            f"--ensemble needs at least two checkpoints, and {found}", "--ensemble A B"
        )
    places = [path.resolve() for path in paths]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"--ensemble has {label(str(paths[number]))} twice", "another one")
    names = [label(str(path)) for path in paths]
    return Ensemble([load_member(path) for path in paths], names), paths


def load_member(path: Path) -> Model:
    """Return one network; the `UsageError` for a model of pairs or a mixture names its file."""
    try:
        return load_network(path)
    except UsageError as error:
        if repr(path.name) in error.problem:
            raise
        raise UsageError(f"{label(str(path))}: {error.problem}", *error.advice) from error
