"""Lines of standard input, as they arrive.

What one read returns is passed on before the next read may wait: a line typed at a terminal or
written to a slow pipe is not kept back until others follow, and from a file, or from a pipe that is
filled faster than it is read, there are thousands of lines in each block.
"""

import codecs
import io
import sys
from collections.abc import Iterator
from typing import Any

from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import stdin_is_terminal
from charrnn.data.decoding import MARK, TextOptions
from charrnn.errors import TextError, UsageError

READ_BYTES = 2**18
"""Most bytes that are read from standard input at a time; the pipes of Linux hold 2¹⁶."""


def read_blocks(encoding: str, *, skip_errors: bool = False) -> Iterator[list[str]]:
    """Yield blocks of lines of standard input without their ends, strictly decoded.

    A byte order mark at the beginning is dropped. Raises `TextError` for a line that cannot be
    decoded, after those before it; with `skip_errors` it has halves of surrogate pairs, which no
    model knows, in place of the bytes, and the lines after it follow.
    """
    TextOptions(encoding)
    if sys.stdin is None:
        raise UsageError("standard input is closed; try a text: charrnn predict TEXT")
    if stdin_is_terminal():
        say("charrnn: one input per line; end with Ctrl-D")
    errors = "surrogateescape" if skip_errors else "strict"
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)(errors), translate=True
    )
    stream: Any = sys.stdin.buffer  # one that can return what there is, and not wait for more
    number, unfinished, problem = 0, [""], False
    while not problem:
        content = stream.read1(READ_BYTES)
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeError as error:
            known = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            text, problem = str(known, encoding, "ignore"), True
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if number == 0 and unfinished == [""]:
            text = text.removeprefix(MARK)
        first, *lines = text.split("\n")
        unfinished.append(first)  # joined once, however many reads a long line takes
        if lines:
            lines, unfinished = ["".join(unfinished), *lines[:-1]], [lines[-1]]
            number += len(lines)
            yield lines
        if not content and not problem:
            if line := "".join(unfinished):
                yield [line]
            return
    raise TextError(
        f"standard input line {number + 1:,} is not {encoding.upper()}",
        "--encoding NAME with the encoding of the lines",
    )
