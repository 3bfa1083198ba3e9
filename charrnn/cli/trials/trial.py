"""One trial: a run of `charrnn train` in a folder of its own, with its log, result and outcome.

log.txt       what the run writes to stderr, after all attempts to run it
result.json   what `charrnn train --json` writes to stdout
trial.json    how it ended: see `Outcome`
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from charrnn.checkpointing.lookup import resumable_in
from charrnn.checkpointing.run_records import as_number, parse_or_none, read_facts
from charrnn.errors import CharRNNError, CheckpointError, StorageError
from charrnn.run_files import is_run_file
from charrnn.system.file_lock import is_locked
from charrnn.system.files import read_regular_file, unlink_if_possible, write_atomically
from charrnn.types import StopFlag

LOG, RESULT, OUTCOME = "log.txt", "result.json", "trial.json"
MAX_BYTES = 2**24
POLL_SECONDS = 0.1
LOCK_SECONDS = 60.0
"""Seconds to wait for an earlier process of a trial, which saves and ends."""

MODULE = "charrnn.cli.trials.trial_process"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Environment of a trial: libraries use one thread, as trials run side by side."""

WAITING, RUNNING, FINISHED = "waiting", "running", "finished"
INTERRUPTED, DIVERGED, FAILED, KILLED = "interrupted", "diverged", "failed", "killed"
FINAL_CODES = {2, 3, 4, 6}
"""Exit codes that the same command would end with again: settings, checkpoint, text, divergence."""


@dataclass(frozen=True)
class Trial:
    """A run to train.

    Args:
        number: its number, from 1.
        folder: the folder of the run.
        words: the words of `charrnn train` for a new run, without folder and output options.
    """

    number: int
    folder: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a trial has ended, or how far it is.

    Args:
        status: `WAITING`, `RUNNING`, `FINISHED`, `INTERRUPTED`, `DIVERGED`, `FAILED` or `KILLED`.
        exit_code: exit code of the process; negative for a signal.
        error: the error line of the run, without its beginning; empty if there is none.
        seconds: wall time of all attempts.
    """

    status: str
    exit_code: int | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def problem(self) -> str:
        """What went wrong, without the advice; empty if nothing did."""
        return self.error.partition("; try ")[0]

    @property
    def is_final(self) -> bool:
        """Whether the trial is not to be run again."""
        return self.status == FINISHED or self.exit_code in FINAL_CODES


class TrialsFailedError(CharRNNError):
    """Trials have no result.

    Args:
        problem: what is wrong and where.
        advice: alternatives, as of `CharRNNError`.
        first: the outcome of the first one of them, whose exit code the command ends with; with 5
            if it has none from 2 to 6, as after a kill.
    """

    def __init__(self, problem: str, *advice: str, first: Outcome) -> None:
        super().__init__(problem, *advice)
        code = first.exit_code
        self.exit_code = code if code is not None and 1 < code < 7 else 5


def run_trial(trial: Trial, stop: StopFlag) -> Outcome:
    """Train a run to its end, or continue it; return how it ended.

    If `stop()` becomes true, the run is saved and ends. Does not raise for an error of the run:
    that is an outcome. Raises `StorageError` if the folder cannot be written.
    """
    folder = Path(trial.folder)
    before = read_outcome(folder)
    if before.is_final or stop():
        return before
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wait_until_unlocked(folder, stop)
        began = time.monotonic()
        write_outcome(folder, Outcome(RUNNING, seconds=before.seconds))
        code, told = run_process(folder, words_for(trial), stop)
        seconds = before.seconds + time.monotonic() - began
        outcome = Outcome(status_of(code), code, error_in(told), round(seconds, 1))
        if code == 0 and not read_result(folder):
            outcome = Outcome(FAILED, code, "the run has no result", outcome.seconds)
        write_outcome(folder, outcome)
    except OSError as error:
        raise StorageError(f"cannot write {str(folder)!r}: {error.strerror or error}") from error
    return outcome


def words_for(trial: Trial) -> list[str]:
    """Return the command of a trial: to resume it if it has a checkpoint, else to start it."""
    folder = Path(trial.folder)
    try:
        resumable_in(folder)
    except CheckpointError:
        for path in folder.iterdir():  # of a run that was killed before its first checkpoint
            if is_run_file(path.name):
                unlink_if_possible(path)
        words = [*trial.words, "--out", trial.folder]
    else:
        require_scoring(folder)
        words = ["--resume", trial.folder]
    return ["train", *words, "--sample-every", "0", "--json"]


def require_scoring(folder: Path) -> None:
    """Let a finished run be scored again whose result was lost when its process was killed."""
    facts = read_facts(folder)
    if facts.get("scored") is True:
        text = json.dumps(facts | {"scored": False}, indent=2)
        write_atomically(folder / "run.json", f"{text}\n".encode())


def run_process(folder: Path, words: list[str], stop: StopFlag) -> tuple[int, str]:
    """Run a command of charrnn in a process of its own; return its exit code and its messages.

    The process is in a process group of its own: Ctrl-C reaches it through its standard input.
    """
    log = folder / LOG
    with log.open("ab") as messages, (folder / RESULT).open("wb") as result:
        begin = messages.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *words],
            stdin=subprocess.PIPE,
            stdout=result,
            stderr=messages,
            env=os.environ | ONE_THREAD | {"PYTHONUTF8": "1"},
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            code = wait(process, stop)
        finally:
            close(process.stdin)
            process.wait()
    with log.open("rb") as messages:
        messages.seek(begin)
        return code, messages.read(MAX_BYTES).decode("utf-8", "replace")


def wait(process: "subprocess.Popen[bytes]", stop: StopFlag) -> int:
    """Return the exit code of a process; close its standard input once `stop()` is true."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_SECONDS)
        if stop():
            close(process.stdin)


