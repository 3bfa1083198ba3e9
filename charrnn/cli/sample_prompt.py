"""The prompt of `charrnn sample --interactive`: lines that the model continues, and commands."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import (
    label,
    stderr_is_terminal,
    stdin_is_terminal,
    stdout_is_terminal,
    write_message,
    write_plain,
    write_prompt,
    write_text,
)
from charrnn.cli.runs.signals import continue_after_interrupt
from charrnn.data.typed_text import typed_with_escapes
from charrnn.errors import CharRNNError, TextError, UsageError
from charrnn.inference.session import Session

PROMPT = "> "


@dataclass(frozen=True)
class Command:
    """A command of the prompt: its value, what it does, and what `/help` says."""

    value: str
    run: Callable[[Session, str], None]
    help: str


def set_temperature(session: Session, value: str) -> None:
    """Set the temperature."""
    number = as_number("/temp", value)
    session.sampling = replace(session.sampling, temperature=number)


def set_top_p(session: Session, value: str) -> None:
    """Set the limit of probability."""
    session.sampling = replace(session.sampling, top_p=as_number("/top-p", value))


def set_top_k(session: Session, value: str) -> None:
    """Set the number of characters to draw from."""
    session.sampling = replace(session.sampling, top_k=as_integer("/top-k", value))


def set_seed(session: Session, value: str) -> None:
    """Set the seed of the next continuation."""
    session.sampling = replace(session.sampling, seed=as_integer("/seed", value))


def set_length(session: Session, value: str) -> None:
    """Set the length of continuations."""
    session.set_length(as_integer("/length", value))


def undo(session: Session, _: str) -> None:
    """Remove the last turn."""
    if not session.undo():
        raise UsageError("nothing to undo")
    if stdin_is_terminal():
        show_settings(session, "")


def show_text(session: Session, _: str) -> None:
    """Write the whole text."""
    show(session, iter([session.text]), raw=False)


def show_settings(session: Session, _: str) -> None:
    """Print the settings on one line."""
    sampling = session.sampling
    write_message(
        f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k}, "
        f"length {session.length}, next seed {sampling.seed}; {len(session.text):,} characters"
    )


def show_help(_: Session, __: str) -> None:
    """List the commands."""
    write_message("A line is added to the text, and the model continues it; an empty line: go on.")
    write_message(r"Escapes: \n \t \\ \xHH \uHHHH; a line that begins with a slash: //…")
    for name, command in COMMANDS.items():
        write_message(f"  {f'{name} {command.value}'.strip():<12} {command.help}")
    write_message("Ctrl-C stops the present text, Ctrl-D ends.")


COMMANDS: dict[str, Command] = {
    "/temp": Command("X", set_temperature, "set the temperature; 0: always the likeliest"),
    "/top-p": Command("X", set_top_p, "draw from the fewest characters of this probability"),
    "/top-k": Command("K", set_top_k, "draw from the K likeliest characters; 0: from all"),
    "/seed": Command("N", set_seed, "set the seed of the next continuation; it grows by one"),
    "/length": Command("N", set_length, "set the characters of a continuation"),
    "/undo": Command("", undo, "remove the last line and its continuation"),
    "/text": Command("", show_text, "show the whole text"),
    "/settings": Command("", show_settings, "show the settings"),
    "/help": Command("", show_help, "show this help"),
    "/quit": Command("", lambda _, __: None, "end, as Ctrl-D does"),
}


def as_number(name: str, value: str) -> float:
    """Return the value of a command as a number; `UsageError` for what is none."""
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} needs a number, not {value[:40]!r}") from error


def as_integer(name: str, value: str) -> int:
    """Return the value of a command as an integer; `UsageError` for what is none."""
    try:
        return int(value)
    except ValueError as error:
        raise UsageError(f"{name} needs an integer, not {value[:40]!r}") from error


def converse(session: Session, prime: str, normalise: str | None, *, raw: bool) -> None:
    """Read lines until the end, and write what continues them.

    On a terminal an error is shown and the session goes on; in a script, lines from a pipe or a
    file, it ends the command.

    Args:
        session: the text and its settings; mutated.
        prime: text in the model's characters that stands before the first line.
        normalise: the normal form of the model's text.
        raw: whether a terminal receives control codes unchanged.
    """
    live = stdin_is_terminal()
    if live:
        say("charrnn: Enter continues the text; /help lists the commands; Ctrl-D ends")
    while True:
        try:
            line = read_line()
            if line is None or line.strip() == "/quit":
                return
            if line.startswith("/") and not line.startswith("//"):
                run_command(session, line)
                continue
            line = line.removeprefix("/") if line.startswith("//") else line
            typed = prime + typed_with_escapes(line, "the line", session.vocabulary, normalise)
            characters = session.turn(typed)
            prime = ""
            show(session, with_typed(typed, characters), raw=raw)
        except CharRNNError as error:
            if not (live and isinstance(error, UsageError | TextError)):
                raise
            write_message(f"charrnn: {label(error.message(set()))}")
        except KeyboardInterrupt as error:
            if not continue_after_interrupt(error):
                raise
            if stderr_is_terminal():
                write_message("")


def run_command(session: Session, line: str) -> None:
    """Run a command; `UsageError` for one that there is not, or that its value does not suit."""
    name, _, value = line.partition(" ")
    command = COMMANDS.get(name.strip())
    if command is None:
        raise UsageError(f"no command {name[:40]!r}; /help lists them")
    value = value.strip()
    if bool(value) != bool(command.value):
        raise UsageError(f"{name} needs {f'a value {command.value}' if not value else 'no value'}")
    command.run(session, value)
    if command.value and stdin_is_terminal():
        show_settings(session, "")


def read_line() -> str | None:
    """Return the next line of standard input without its end; None after the last one.

    On a terminal with the history and keys of readline, where there is one.
    """
    if sys.stdin is None:
        raise TextError("standard input is closed", "a pipe")
    if stdin_is_terminal() and stdout_is_terminal():
        with suppress(ImportError):  # Windows has its own
            import readline  # noqa: F401  # changes `input`
        try:
            return input(PROMPT)
        except EOFError:
            write_plain("\n")
            return None
        except UnicodeDecodeError as error:
            raise TextError("the line is not in the encoding of the terminal") from error
    if stdin_is_terminal():
        write_prompt(PROMPT)
    line = sys.stdin.buffer.readline()
    if not line:
        return None
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def with_typed(typed: str, characters: Iterator[str]) -> Iterator[str]:
    """Yield what was typed, then its continuation."""
    if typed:
        yield typed
    yield from characters


def show(session: Session, characters: Iterator[str], *, raw: bool) -> None:
    """Write characters as they come; in a pipe or file a line end follows."""
    ended = characters if stdout_is_terminal() else with_line_end(characters)
    write_text(ended, raw=raw, as_bytes=session.vocabulary.as_bytes)


def with_line_end(characters: Iterator[str]) -> Iterator[str]:
    """Yield characters, and a line end unless the last of them is one."""
    last = ""
    for last in characters:
        yield last
    if not last.endswith("\n"):
        yield "\n"
