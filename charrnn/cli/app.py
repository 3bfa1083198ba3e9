"""Command-line entry point: list of commands, lazy loading, and errors as one line."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn import __version__
from charrnn.cli.options import Command
from charrnn.cli.output.safe_text import (
    abandon_stdout,
    label,
    stderr_is_terminal,
    write_message,
    write_plain,
)
from charrnn.cli.output.standard_streams import prepare_streams
from charrnn.cli.runs.signals import raise_on_signal
from charrnn.cli.usage_messages import check_words, usage_message
from charrnn.errors import CharRNNError, StorageError

COMMANDS = {
    "train": (
        "charrnn.cli.train.command:train_network",
        "Train a character-level network on a text.",
    ),
    "sweep": (
        "charrnn.cli.sweep.command:sweep",
        "Compare settings: grid or random search over options of train.",
    ),
    "ensemble": (
        "charrnn.cli.ensemble:ensemble",
        "Train several networks that are used together.",
    ),
    "sample": ("charrnn.cli.sample:sample", "Write text with a trained model."),
    "predict": ("charrnn.cli.predict:predict", "Answer inputs with a model trained on pairs."),
    "runs": ("charrnn.cli.list_runs:list_runs", "List runs: status, loss, size and age."),
    "plot": ("charrnn.cli.plot_runs:plot_runs", "Plot the loss and other metrics of runs."),
    "inspect-gradients": (
        "charrnn.cli.inspect.command:inspect_gradients",
        "See whether gradients vanish, explode or arrive.",
    ),
    "inspect-text": (
        "charrnn.cli.inspect_text:inspect_text",
        "Measure how far the characters of a text depend on each other.",
    ),
    "neurons": (
        "charrnn.cli.neurons.command:neurons",
        "Colour a text by hidden units, and find what they follow.",
    ),
    "eval": ("charrnn.cli.evaluate:evaluate_text", "Score a text, next to baselines."),
    "novelty": ("charrnn.cli.novelty:novelty", "Check whether a model copies its training text."),
    "combine": (
        "charrnn.cli.combine:combine",
        "Put networks and n-grams into one checkpoint.",
    ),
    "compress": ("charrnn.cli.compress:compress", "Compress a text without loss."),
    "decompress": ("charrnn.cli.decompress:decompress", "Restore a compressed text."),
    "export": ("charrnn.cli.export:export", "Write a model for PyTorch, ONNX or a browser."),
    "import": ("charrnn.cli.import_weights:import_weights", "Read the weights of a PyTorch model."),
    "info": ("charrnn.cli.info:info", "Show the contents of a checkpoint."),
    "report": ("charrnn.cli.report.command:report", "Write a page about a run, to hand in."),
}
PANELS = {
    "Train": ("train", "sweep", "ensemble", "runs", "plot"),
    "Use a model": (
        *("sample", "predict", "eval", "combine", "compress", "decompress", "export", "import"),
    ),
    "Look inside": ("novelty", "inspect-gradients", "inspect-text", "neurons", "info", "report"),
}
"""Headings of the list of commands in `charrnn --help`."""

MAX_LINE = 200
"""Most characters of an error line; longer ones lose their middle."""
MEMORY_ADVICE = (
    "a smaller --hidden",
    "a smaller --batch-size",
    "a smaller --count",
    "a shorter text",
)
"""Advice if memory does not suffice; each command shows what fits its options."""

SETTINGS = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Group that imports a command when it is called, and prints errors of the user as one line."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a stub of a command for the list of commands, without importing its code."""
        if name not in COMMANDS:
            return None
        panel = next((title for title, names in PANELS.items() if name in names), None)
        return TyperCommand(name, help=COMMANDS[name][1], rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and stub else stub, rest

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        prepare_streams()
        with reported():
            check_words(args)
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with raise_on_signal(), reported(lambda: options_of(ctx.invoked_subcommand)):
            return super().invoke(ctx)


@contextmanager
def reported(options: Callable[[], set[str] | None] = lambda: None) -> Iterator[None]:
    """Print errors that the user can fix, such as a full disk, as one line; set the exit code.

    `options` returns the options of the running command: advice with other options is left out.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        raise interrupted(error) from error
    except CharRNNError as error:
        raise fail(error.message(options()), error.exit_code) from error
    except typer.TyperException as error:
        raise fail(usage_message(error, COMMANDS), error.exit_code) from error
    except (BrokenPipeError, SystemExit) as error:
        if not reader_ended(error):
            raise
        abandon_stdout()
        raise typer.Exit(0) from error
    except OSError as error:
        abandon_stdout()
        raise fail(f"{error.strerror or error}; try another place to write to", 5) from error
    except MemoryError as error:
        lack = StorageError("not enough memory", *MEMORY_ADVICE)
        raise fail(lack.message(options()), lack.exit_code) from error


def reader_ended(error: BaseException) -> bool:
    """Return whether the reader of stdout has ended (`charrnn sample | head`), which is no error.

    rich, which prints help pages, then exits with code 1 while it handles a `BrokenPipeError`.
    """
    return isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError)


def interrupted(error: KeyboardInterrupt) -> typer.Exit:
    """Print one line that names the signal that ended the command; return the exit to raise."""
    abandon_stdout()
    start = "\n" if stderr_is_terminal() else ""
    name = "interrupted" if error.args in ((), ("SIGINT",)) else f"ended by {error.args[0]}"
    write_message(f"{start}charrnn: {name}")
    return typer.Exit(getattr(error, "exit_code", 128 + signal.SIGINT))


def load_command(name: str) -> Any:
    """Import a command and build it from the signature of its function."""
    home, function = COMMANDS[name][0].split(":")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, cls=Command, context_settings=SETTINGS)(
        getattr(import_module(home), function)
    )
    command: Any = typer.main.get_command(single)
    if earlier := [spelling for spelling, _ in command.earlier_spellings()]:
        command.epilog = f"Earlier spellings are accepted too: {', '.join(earlier)}."
    return command


def options_of(name: str | None) -> set[str] | None:
    """Return every option of a command, as it is typed; None if there is no such command."""
    if name not in COMMANDS:
        return None
    return {flag for parameter in load_command(name).params for flag in parameter.opts}


def fail(message: str, code: int) -> typer.Exit:
    """Print an error on stderr as one line, its middle cut out if it is long; return the exit."""
    line = f"charrnn: error: {label(message)}"
    if len(line) > MAX_LINE:
        line = f"{line[: MAX_LINE - 61]}…{line[-60:]}"
    write_message(line)
    return typer.Exit(code)


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        write_plain(f"charrnn {__version__}\n")
        raise typer.Exit


def charrnn(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train, sample and look inside character-level recurrent networks, in NumPy.

    Start with: charrnn train corpus.txt, or charrnn train alone; then charrnn sample.
    Pairs: charrnn train pairs.tsv --layout many-to-one; then charrnn predict.
    """
    if context.invoked_subcommand is None:
        write_plain(f"{context.get_help()}\n")


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)
app.callback(invoke_without_command=True)(charrnn)
