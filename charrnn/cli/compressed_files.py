"""Files of `compress` and `decompress`: arguments, standard streams, existing outputs."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

import typer

from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import byte_writer, label, stdin_is_terminal, writing
from charrnn.data.file_discovery import STDIN, is_folder, naming, shown
from charrnn.data.text_files import chunks_of
from charrnn.errors import StorageError, TextError, UsageError
from charrnn.system.files import write_atomically

ENDING = ".charrnn"
"""Ending of compressed files."""

Force = Annotated[bool, typer.Option("--force", help="Overwrite the output if it exists.")]


def split_arguments(arguments: Sequence[str], command: str) -> tuple[list[str], str]:
    """Return the checkpoints and the file of a command line: the file is the last argument."""
    *checkpoints, file = arguments
    if file.endswith(".npz") or (file != STDIN and Path(file).is_dir()):
        raise UsageError(
            f"{label(file)} is a checkpoint or a folder, and no file follows it",
            f"charrnn {command} CHECKPOINT FILE",
        )
    return checkpoints, file


@contextmanager
def seekable(source: str) -> Iterator[BinaryIO]:
    """Open a file; standard input or a pipe is copied to a temporary file first, on disk.

    Raises `TextError` for a file that is missing, a folder or a device.
    """
    if source == STDIN and stdin_is_terminal():
        say("charrnn: reading from the terminal; end it with Ctrl-D")
    if source == STDIN and sys.stdin is None:
        raise TextError("standard input is closed", "a file", "a pipe")
    is_folder(source)  # refuses what is missing, and devices, which may never end
    with naming(source):
        file = sys.stdin.buffer if source == STDIN else Path(source).open("rb")  # noqa: SIM115
    try:
        if source != STDIN and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield file
            return
        with TemporaryFile() as copy:
            for chunk in chunks_of(file, shown(source)):
                copy.write(chunk)
            copy.seek(0)
            yield copy
    finally:
        if source != STDIN:
            file.close()


def check_output(path: str, *, force: bool, option: str = "--output") -> None:
    """Raise `StorageError` for an output that exists, unless forced, or cannot be a file.

    `option` is the option that names it.
    """
    target = Path(path)
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            problem = f"no folder {label(str(target.parent))} to write to"
            raise StorageError(problem, f"another {option}") from None
        return
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot write {label(path)}", f"another {option}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise StorageError(f"{label(path)} is no file to write to", f"another {option}")
    if not force:
        raise StorageError(f"{label(path)} exists", f"another {option}", "--force")


def write_output(path: str, parts: Iterable[bytes]) -> None:
    """Write a file atomically, or standard output for `-`.

    Raises `StorageError` if that fails; nothing is then left of a file.
    """
    if path == STDIN:
        with writing() as out:
            write = byte_writer(out)
            for part in parts:
                write(part)
        return
    try:
        write_atomically(Path(path), parts)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(f"cannot write {label(path)} ({reason})", "another --output") from error
