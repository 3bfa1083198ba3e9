"""SIGKILL at random instants: every run can be resumed and loses at most one save (R1)."""

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.errors import CheckpointError
from tests.reliability.processes import Reporting, eventually, in_session, write_corpus
from tests.reliability.scale import tries

RUN = (
    *("train", "corpus.txt", "--out", "run", "--steps", "1000000", "--hidden", "48", "--quiet"),
    *("--batch-size", "4", "--seq-length", "8", "--backend", "numpy", "--dropout", "0"),
    *("--eval-every", "20", "--save-every", "1", "--optimizer", "adam"),
)
RESUME = ("train", "--resume", "run", "--quiet", "--save-every", "1")
AT_START = 0.15
"""Fraction of the kills that strike before the run has saved anything."""

GROUP = 0.3
"""Fraction of the kills that strike the worker processes too; of others, they end themselves."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@dataclass
class Kills:
    """What the kills of a chain of resumed runs did."""

    kills: int = 0
    resumed: int = 0
    inside_a_save: int = 0
    temporaries: int = 0
    faults: list[str] = field(default_factory=list)

    def __add__(self, other: "Kills") -> "Kills":
        return Kills(
            self.kills + other.kills,
            self.resumed + other.resumed,
            self.inside_a_save + other.inside_a_save,
            self.temporaries + other.temporaries,
            self.faults + other.faults,
        )


def kill_and_resume(
    folder: Path, number: int, workers: int, *, seed: int = 0, naive: bool = False
) -> Kills:
    """Start a run, and kill and resume it so many times; stop at the first fault.

    Every process that is killed has resumed the run of the one before. A fault is: a process that
    does not resume, or from less than the save that was last reported as done; a process, a shared
    array or a temporary file that is left.
    """
    draw, done = random.Random(seed), Kills()
    write_corpus(folder)
    run, settings = folder / "run", {"CHARRNN_TEST_NAIVE": "1"} if naive else {}
    saved, started = 0, 0.0
    command: tuple[str, ...] = (*RUN, "--workers", str(workers))
    while done.kills < number and not done.faults:
        with Reporting(command, folder, settings) as running:
            began = time.monotonic()
            if saved and draw.random() < AT_START:
                time.sleep(draw.uniform(0, 1.2 * started))
            else:
                running.wait_for_reports(1)
                started = time.monotonic() - began
                time.sleep(draw.uniform(0, 0.3))
            code, _ = running.end(signal.SIGKILL, group=draw.random() < GROUP)
            reports = running.reports()
            if code != -signal.SIGKILL:
                done.faults.append(f"ended with {code} before it was killed: {running.stderr()}")
                break
            done.kills += 1
            if reports and saved:
                done.resumed += 1
            done.inside_a_save += bool(reports) and reports[-1][0] == "save"
            left = {str(path) for path in Path("/dev/shm").glob(f"*-{running.process.pid}-*")}
            if not eventually(lambda: not in_session(running.process.pid)):
                left |= set(map(str, in_session(running.process.pid)))
            own = f".tmp-{running.process.pid}"
            temporaries = {path.name for path in run.glob(".*.tmp-*")}
            done.temporaries += any(name.endswith(own) for name in temporaries)
            if reports:  # the run's folder was opened, so that older ones have been removed
                left |= {name for name in temporaries if not name.endswith(own)}
            if left:
                done.faults.append(f"left behind: {sorted(left)}")
        saved = max([saved, *(step for event, step in reports if event == "saved")])
        if saved:
            command = RESUME
            done.faults += check_saves(run, saved)
    return done


def check_saves(run: Path, saved: int) -> list[str]:
    """Return what is wrong with last.npz after the save of this step was reported as done."""
    try:
        last = load_checkpoint(run / "last.npz")
        if (run / "best.npz").exists():
            load_checkpoint(run / "best.npz")
    except CheckpointError as error:
        return [str(error)]
    if last.step < saved or last.training is None:
        return [f"last.npz is of step {last.step}, {saved} was reported as saved"]
    return []


@pytest.mark.parametrize("number", tries(4, whole=200))
def test_a_killed_run_is_resumed_from_its_last_save(
    number: int, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    """Two chains at a time, one of runs with one process and one of runs with two."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        found = [
            pool.submit(kill_and_resume, folder, number // 2, workers, seed=workers)
            for workers, folder in enumerate(folders, 1)
        ]
    one, two = (future.result() for future in found)
    done = one + two
    assert done.faults == []
    assert done.kills == number
    assert done.resumed >= (1 - 2 * AT_START) * number - 4
    assert done.inside_a_save >= number // 10, "few kills struck inside a save"
    record_figure(
        "kills",
        f"{done.kills} by SIGKILL ({two.kills} with two processes), {done.inside_a_save} inside a "
        f"save of last.npz, {done.temporaries} left a temporary file; {done.resumed} struck a run "
        "that had been resumed and saved again; faults: 0",
    )


def test_kills_find_the_fault_of_a_writer_that_is_not_atomic(tmp_path: Path) -> None:
    found = kill_and_resume(tmp_path, 40, workers=1, seed=3, naive=True)
    assert found.faults