def close(stream: IO[bytes] | None) -> None:
    """Close a pipe; does nothing if it is closed."""
    if stream is not None:
        with suppress(OSError):
            stream.close()


def wait_until_unlocked(folder: Path, stop: StopFlag) -> None:
    """Wait while another process writes to a run's folder, for at most `LOCK_SECONDS`."""
    until = time.monotonic() + LOCK_SECONDS
    while is_locked(folder / "lock") and time.monotonic() < until and not stop():
        time.sleep(POLL_SECONDS)


def status_of(code: int) -> str:
    """Return the status that an exit code means."""
    if code == 0:
        return FINISHED
    if code in (129, 130, 143):
        return INTERRUPTED
    if code == 6:
        return DIVERGED
    return KILLED if code < 0 else FAILED


ERROR = "charrnn: error: "


def error_in(messages: str) -> str:
    """Return the last error line in the messages of a run, without its beginning.

    Without one, the last line: that of a traceback, or of the system.
    """
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return (errors or lines or [""])[-1][:300]


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write trial.json atomically. Raises OSError."""
    text = json.dumps(asdict(outcome), indent=2)
    write_atomically(folder / OUTCOME, f"{text}\n".encode())


def read_outcome(folder: Path) -> Outcome:
    """Return the outcome in trial.json; `WAITING` if it is missing or damaged.

    A trial that was running when the whole machine or the sweep was killed counts as interrupted.
    """
    found = read_object(folder / OUTCOME)
    status, code, error = found.get("status"), found.get("exit_code"), found.get("error")
    if status not in (RUNNING, FINISHED, INTERRUPTED, DIVERGED, FAILED, KILLED):
        return Outcome(WAITING)
    if status == RUNNING and not is_locked(folder / "lock"):
        status = INTERRUPTED
    if status == FINISHED and not read_result(folder):
        status, code = INTERRUPTED, None
    return Outcome(
        status,
        code if type(code) is int else None,
        error if isinstance(error, str) else "",
        as_number(found.get("seconds")) or 0.0,
    )


def read_result(folder: Path) -> dict[str, Any]:
    """Return result.json; empty if it is missing or damaged."""
    return read_object(folder / RESULT)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a small file; empty if it is missing or damaged."""
    try:
        content = read_regular_file(path, MAX_BYTES)
    except OSError:
        return {}
    found = parse_or_none(content.decode("utf-8", "replace"))
    return found if isinstance(found, dict) else {}
