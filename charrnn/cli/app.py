"""`charrnn`: the commands on one screen, and the one place where errors become one line."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from charrnn import __version__
from charrnn.cli import evaluate, info, sample, train
from charrnn.cli.terminal import abandon_stdout, accept_any_character, one_line
from charrnn.errors import CharRNNError


class Commands(TyperGroup):
    """Turns every error that is the user's to mend into one stderr line and its exit code."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except typer.TyperException as error:
            raise fail(usage_message(error), error.exit_code) from error

    def invoke(self, ctx: Any) -> Any:
        accept_any_character()
        try:
            return super().invoke(ctx)
        except CharRNNError as error:
            raise fail(str(error), error.exit_code) from error
        except typer.TyperException as error:
            raise fail(usage_message(error), error.exit_code) from error
        except BrokenPipeError as error:  # `charrnn sample | head` has had enough, and that is fine
            abandon_stdout()
            raise typer.Exit(0) from error
        except MemoryError as error:
            raise fail("not enough memory; try a smaller --hidden, --batch or text", 5) from error


def usage_message(error: typer.TyperException) -> str:
    """Return the message of a mistyped command in our form."""
    message = error.format_message().rstrip(".")
    return f"{message}; try --help" if "try" not in message.lower() else message


def fail(message: str, code: int) -> typer.Exit:
    """Say it on stderr, in one line; return the exit to raise."""
    print(f"charrnn: error: {one_line(message)}", file=sys.stderr)
    return typer.Exit(code)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"charrnn {__version__}")
        raise typer.Exit


def charrnn(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train, sample and look inside character-level recurrent networks, in NumPy.

    Begin with: charrnn train corpus.txt, or charrnn train alone; then charrnn sample.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(charrnn)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("eval")(evaluate.evaluate_text)
app.command("info")(info.info)
