"""`inspect-gradients --live`: a run's gradient from a second terminal, as its rows are written."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rich.live import Live

from charrnn.cli.display import Screen
from charrnn.cli.run import RUNS
from charrnn.cli.watch import WatchedRun
from charrnn.errors import CheckpointError, StorageError, UsageError

POLL_SECONDS = 0.5


def follow(paths: list[str]) -> None:
    """Show a run until it ends; where stdout is no terminal, show once how it stands."""
    if len(paths) > 1:
        raise UsageError("one run at a time; try --live with the folder of one")
    folder = Path(paths[0]) if paths else newest_folder()
    path = folder / "metrics.jsonl"
    if not path.exists():
        raise CheckpointError(f"no metrics.jsonl in {str(folder)!r}; try the folder of a run")
    planned = planned_steps(folder)
    watched = WatchedRun(sys.stdout)
    console = Screen(highlight=False)
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StorageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    with file:
        for row in new_rows(file):
            watched.add(row)
        if not sys.stdout.isatty():
            console.print(watched)
            return
        with Live(watched, console=console, auto_refresh=False) as screen:
            while planned is None or watched.step < planned:
                time.sleep(POLL_SECONDS)
                for row in new_rows(file):
                    watched.add(row)
                screen.update(watched, refresh=True)


def newest_folder() -> Path:
    """Return the run whose metrics were written last."""
    found = list(RUNS.glob("*/metrics.jsonl"))
    if not found:
        raise CheckpointError(f"no run under {str(RUNS)!r}; try charrnn train in another terminal")
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent


def planned_steps(folder: Path) -> int | None:
    """Return the number of steps of a run, or None if its run.json does not tell."""
    try:
        steps = json.loads((folder / "run.json").read_text(encoding="utf-8"))["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return steps if isinstance(steps, int) else None


def new_rows(file: IO[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows written since the last call; a line half written waits for its end."""
    while True:
        begin = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(begin)
            return
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row
