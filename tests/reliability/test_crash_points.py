"""A crash, a failure, a loss of power at every system call with which a run writes its folder.

What a save does alone is tested in `tests/checkpointing/test_npz_file.py`; here the calls are those
of whole runs: checkpoints, run.json and metrics.jsonl (R2, R3, R7, R8).
"""

import errno
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from tests.reliability.processes import write_corpus
from tests.reliability.scale import tries
from tests.reliability.system_calls import DIED, SystemCall, SystemCalls, load_calls, run_forked

SETTINGS = (
    *("--steps", "6", "--hidden", "4", "--batch-size", "2", "--seq-length", "8", "--workers", "1"),
    *("--backend", "numpy", "--eval-every", "3", "--save-every", "2", "--keep", "1", "--quiet"),
)
TRAIN = ("train", "corpus.txt", *SETTINGS, "--out", "run")
RESUME = ("train", "--resume", "run", "--quiet", "--save-every", "2", "--keep", "1")
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EACCES)
FORK = multiprocessing.get_context("fork")
TEMPORARY = re.compile(r"\..+\.tmp-[0-9]+")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@dataclass
class Whole:
    """A run that nothing disturbed: its system calls, its files, and their earlier versions."""

    calls: list[SystemCall]
    files: dict[str, bytes]
    versions: dict[str, list[bytes]] = field(default_factory=dict)

    def saved(self, number: int) -> int:
        """Return how many saves of last.npz have returned before the call of this number."""
        done, replaced = 0, 0
        for call in self.calls[:number]:
            if (call.function, call.target) == ("replace", "last.npz"):
                replaced += 1
            elif (call.function, call.name) == ("fsync", "."):
                done = replaced
        return done


def rows_of(content: bytes) -> list[dict[str, Any]]:
    """Return the complete rows of metrics.jsonl, without the speed."""
    rows = [json.loads(line) for line in content.decode().split("\n")[:-1]]
    return [{k: v for k, v in row.items() if k != "chars_per_second"} for row in rows]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


