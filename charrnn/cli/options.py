"""Options that several commands share, each with its help text once."""

from typing import Annotated, Any

import typer

CheckpointArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[CHECKPOINT]",
        help="An .npz, or a run's folder (its best.npz). Default: the best of the newest run "
        "under ./checkpoints.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
OnUnknown = Annotated[
    str,
    typer.Option(
        "--on-unknown",
        metavar="error|skip",
        help="Characters that the model does not know: refuse them, or leave them out.",
    ),
]
Encoding = Annotated[
    str, typer.Option("--encoding", help="Encoding of text files, applied strictly.")
]


def option(panel: str, text: str, *flags: str, **settings: Any) -> Any:
    """Make an option of one panel of a command's help."""
    return typer.Option(*flags, help=text, rich_help_panel=panel, **settings)
