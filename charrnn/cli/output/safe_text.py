"""Safe text output: no control codes on a terminal, exact UTF-8 in a pipe or file.

A model may generate escape codes, and names of files may contain them; a terminal executes them.
All text from a corpus or checkpoint passes through `visible` first, and names of files, runs and
labels through `label`, which shows every invisible character.

Only this module and `console` write to the standard streams, with the few exceptions that
`tests/cli/output/test_stream_writers.py` lists.
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
    """Map every control character except newline and tab to a visible text."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    table[0x7F] = "␡"
    table |= {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
    table |= {ord(character): f"<U+{ord(character):04X}>" for character in BIDI + SEPARATORS}
    table |= dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
    return table


REPLACEMENTS = _replacements()


def visible(text: str) -> str:
    """Replace control and direction characters by visible ones.

    Example:
        >>> visible("\\x1b[2J")
        '␛[2J'
    """
    return text.translate(REPLACEMENTS)


def one_line(text: str) -> str:
    """Return `visible` text in which newlines and tabs are replaced too."""
    return visible(text).replace("\n", "␊").replace("\t", "␉")


def label(text: str) -> str:
    """Return a name on one line in which every character is visible.

    Example:
        >>> label("my\\u200brun\\n")
        'my<U+200B>run␊'
    """
    return labelled(one_line(repaired(text)))


def shell_command(*words: str) -> str:
    """Return a command to copy and paste: words with blanks are quoted.

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
    """Return whether standard input is open and a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def stdout_is_terminal() -> bool:
    """Return whether stdout is open and a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def stderr_is_terminal() -> bool:
    """Return whether stderr is open and a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def unicode_ok(stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default stderr, is in a Unicode encoding."""
    encoding = getattr(stream or sys.stderr, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def decode_utf_8(chunks: Iterable[str]) -> Iterator[str]:
    """Decode chunks of UTF-8 whose bytes are given as characters U+0000 to U+00FF.

    A byte that is not UTF-8 becomes `\\xff`. A character is yielded with the last of its bytes.

    Example:
        >>> "".join(decode_utf_8(["\\xc3", "\\xa9", "\\xff!"]))
        'é\\\\xff!'
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    for chunk in chunks:
        if text := decoder.decode(chunk.encode("latin-1")):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


@contextmanager
def writing() -> Iterator[TextIO]:
    """Yield stdout, and flush it afterwards.

    Raises `StorageError` if it is closed or full, and `BrokenPipeError` if its reader has ended
    (`| head`).
    """
    out = sys.stdout
    try:
        if isinstance(out, ClosedStream):
            out.write("")  # raises, even if nothing is written
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
    """Return a function that writes bytes to a stream, after all text written so far."""
    if isinstance(out, io.TextIOWrapper):
        out.flush()
        write: Callable[[bytes], object] = out.buffer.write
        return write
    # a text stream without a binary buffer, of a Python program that calls the command
    return lambda content: out.write(content.decode("utf-8", "backslashreplace"))


def utf_8(text: str) -> bytes:
    """Return a text as UTF-8; surrogate escapes become the bytes that they stand for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def write_plain(text: str) -> None:
    """Write a text, such as JSON or CSV, to stdout: `visible` on a terminal, exact elsewhere.

    A pipe or file receives UTF-8 in every locale. Raises as `writing` does.
    """
    with writing() as out:
        if out.isatty():
            out.write(visible(text))
        else:
            byte_writer(out)(utf_8(text))


def write_message(line: str) -> None:
    """Write one line to stderr; control characters are made visible, newlines are kept."""
    sys.stderr.write(f"{visible(line)}\n")
    sys.stderr.flush()


def write_prompt(prompt: str) -> None:
    """Print a prompt on stderr, without a line end."""
    sys.stderr.write(visible(prompt))
    sys.stderr.flush()


def write_text(
    chunks: Iterable[str], *, raw: bool = False, as_bytes: bool = False, at_once: bool = False
) -> None:
    """Write generated text to stdout: `visible` and unbuffered on a terminal, exact elsewhere.

    Args:
        chunks: the text.
        raw: whether a terminal receives control codes unchanged.
        as_bytes: whether the characters are bytes, U+0000 to U+00FF.
        at_once: whether each chunk is written at once to a pipe or file too, not many together.

    A pipe or file receives UTF-8 in every locale, or the bytes. A terminal receives its own
    encoding, bytes decoded as UTF-8, and a newline after the last line. Raises as `writing` does.
    """
    with writing() as out:
        live = out.isatty()
        if live and not raw:
            last = ""
            for chunk in map(visible, decode_utf_8(chunks) if as_bytes else chunks):
                out.write(chunk)
                out.flush()
                last = chunk or last
            if last and not last.endswith("\n"):
                out.write("\n")
            return
        write = byte_writer(out)
        if live:
            for chunk in chunks:
                if as_bytes:
                    write(chunk.encode("latin-1"))
                else:
                    out.write(chunk)
                out.flush()
            return
        for text in chunks if at_once else joined(chunks):
            write(text.encode("latin-1") if as_bytes else utf_8(text))
            if at_once:
                out.flush()


def joined(chunks: Iterable[str], count: int = 256) -> Iterator[str]:
    """Join every `count` chunks; before an exception passes, the chunks so far are yielded."""
    waiting: list[str] = []
    try:
        for chunk in chunks:
            waiting.append(chunk)
            if len(waiting) == count:
                yield "".join(waiting)
                waiting.clear()
    except GeneratorExit:  # closed by the consumer
        return
    except BaseException:
        yield "".join(waiting)
        raise
    if waiting:
        yield "".join(waiting)


def abandon_stdout() -> None:
    """Redirect stdout to the null device, so that the flush at exit of Python does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return
