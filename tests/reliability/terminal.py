"""Commands run in this process, with an imitated terminal or pipe, and what a terminal may get."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from charrnn.cli import app as entry
from charrnn.cli.train import planning
from charrnn.training.speed import Speed

DANGEROUS = frozenset(
    chr(code)
    for code in (
        *(code for code in range(0x20) if chr(code) not in "\n\t"),
        *range(0x7F, 0xA0),
        *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xD800, 0xE000),
    )
)
"""Controls, C1 controls, direction marks, separators, surrogates: no terminal may get them."""

BAR = re.compile(r"\r(?= *\d+%)|\r *\r")
"""Carriage returns of a progress bar: before it is drawn, and around blanks that clear it."""

CODES = {0, 1, 2, 3, 4, 5, 6}
"""Exit codes of a command that no signal ended."""

MAX_LINE = 200


class TerminalStream(io.StringIO):
    """A text stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class Outcome:
    """What a command wrote, and its exit code."""

    code: int
    output: bytes
    messages: str

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode("utf-8", "surrogatepass")


def run(*arguments: str, terminal: bool = False, stdin: bytes = b"") -> Outcome:
    """Run a command in this process, with stdout and stderr at a terminal or in pipes."""
    streams = sys.stdin, sys.stdout, sys.stderr
    kept = io.BytesIO()
    piped = io.TextIOWrapper(kept, encoding="utf-8", write_through=True)
    screen, messages = TerminalStream(), TerminalStream() if terminal else io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    sys.stdout = screen if terminal else piped
    sys.stderr = messages
    code: object = 0
    try:
        entry.app([*arguments])
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
    output = screen.getvalue().encode("utf-8", "surrogatepass") if terminal else kept.getvalue()
    return Outcome(code if isinstance(code, int) else 0, output, messages.getvalue())


def assert_ended_well(outcome: Outcome, what: object) -> None:
    """Check the exit code, and that there is one short error for each code but 0, 1."""
    messages = outcome.messages
    assert outcome.code in CODES, f"{what}: exit {outcome.code}: {messages}"
    for forbidden in ("Traceback", "Warning"):
        assert forbidden not in messages, f"{what}: {messages}"
    lines = re.split(r"[\n\r]", messages)
    errors = [line for line in lines if line.startswith("charrnn: error: ")]
    assert len(errors) == (outcome.code > 1), f"{what}: exit {outcome.code}: {messages}"
    assert all(len(line) <= MAX_LINE for line in errors), f"{what}: {messages}"


def assert_harmless(outcome: Outcome, what: object) -> None:
    """Check that nothing a command wrote can steer a terminal."""
    for written in (outcome.text, BAR.sub("", outcome.messages)):
        found = DANGEROUS & set(written)
        assert not found, f"{what}: {sorted(map(ascii, found))} in {written!r:.2000}"


@contextmanager
def quick_commands() -> Iterator[None]:
    """Leave out what takes most of a tiny run's time: measuring, building options, fsync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "measure_speed", lambda *_, **__: Speed(1e-3, 1e-3, 1e-6, 1e-6))
        patch.setattr(entry, "load_command", cache(entry.load_command))
        patch.setattr("os.fsync", lambda _: None)
        patch.setenv("TERM", "dumb")  # otherwise rich writes codes for bold text
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "80")
        yield


def on_pty(*arguments: str, folder: Path | None = None, **variables: str) -> tuple[int, bytes]:
    """Run a command in its own process, with stdout and stderr at a pseudo-terminal.

    Args:
        arguments: the words after `charrnn`.
        folder: the working directory.
        variables: of the environment.

    Returns the exit code and everything written, its line ends as the command wrote them.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "80"} | variables,
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                chunk = os.read(ours, 2**16)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    return process.returncode, written.replace(b"\r\n", b"\n")


def clear(folder: Path) -> None:
    """Delete the files of a folder and of its folders."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
