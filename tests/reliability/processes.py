"""Commands in processes of their own, to be killed: what they have saved, and what they leave.

`python -m tests.reliability.reporting_command` is the real command, which also reports the saves
and validations that begin and end.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

PATIENCE = 60.0
"""Seconds after which a process that does not do what is waited for is a failure."""

REPOSITORY = Path(__file__).parents[2]
REPORTING = "tests.reliability.reporting_command"
REPORT = "CHARRNN_TEST_REPORT"
"""Environment variable: the descriptor to which the command reports."""

LINE = "The cat sat on the mat. The dog sat on the log. {}\n"


def write_corpus(folder: Path, lines: int = 200) -> Path:
    """Write a small text of different lines."""
    path = folder / "corpus.txt"
    path.write_text("".join(LINE.format(number) for number in range(lines)), encoding="utf-8")
    return path


class Reporting:
    """A command in a session of its own, which reports; killed at the end of the context.

    Args:
        arguments: the words after `charrnn`.
        folder: its working directory.
        settings: environment variables for `reporting_command`.
        plain: start `python -m charrnn` itself, which reports nothing.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self._reports, theirs = os.pipe()
        os.set_blocking(self._reports, False)
        environment = os.environ | {REPORT: str(theirs), "PYTHONPATH": str(REPOSITORY)}
        self._stderr = (folder / "stderr").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charrnn" if plain else REPORTING, *arguments],
            cwd=folder,
            env=environment | dict(settings or {}),
            pass_fds=(theirs,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,
        )
        os.close(theirs)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._reports)
        self._stderr.close()

    def reports(self) -> list[tuple[str, int]]:
        """Return what was reported: `save`, `saved`, `validate` or `validated`, with its step."""
        try:
            while piece := os.read(self._reports, 65536):
                self._read += piece
        except BlockingIOError:
            pass
        lines = self._read.decode().split("\n")[:-1]
        return [(event, int(step)) for event, step in (line.split() for line in lines)]

    def wait_for_reports(self, number: int) -> None:
        """Return once so many reports have come, or the process has ended."""
        self._wait(lambda: len(self.reports()) >= number)

    def wait_for(self, wanted: Callable[[str, int], bool]) -> None:
        """Return once a report with such an event and step has come, or the process has ended."""
        self._wait(lambda: any(wanted(*report) for report in self.reports()))

    def _wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < until, self.stderr()
            time.sleep(0.002)

    def stderr(self) -> str:
        """Return what it has written to stderr."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def end(
        self, *signals: signal.Signals, group: bool = True, pause: float = 0.0
    ) -> tuple[int, float]:
        """Send signals; return the exit code and the seconds since the last one.

        Args:
            signals: what is sent.
            group: whether its worker processes get them too.
            pause: seconds between two of them.
        """
        for index, number in enumerate(signals):
            time.sleep(pause if index else 0)
            if self.process.poll() is None:
                if group:
                    os.killpg(self.process.pid, number)
                else:
                    self.process.send_signal(number)
        began = time.monotonic()
        return self.process.wait(PATIENCE), time.monotonic() - began


def in_session(session: int) -> list[int]:
    """Return the processes of a session that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return whether a condition becomes true within some seconds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()
