"""The folder of a run: its lock, and what a failed run removes."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.runs import run_folder
from charrnn.cli.runs.run_folder import FolderInUseError, RunFolder
from charrnn.errors import StorageError
from charrnn.system import file_lock


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail_in(folder: RunFolder) -> None:
    """Let a run fail that has written run.json."""
    folder.write_facts({"steps": 5})
    with pytest.raises(RuntimeError), folder:
        raise RuntimeError


def test_a_failed_new_run_leaves_nothing(tmp_path: Path) -> None:
    fail_in(RunFolder.claim(tmp_path / "a" / "run"))
    assert names(tmp_path) == set()


def test_files_of_others_and_folders_that_were_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    fail_in(RunFolder.claim(tmp_path))
    assert names(tmp_path) == {"notes.txt"}


def test_a_failed_run_with_a_checkpoint_is_kept(tmp_path: Path) -> None:
    folder = RunFolder.claim(tmp_path / "run")
    (tmp_path / "run" / "last.npz").touch()
    fail_in(folder)
    assert names(tmp_path / "run") == {"last.npz", "run.json", "lock"}


def test_a_lock_that_cannot_be_deleted_while_it_is_open_is_deleted_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    folder = RunFolder.claim(tmp_path / "run")
    lock, unlink = folder._lock, Path.unlink
    assert lock is not None

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "lock" and lock._descriptor is not None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    fail_in(folder)
    assert names(tmp_path) == set()


@pytest.fixture
def ended_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("target", ["last.npz", "run.json", "metrics.jsonl"])
def test_temporary_files_of_a_killed_run_are_removed(
    target: str, ended_process: int, tmp_path: Path
) -> None:
    """Also of one that was killed before its first save, when the next run takes another folder."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("lock", f".{target}.tmp-{ended_process}"):
        (run / name).touch()
    with RunFolder(run):
        assert names(run) == {"lock"}
    (run / f".{target}.tmp-{ended_process}").touch()
    with RunFolder.claim(run) as folder:
        assert folder.path == tmp_path / "run-2"
    assert names(run) == {"lock"}


def test_rows_are_written_before_the_checkpoint_of_their_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the two then costs no row: those after the checkpoint are made again."""
    written = []
    monkeypatch.setattr(
        run_folder,
        "save_checkpoint",
        lambda _path, _checkpoint: written.append((tmp_path / "metrics.jsonl").read_text()),
    )
    with RunFolder(tmp_path) as folder:
        folder.metrics.add({"step": 5})
        folder.save("last.npz", cast(Checkpoint, None))
    assert written == ['{"step": 5}\n']


def test_temporary_files_of_a_killed_run_are_removed_if_a_process_has_its_number(
    tmp_path: Path,
) -> None:
    """As in containers, where the next run has the number of the one before."""
    kept = {"lock", f".notes.txt.tmp-{os.getpid()}", ".last.npz.tmp-x", "last.npz.tmp-1"}
    for name in (*kept, f".step-000010.npz.tmp-{os.getpid()}", ".run.json.tmp-1"):
        (tmp_path / name).touch()
    with RunFolder(tmp_path):
        assert names(tmp_path) == kept
        (tmp_path / ".last.npz.tmp-1").touch()
        with pytest.raises(FolderInUseError):
            RunFolder(tmp_path)
    assert names(tmp_path) == kept | {".last.npz.tmp-1"}


def test_a_folder_is_locked_by_one_run_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(FolderInUseError, match="another run is writing to"):
        RunFolder(tmp_path)
    with RunFolder(tmp_path):
        pass
    assert names(tmp_path) == {"lock"}


@pytest.mark.parametrize("number", file_lock.NO_LOCKS)
def test_a_file_system_without_locks_is_warned_of(
    number: int,
    tmp_path: Path,
    ended_process: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept, stale = f".last.npz.tmp-{os.getpid()}", f".last.npz.tmp-{ended_process}"
    for name in (kept, stale):
        (tmp_path / name).touch()

    def refuse(_descriptor: int, *, blocking: bool) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_lock, "lock_descriptor", refuse)
    with RunFolder(tmp_path) as folder:
        folder.write_facts({})
    assert "has no locks" in capsys.readouterr().err
    assert names(tmp_path) == {"lock", "run.json", kept}


def test_a_lock_that_fails_otherwise_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, *, blocking: bool) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(file_lock, "lock_descriptor", refuse)
    with pytest.raises(StorageError, match=r"cannot write .*lock': Input/output error"):
        RunFolder(tmp_path)
