"""Options that several commands share, their help texts, and earlier spellings of options."""

from collections.abc import Iterator
from copy import copy
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from charrnn.cli.completion import complete_run

DEFAULT_VAL_FRACTION = 0.1
"""Fraction of a corpus that `train` uses for validation."""

EARLIER_SPELLINGS = {
    "--average": "--ema-decay",
    "--batch": "--batch-size",
    "--corpus": "--builtin",
    "--gain": "--recurrent-gain",
    "--init": "--recurrent-init",
    "--kernel": "--backend",
    "--normalise": "--normalize",
    "--optimiser": "--optimizer",
    "--proba": "--probabilities",
    "--reset-rate": "--state-reset-prob",
    "--threads": "--workers",
    "--warm-up": "--warmup-steps",
}
"""Options of earlier versions that every command still accepts, and their present spelling."""


class Command(TyperCommand):
    """Command that also accepts earlier spellings of its options; the last of two counts."""

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        for earlier, parameter in self.earlier_spellings():
            alias = copy(parameter)
            alias.opts = [earlier]
            alias.add_to_parser(parser, ctx)
        return parser

    def earlier_spellings(self) -> Iterator[tuple[str, Any]]:
        """Yield each earlier spelling that this command accepts, and its parameter."""
        for earlier, now in EARLIER_SPELLINGS.items():
            for parameter in self.params:
                if now in parameter.opts:
                    yield earlier, parameter


class Unknown(StrEnum):
    """What a command does with characters that are not in the vocabulary."""

    ERROR = "error"
    SKIP = "skip"


CheckpointArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[CHECKPOINT]",
        autocompletion=complete_run,
        help="An .npz file, or the folder of a run (its merged.npz, or else best.npz). Default: "
        "the newest run under ./checkpoints.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
OnUnknown = Annotated[
    Unknown,
    typer.Option(
        "--on-unknown",
        help="What to do with characters that the model does not know: fail, or leave them out.",
    ),
]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding", help="Encoding of text files; a byte that does not fit it is an error."
    ),
]
TopK = Annotated[int, typer.Option(help="Draw from the K likeliest characters only; 0: from all.")]
TopP = Annotated[
    float,
    typer.Option(
        help="Draw from the fewest characters with this probability together; 1: from all."
    ),
]


def option(panel: str, text: str, *flags: str, **settings: Any) -> Any:
    """Make an option of one panel of a command's help."""
    return typer.Option(*flags, help=text, rich_help_panel=panel, **settings)


def on_the_command_line(context: typer.Context) -> Iterator[tuple[str, str]]:
    """Yield the options that were given, by the name of their parameter and as they are typed."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            no = parameter.secondary_opts and context.params.get(parameter.name or "") is False
            yield parameter.name or "", (parameter.secondary_opts if no else parameter.opts)[0]