class Disk:
    """A folder on a disk: what is durable, and what a loss of power may keep or lose.

    The content of a file is durable after its fsync, a change of names after that of the folder.
    Of the changes of names since then, a loss keeps the first few; of the bytes since the last
    fsync of a file, all or none.
    """

    def __init__(self) -> None:
        self.contents: list[tuple[bytes, bytes]] = []
        """Of each file, what is durable and what was written."""
        self.names: dict[str, int] = {}
        self.durable_names: dict[str, int] = {}
        self.changes: list[dict[str, int]] = []
        """The names after each change since the last fsync of the folder."""

    def apply(self, call: SystemCall) -> None:
        """Do what a system call does."""
        match call.function:
            case "open" if call.name != "." and call.name not in self.names:
                self.contents.append((b"", b""))
                self._rename(self.names | {call.name: len(self.contents) - 1})
            case "write":
                durable, written = self.contents[self.names[call.name]]
                self.contents[self.names[call.name]] = durable, written + call.content
            case "fsync" if call.name == ".":
                self.durable_names, self.changes = self.names, []
            case "fsync":
                _, written = self.contents[self.names[call.name]]
                self.contents[self.names[call.name]] = written, written
            case "replace":
                names = dict(self.names)
                names[call.target] = names.pop(call.name)
                self._rename(names)
            case "unlink" if call.name in self.names:
                self._rename({k: v for k, v in self.names.items() if k != call.name})

    def _rename(self, names: dict[str, int]) -> None:
        self.names = names
        self.changes.append(names)

    def files(self) -> dict[str, bytes]:
        """Return the files as they are without a loss."""
        return {name: self.contents[inode][1] for name, inode in self.names.items()}

    def after_loss(self) -> Iterator[dict[str, bytes]]:
        """Yield the files as they may be after a loss of power now."""
        for names in (self.durable_names, *self.changes):
            for kept in (0, 1):
                yield {name: self.contents[inode][kept] for name, inode in names.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    write_corpus(folder)
    calls, record = SystemCalls(folder / "run"), folder / "calls"
    code, output = run_forked(TRAIN, folder, calls.install, lambda: calls.save(record))
    assert code == 0, output
    found = Whole(load_calls(record), files_in(folder / "run"))
    disk = Disk()
    for call in found.calls:
        disk.apply(call)
        for name, content in disk.files().items():
            versions = found.versions.setdefault(name, [])
            if content not in versions:
                versions.append(content)
    assert disk.files() == found.files
    return found


def check_files(files: dict[str, bytes], whole: Whole, saved: int) -> None:
    """Check what is on disk: each file an old or a new one, after so many saves of last.npz."""
    assert {name for name in files if not TEMPORARY.fullmatch(name)} <= whole.versions.keys()
    for name, content in files.items():
        if name.endswith(".npz"):
            assert content in whole.versions[name], f"{name} is a mixture"
        elif name == "run.json":
            assert json.loads(content)["steps"] == 6
    last = whole.versions["last.npz"]
    assert (last.index(files["last.npz"]) + 1 if "last.npz" in files else 0) >= saved
    rows = rows_of(files.get("metrics.jsonl", b""))
    assert rows == rows_of(whole.files["metrics.jsonl"])[: len(rows)]


def check_resume(folder: Path, whole: Whole) -> None:
    """Resume a run, and compare it with the undisturbed one."""
    run = folder / "run"
    code, output = run_forked(RESUME, folder)
    assert code == 0, output
    assert not output or output.startswith("charrnn: this run is finished")
    files = files_in(run)
    for name in ("last.npz", "best.npz"):
        assert files[name] == whole.files[name]
    assert rows_of(files["metrics.jsonl"]) == rows_of(whole.files["metrics.jsonl"])
    assert not [name for name in files if TEMPORARY.fullmatch(name)]


def spread(count: int, number: int) -> list[int]:
    """Return so many of the numbers below `count`, evenly spread, or all of them."""
    number = min(number, count)
    return [(2 * n + 1) * count // (2 * number) for n in range(number)]


ALL = 10_000
RESUME_CALLS = 40
"""A resumed run dies before one of so many of its system calls."""


def own_folder(place: Path) -> Path:
    """Return a folder for this process, with a text in it."""
    folder = place / str(os.getpid())
    if not folder.exists():
        folder.mkdir()
        write_corpus(folder)
    return folder


def dying_at(number: int) -> Callable[[int, str], None]:
    """Return what ends the process before the system call of this number."""

    def die(at: int, _function: str) -> None:
        if at == number:
            os._exit(DIED)

    return die


def check_crash(number: int, whole: Whole, place: Path) -> bool:
    """Let a run die before a system call, and a resumed one too; return whether it was resumed."""
    folder = own_folder(place)
    run = folder / "run"
    code, output = run_forked(TRAIN, folder, SystemCalls(run, dying_at(number)).install)
    assert code == DIED, output
    check_files(files_in(folder / "run"), whole, whole.saved(number))
    resumable = (folder / "run" / "last.npz").exists()
    if resumable:
        again = SystemCalls(run, dying_at(number % RESUME_CALLS))
        code, output = run_forked(RESUME, folder, again.install)
        assert code in (DIED, 0), output
        check_files(files_in(folder / "run"), whole, whole.saved(number))
        check_resume(folder, whole)
    shutil.rmtree(folder / "run", ignore_errors=True)
    return resumable


@pytest.mark.parametrize("points", tries(5, whole=ALL))
def test_a_crash_before_any_system_call_of_a_run_leaves_no_trace(
    points: int, whole: Whole, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    numbers = spread(len(whole.calls), points)
    with ProcessPoolExecutor(2, FORK) as pool:
        resumed = sum(pool.map(partial(check_crash, whole=whole, place=tmp_path), numbers))
    assert resumed > len(numbers) // 2
    record_figure(
        "crash points",
        f"{len(numbers)} of {len(whole.calls)} system calls of a run with 7 saves; {resumed} "
        "resumed to the same bytes, the others had not saved yet",
    )


def test_a_loss_of_power_leaves_old_or_new_files(
    whole: Whole, record_figure: Callable[[str, str], None]
) -> None:
    """Also of metrics.jsonl, which has the rows of all steps before the checkpoint."""
    disk, states, steps = Disk(), 0, {}
    for number in range(len(whole.calls) + 1):
        for files in disk.after_loss():
            check_files(files, whole, whole.saved(number))
            if "last.npz" in files:
                version = whole.versions["last.npz"].index(files["last.npz"])
                rows = rows_of(files["metrics.jsonl"])
                steps[version] = len([row for row in rows if "lr" in row])
                assert steps[version] >= 2 * (version + 1)
            states += 1
        if number < len(whole.calls):
            disk.apply(whole.calls[number])
    assert states > 3 * len(whole.calls)
    assert set(steps) == {0, 1, 2}


def check_failed(folder: Path, whole: Whole, code: int, output: str) -> bool:
    """Check a run whose system calls failed; return whether it ended all the same."""
    assert code in (0, 5), output
    assert "Traceback" not in output
    errors = [line for line in output.splitlines() if line.startswith("charrnn: error: ")]
    assert len(errors) == (code == 5), output
    files = files_in(folder / "run")
    assert not [name for name in files if TEMPORARY.fullmatch(name)]
    for name in files:
        if name.endswith(".npz"):
            load_checkpoint(folder / "run" / name)
    if code == 0:
        assert files["last.npz"] == whole.files["last.npz"]
        assert files["best.npz"] == whole.files["best.npz"]
        assert rows_of(files["metrics.jsonl"]) == rows_of(whole.files["metrics.jsonl"])
    elif "last.npz" in files:
        check_resume(folder, whole)
    else:
        assert not files
    return code == 0


def check_error(case: tuple[int, int], whole: Whole, place: Path) -> bool:
    """Let one system call of a run fail; return whether the run ended all the same."""
    number, error = case

    def fail(at: int, _function: str) -> None:
        if at == number:
            raise OSError(error, os.strerror(error))

    folder = own_folder(place)
    code, output = run_forked(TRAIN, folder, SystemCalls(folder / "run", fail).install)
    ended = check_failed(folder, whole, code, output)
    shutil.rmtree(folder / "run", ignore_errors=True)
    return ended


@pytest.mark.parametrize("number", tries(6, whole=ALL))
def test_an_error_of_any_system_call_is_a_note_or_one_line(
    number: int, whole: Whole, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    cases = list(itertools.product(range(len(whole.calls)), ERRORS))
    cases = [cases[n] for n in spread(len(cases), number)]
    with ProcessPoolExecutor(2, FORK) as pool:
        ended = sum(pool.map(partial(check_error, whole=whole, place=tmp_path), cases))
    assert ended > len(cases) // 3
    record_figure(
        "failing system calls",
        f"{len(cases)} ({len(whole.calls)} calls × {len(ERRORS)} errors): {ended} runs ended as if "
        f"nothing had failed, {len(cases) - ended} with exit code 5",
    )


@pytest.mark.parametrize("number", tries(2, whole=40))
def test_a_disk_that_is_full_for_a_while_does_not_end_a_run(
    number: int, whole: Whole, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    """It is full from some save on, and has space again before the last one."""
    saves = [n for n, call in enumerate(whole.calls) if call.target.endswith(".npz")]
    write_corpus(tmp_path)
    notes = 0
    for seed in range(number):
        draw = np.random.default_rng(seed)
        first, last = np.sort(draw.integers(saves[0] - 8, saves[-3], 2))

        def full(at: int, function: str) -> None:
            if first <= at <= last and function == "write":  # noqa: B023
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        code, output = run_forked(TRAIN, tmp_path, SystemCalls(tmp_path / "run", full).install)
        assert check_failed(tmp_path, whole, code, output), output
        notes += output.count("training goes on")
        shutil.rmtree(tmp_path / "run")
    assert notes
    record_figure("disk full for a while", f"{number} runs, all ended as if it had not been")


def test_a_limit_on_the_size_of_files_is_one_line_and_keeps_the_old_save(
    whole: Whole, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    run = tmp_path / "run"
    middle = next(n for n, call in enumerate(whole.calls) if call.target == "step-000004.npz")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    code, output = run_forked(TRAIN, tmp_path, limit)
    assert code == 5
    *notes, error = output.splitlines()
    assert error.startswith("charrnn: error: cannot write 'run/")
    assert os.strerror(errno.EFBIG) in error
    assert len(notes) == 1
    assert not (tmp_path / "run").exists()
    assert run_forked(TRAIN, tmp_path, SystemCalls(run, dying_at(middle)).install)[0] == DIED
    before = files_in(tmp_path / "run")
    code, output = run_forked(RESUME, tmp_path, limit)
    assert code == 5
    after = files_in(tmp_path / "run")
    for name in ("last.npz", "best.npz"):
        assert after[name] == before[name]
    assert not [name for name in after if TEMPORARY.fullmatch(name)]
    check_resume(tmp_path, whole)
