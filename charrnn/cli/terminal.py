"""What reaches the terminal: made visible where it could do harm, exact where it cannot.

A model may have learnt escape codes, and a file may be named with them; a terminal obeys them.
Everything that comes from a text, a checkpoint or a path passes through `visible` first.
"""

import errno
import io
import os
import shlex
import sys
from collections.abc import Iterable
from typing import TextIO

from charrnn.errors import StorageError

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SEPARATORS = "\u2028\u2029"
ESCAPE = 0x1B


def _replacements() -> dict[int, str]:
    """Map every character that steers a terminal, newline and tab apart, to one that shows it."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    table[0x7F] = "␡"
    table |= {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
    table |= {ord(character): f"<U+{ord(character):04X}>" for character in BIDI + SEPARATORS}
    table |= dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
    return table


REPLACEMENTS = _replacements()


def visible(text: str) -> str:
    """Show control and direction characters instead of sending them: ␛ for escape, and so on."""
    return text.translate(REPLACEMENTS)


def one_line(text: str) -> str:
    """Return `visible` text with its newlines and tabs shown too."""
    return visible(text).replace("\n", "␊").replace("\t", "␉")


def shell_command(*words: str) -> str:
    """Return a command that a person can copy and paste: words with blanks are quoted.

    Example:
        >>> shell_command("charrnn", "sample", "my run")
        "charrnn sample 'my run'"
    """
    return one_line(shlex.join(words))


def accept_any_character() -> None:
    """Let streams that cannot spell a character write its escape rather than fail.

    A closed stderr becomes one that nobody reads: `print` would take stdout in its place.
    """
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stdout_is_terminal() -> bool:
    """Whether stdout is open and a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def unicode_ok(stream: TextIO | None = None) -> bool:
    """Say whether a stream, stderr if none is given, can show more than ASCII."""
    encoding = getattr(stream or sys.stderr, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def write_text(pieces: Iterable[str], *, raw: bool = False, as_bytes: bool = False) -> None:
    """Write generated text to stdout: at once and made safe on a terminal, exact in a pipe.

    Characters that stand for bytes leave as those bytes. Raises `StorageError` if stdout is closed
    or full; a reader who has gone away (`| head`) raises `BrokenPipeError`.
    """
    out = sys.stdout
    if out is None:
        raise StorageError("standard output is closed; try a file: charrnn sample > poem.txt")
    live = out.isatty()
    safe = live and not raw
    try:
        for piece in pieces:
            if as_bytes and not safe:
                out.flush()
                out.buffer.write(piece.encode("latin-1"))
            else:
                out.write(visible(piece) if safe else piece)
            if live:
                out.flush()
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon_stdout()
        raise StorageError(
            f"standard output cannot be written: {os.strerror(error.errno or errno.EIO)}"
        ) from error


def abandon_stdout() -> None:
    """Point stdout at nothing, so that Python's last flush at exit does not fail once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return
