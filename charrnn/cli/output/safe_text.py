"""Text on its way to stdout and stderr: safe on a terminal, exact UTF-8 in a pipe or file.

A model may have learnt escape codes, and a file may be named with them; a terminal obeys them.
Everything that comes from a text or a checkpoint passes through `visible` first, and names of
files, runs and labels through `label`, in which no character is hidden.
"""

import codecs
import errno
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from charrnn.cli.output.standard_streams import ClosedStream
from charrnn.data.characters import labelled, repaired
from charrnn.errors import StorageError
from charrnn.system.platform import IS_WINDOWS

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SEPARATORS = "\u2028\u2029"


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


def label(text: str) -> str:
    """Return a name on one line in which every character can be seen.

    Example:
        >>> label("my\\u200brun\\n")
        'my<U+200B>run␊'
    """
    return labelled(one_line(repaired(text)))


def shell_command(*words: str) -> str:
    """Return a command that a person can copy and paste: words with blanks are quoted.

    Example:
        >>> shell_command("charrnn", "sample", "my run")
        "charrnn sample 'my run'"

    On Windows the quotes are double ones.
    """
    if IS_WINDOWS:
        from subprocess import list2cmdline

        return one_line(list2cmdline(words))
    return one_line(shlex.join(words))


def stdin_is_terminal() -> bool:
    """Return whether standard input is a terminal, at which somebody waits to be told to type."""
    return sys.stdin is not None and sys.stdin.isatty()


def stdout_is_terminal() -> bool:
    """Whether stdout is open and a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def unicode_ok(stream: TextIO | None = None) -> bool:
    """Say whether a stream, stderr if none is given, can show more than ASCII."""
    encoding = getattr(stream or sys.stderr, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def decode_utf_8(pieces: Iterable[str]) -> Iterator[str]:
    """Yield characters for pieces of bytes, each as a character U+0000 to U+00FF, read as UTF-8.

    What is not UTF-8 is shown as `\\xff`. A character arrives with the last of its bytes.

    Example:
        >>> "".join(decode_utf_8(["\\xc3", "\\xa9", "\\xff!"]))
        'é\\\\xff!'
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    for piece in pieces:
        if text := decoder.decode(piece.encode("latin-1")):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


@contextmanager
def writing() -> Iterator[TextIO]:
    """Yield stdout to be written to, and flush it.

    Raises `StorageError` if it is closed or full; a reader who has gone away (`| head`) raises
    `BrokenPipeError`.
    """
    out = sys.stdout
    try:
        if isinstance(out, ClosedStream):
            out.write("")  # raises, also where nothing would be written
        yield out
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon_stdout()
        raise StorageError(
            f"standard output cannot be written: {os.strerror(error.errno or errno.EIO)}"
        ) from error


def byte_writer(out: TextIO) -> Callable[[bytes], object]:
    """Return what writes bytes to a stream, after what was written to it as text before."""
    if isinstance(out, io.TextIOWrapper):
        out.flush()
        write: Callable[[bytes], object] = out.buffer.write
        return write
    # a stream of a Python program that calls the command, without bytes below
    return lambda content: out.write(content.decode("utf-8", "backslashreplace"))


def utf_8(text: str) -> bytes:
    """Return a text as UTF-8; bytes of an argument that were not UTF-8 are those bytes again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def write_plain(text: str) -> None:
    """Write text that is known to be harmless to stdout: UTF-8 in a pipe or file."""
    with writing() as out:
        if out.isatty():
            out.write(text)
        else:
            byte_writer(out)(utf_8(text))


def write_text(pieces: Iterable[str], *, raw: bool = False, as_bytes: bool = False) -> None:
    """Write generated text to stdout: at once and made safe on a terminal, exact elsewhere.

    In a pipe or file it is UTF-8 whatever the locale, and characters that stand for bytes are
    those bytes. A terminal gets its own encoding, bytes decoded as UTF-8, and a newline after the
    last line. With `raw` it gets everything as it is. Errors are those of `writing`.
    """
    with writing() as out:
        live = out.isatty()
        if live and not raw:
            last = ""
            for piece in map(visible, decode_utf_8(pieces) if as_bytes else pieces):
                out.write(piece)
                out.flush()
                last = piece or last
            if last and not last.endswith("\n"):
                out.write("\n")
            return
        write = byte_writer(out)
        if live:
            for piece in pieces:
                if as_bytes:
                    write(piece.encode("latin-1"))
                else:
                    out.write(piece)
                out.flush()
            return
        for text in joined(pieces):
            write(text.encode("latin-1") if as_bytes else utf_8(text))


def joined(pieces: Iterable[str], count: int = 256) -> Iterator[str]:
    """Yield so many pieces at a time as one; those before an exception are yielded first."""
    waiting: list[str] = []
    try:
        for piece in pieces:
            waiting.append(piece)
            if len(waiting) == count:
                yield "".join(waiting)
                waiting.clear()
    except GeneratorExit:  # nobody wants more
        return
    except BaseException:
        yield "".join(waiting)
        raise
    if waiting:
        yield "".join(waiting)


def abandon_stdout() -> None:
    """Point stdout at nothing, so that Python's last flush at exit does not fail once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return
