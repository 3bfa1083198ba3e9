"""Progress bar over trials that run side by side, in which a running trial counts by its steps."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from charrnn.checkpointing.run_records import planned_steps, read_facts
from charrnn.cli.output.console import progress_bar
from charrnn.cli.runs.run_status import last_logged_step

LOOK_SECONDS = 1.0
"""Seconds between two looks at the metrics of running trials."""


def part_done(folder: Path) -> float:
    """Return the share of its steps that a run has logged, from 0 to 1; 0 if it is not known."""
    step, steps = last_logged_step(folder), planned_steps(read_facts(folder))
    return min(1.0, step / steps) if step and steps else 0.0


@contextmanager
def trials_bar(folders: Sequence[Path], total: int) -> Iterator[Callable[[Path], None]]:
    """Show a bar while trials run; yield what to call with the folder of each that has ended.

    Args:
        folders: those of the trials that have not ended.
        total: the number of all trials.
    """
    bar = progress_bar(total, total - len(folders))
    left, ended = list(folders), threading.Event()

    def show() -> None:
        if bar.disable:
            return
        waiting = list(left)
        bar.n = total - len(waiting) + sum(map(part_done, waiting))
        bar.refresh()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            show()

    def count(folder: Path) -> None:
        left.remove(folder)
        show()

    watcher = threading.Thread(target=watch, daemon=True)
    if not bar.disable:
        watcher.start()
    try:
        yield count
    finally:
        ended.set()
        if not bar.disable:
            watcher.join()
        bar.close()
