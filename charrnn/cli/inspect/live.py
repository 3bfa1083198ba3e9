"""View `inspect-gradients --live`: the gradient of a run, followed from a second terminal."""

import os
import sys
import time
from pathlib import Path
from typing import IO

from rich.live import Live

from charrnn.checkpointing.run_records import (
    complete_lines,
    open_metrics,
    parse_row,
    planned_steps,
    read_facts,
)
from charrnn.cli.output.console import Screen, say
from charrnn.cli.output.gradient_panel import GradientPanel
from charrnn.cli.output.safe_text import stdout_is_terminal
from charrnn.cli.runs.run_metrics import folder_of, newest_folder
from charrnn.cli.runs.run_status import how_it_ended, is_training
from charrnn.errors import CheckpointError, StorageError, UsageError

POLL_SECONDS = 0.5
MAX_IDLE_POLLS = 2
"""Polls without a new row after which a run that holds no lock has ended."""


def follow_run(paths: list[str]) -> None:
    """Show a run until it ends, and how it ended; once only if stdout is not a terminal."""
    if len(paths) > 1:
        raise UsageError("one run at a time", "--live with the folder of one run")
    folder = folder_of(paths[0]) if paths else newest_folder("charrnn train in another terminal")
    if not (folder / "metrics.jsonl").exists() and not is_training(folder):
        raise CheckpointError(f"no metrics.jsonl in {str(folder)!r}", "the folder of a run")
    console = Screen(highlight=False)
    reader = MetricsReader(folder)
    with reader:
        reader.poll()
        if not stdout_is_terminal():
            console.print(reader.panel)
            return
        planned = planned_steps(read_facts(folder))
        idle = 0
        with Live(reader.panel, console=console, auto_refresh=False) as screen:
            while planned is None or reader.panel.step < planned:
                time.sleep(POLL_SECONDS)
                idle = 0 if reader.poll() else idle + 1
                screen.update(reader.panel, refresh=True)
                if idle >= MAX_IDLE_POLLS and not is_training(folder):
                    break
    say(how_it_ended(folder, reader.panel.step, planned))


class MetricsReader:
    """Reads the rows of a run's metrics.jsonl while they are written; a context manager.

    A file that does not exist yet has no rows. One that is replaced, as by a resumed run, is read
    again from its start.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.jsonl"
        self.panel = GradientPanel(sys.stdout)
        self._file: IO[str] | None = None

    def poll(self) -> int:
        """Add new rows to `panel`; return their number."""
        if self._file is not None and self._replaced(self._file):
            self._file.close()
            self._file, self.panel = None, GradientPanel(sys.stdout)
        if self._file is None and self.path.exists():
            try:
                self._file = open_metrics(self.path)
            except OSError as error:
                raise StorageError(
                    f"cannot read {str(self.path)!r}: {error.strerror or error}", "another run"
                ) from error
        if self._file is None:
            return 0
        count = 0
        for line in complete_lines(self._file):
            if (row := parse_row(line)) is not None:
                self.panel.add(row)
                count += 1
        return count

    def _replaced(self, file: IO[str]) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except OSError:
            return False  # the folder is gone; what was read stays on the screen

    def __enter__(self) -> "MetricsReader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
