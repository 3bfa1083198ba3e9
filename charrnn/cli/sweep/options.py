"""Options that `charrnn sweep` and `charrnn ensemble` share, with the words for what they train."""

from typing import Any

from charrnn.cli.options import option
from charrnn.cli.sweep.planning import DEFAULT_EPOCHS
from charrnn.limits import THREADS


def epochs_option(panel: str, each: str) -> Any:
    """Return `--epochs` of each run."""
    return option(panel, f"Epochs to train each {each} for. Default: {DEFAULT_EPOCHS:g}.")


def steps_option(panel: str, each: str) -> Any:
    """Return `--steps` of each run."""
    return option(panel, f"Steps to train each {each} for (instead of --epochs).")


def minutes_option(panel: str, each: str) -> Any:
    """Return `--minutes` of each run."""
    return option(
        panel,
        f"Wall time of each {each} (instead of --epochs). {each.capitalize()}s that run side by "
        "side slow each other down, so that the steps they take depend on the load of the machine.",
    )


def fixed_option(panel: str, each: str, example: str) -> Any:
    """Return `--set` for all runs."""
    return option(
        panel,
        f"Option of train that all {each}s have, such as {example}.",
        "--set",
        metavar="NAME=VALUE",
    )


def jobs_option(panel: str, each: str) -> Any:
    """Return `--jobs`, the number of runs at a time."""
    return option(
        panel,
        f"{each.capitalize()}s to train at the same time. Default: one per core, each with one "
        "process.",
        min=THREADS.low,
        max=THREADS.high,
    )


def out_option(panel: str, whole: str) -> Any:
    """Return `--out`, the folder of all runs."""
    return option(
        panel, f"Folder of the {whole}. Default: checkpoints/NAME-{whole}.", show_default=False
    )


def resume_option(panel: str, whole: str, each: str) -> Any:
    """Return `--resume`, which goes on in a folder."""
    return option(
        panel,
        f"Continue the {whole} in this folder: finished {each}s are kept, interrupted ones "
        "continued, others started.",
        metavar=whole.upper(),
    )
