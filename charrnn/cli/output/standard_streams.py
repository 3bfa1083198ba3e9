"""Standard streams that may be closed, full, without a reader, or not in UTF-8.

Messages never end a command: once stderr cannot be written, messages are dropped. An answer that
cannot be written is an error: writing to a closed stdout raises `StorageError`.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from charrnn.errors import StorageError


def prepare_streams() -> None:
    """Make the standard streams safe to use; called once before a command runs.

    Characters that a stream cannot encode are written as escapes instead of raising.
    """
    occupy_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        sys.stdout = ClosedStream()
    if not isinstance(sys.stderr, MessageStream):
        sys.stderr = MessageStream(sys.stderr)


def occupy_descriptors() -> None:
    """Open the null device in place of descriptors 0 to 2 that are closed.

    Otherwise the next file that is opened would get such a number, and receive what libraries
    and child processes write there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class MessageStream(io.TextIOBase):
    """Writes text to `stream`, and drops it once the stream cannot be written."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or drop it if that fails; return its length."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # ValueError: closed
                self._silence()
        return len(text)

    def flush(self) -> None:
        """Flush, or drop the buffered text if that fails."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._silence()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the descriptor; raises OSError if there is none."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, as in TextIOWrapper
        """The encoding of `stream`, UTF-8 if it has none."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> Any:
        """The binary buffer of `stream`, or None."""
        return getattr(self._stream, "buffer", None)

    def _silence(self) -> None:
        """Redirect buffered and later text to the null device."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()
        self._stream = None


class ClosedStream(io.TextIOBase):
    """Replaces a closed stdout: writing raises `StorageError`."""

    encoding = "utf-8"

    def write(self, _text: object) -> NoReturn:
        """Raise `StorageError`."""
        raise StorageError("standard output is closed", "a file: charrnn … > answer.txt")

    def isatty(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True; `write` raises the error."""
        return True

    @property
    def buffer(self) -> "ClosedStream":
        """This stream, which also refuses bytes."""
        return self
