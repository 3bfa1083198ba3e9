"""Atomic writing, temporary files, and what files are opened; also as on Windows.

That a crash at every system call leaves the old file or the new one is tested for checkpoints, in
`test_npz_file`.
"""

import errno
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charrnn.system import files
from charrnn.system.files import (
    MAX_TEMPORARY_SECONDS,
    UnsuitableFileError,
    move,
    open_regular_file,
    read_regular_file,
    remove_stale_temporaries,
    temporary_path,
    write_atomically,
)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `files` see what it would see on Windows, as far as that can be imitated."""
    os_open = os.open

    def open_no_folder(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return os_open(path, flags, mode)

    monkeypatch.setattr(os, "open", open_no_folder)
    for name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"):
        monkeypatch.setattr(files, name, 0)
    monkeypatch.setattr(files, "IS_WINDOWS", True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Atomic writing.


def test_a_file_is_written_in_one_chunk_or_in_several(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"
    write_atomically(path, iter([b"in ", b"", b"parts"]))
    assert path.read_bytes() == b"in parts"
    assert names(tmp_path) == ["a"]


def test_the_old_file_stays_until_the_last_chunk_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    during = []

    def chunks() -> Iterator[bytes]:
        yield b"new"
        during.append((path.read_bytes(), names(tmp_path)))

    write_atomically(path, chunks())
    assert during == [(b"old", [temporary_path(path).name, "a"])]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_to_make_a_chunk_passes_through_and_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise error

    with pytest.raises(error):
        write_atomically(path, chunks())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "a").symlink_to("target")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "target").read_bytes() == b"kept"
    assert not (tmp_path / "a").is_symlink()


def test_the_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    write_atomically(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == usual.stat().st_mode


# Moving.


def test_a_file_is_moved(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    move(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EACCES])
def test_a_file_that_cannot_be_renamed_is_copied(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on another file system; on Windows, one that is mapped into memory."""
    source = tmp_path / "a"
    content = bytes(range(256)) * 9000
    source.write_bytes(content)
    replace = os.replace

    def refuse(old: Path, new: Path) -> None:
        if Path(old) == source:
            raise OSError(number, os.strerror(number))
        replace(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    move(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes() == content
    assert names(tmp_path) == ["a", "b"]


def test_a_move_that_fails_otherwise_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "none", tmp_path / "b")
    assert names(tmp_path) == []


# As on Windows.


@pytest.mark.usefixtures("windows")
def test_on_windows_a_folder_cannot_be_opened_and_files_are_written_all_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"one")
    write_atomically(path, iter([b"t", b"wo"]))
    assert read_regular_file(path, 3) == b"two"
    assert names(tmp_path) == ["a"]
    with pytest.raises(UnsuitableFileError, match="is a directory, not a file"):
        read_regular_file(tmp_path, 3)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("open_for", [0, 3, 1000])
def test_on_windows_a_file_that_is_being_read_is_replaced_once_it_is_closed(
    tmp_path: Path, open_for: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    replace = os.replace
    refusals: list[Path] = []
    slept: list[float] = []

    def refuse(old: Path, new: Path) -> None:
        if len(refusals) < open_for:
            refusals.append(old)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        replace(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("time.sleep", slept.append)
    if open_for < files.REPLACE_ATTEMPTS:
        write_atomically(path, b"new")
    else:
        with pytest.raises(PermissionError):
            write_atomically(path, b"new")
    assert path.read_bytes() == (b"new" if open_for < files.REPLACE_ATTEMPTS else b"old")
    assert len(slept) == min(open_for, files.REPLACE_ATTEMPTS - 1)
    assert names(tmp_path) == ["a"]


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_old: Path, _new: Path) -> None:
        raise PermissionError

    def asleep(_seconds: float) -> None:
        pytest.fail("waits for nothing")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("time.sleep", asleep)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "a", b"new")


@pytest.mark.usefixtures("windows")
def test_on_windows_no_process_is_asked_and_old_temporary_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There `os.kill` would end the process that it is to ask for."""

    def kill(*_: object) -> None:
        pytest.fail("kills a process")

    monkeypatch.setattr(os, "kill", kill)
    old, new = tmp_path / ".a.tmp-123", tmp_path / ".b.tmp-123"
    old.touch()
    new.touch()
    age = old.stat().st_mtime - MAX_TEMPORARY_SECONDS - 60
    os.utime(old, (age, age))
    remove_stale_temporaries(tmp_path)
    assert names(tmp_path) == [new.name]


# Opening and reading.


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Fail a test that waits for the writer of a pipe: there is none."""

    def fail(*_: object) -> None:
        pytest.fail("waits for a pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, MAX_OPEN_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


MAX_OPEN_SECONDS = 5.0


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "a pipe or a device"), (os.mkdir, "a directory")],
)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
def test_only_a_regular_file_is_opened(
    tmp_path: Path, make: Callable[[Path], None], what: str, flags: int
) -> None:
    make(tmp_path / "a")
    with pytest.raises(UnsuitableFileError, match=f"is {what}, not a file"):
        open_regular_file(tmp_path / "a", flags)


@pytest.mark.parametrize("has_flag", [True, False])
def test_a_link_is_followed_only_on_request(
    tmp_path: Path, has_flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_flag:
        monkeypatch.setattr(files, "O_NOFOLLOW", 0)
    (tmp_path / "target").touch()
    (tmp_path / "a").symlink_to("target")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        open_regular_file(tmp_path / "a", os.O_RDONLY)
    descriptor = open_regular_file(tmp_path / "a", os.O_RDONLY, follow_links=True)
    assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    assert read_regular_file(path, 4) == b"1234"
    with pytest.raises(UnsuitableFileError, match="is larger than 3 bytes"):
        read_regular_file(path, 3)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "none", 3)


# Stale temporary files.


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_only_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / f".c.npz.tmp-{child}").touch()
    kept = {
        f".c.npz.tmp-{os.getpid()}",
        ".c.npz.tmp-1",  # alive, though perhaps not ours to ask
        f"c.npz.tmp-{child}",
        f".c.npz.tmp-{child}.npz",
        ".c.npz.tmp-x",
        ".c.npz.tmp-0",
        f".c.npz.tmp--{child}",
        ".c.npz.tmp-99999999999999999999",
        f".tmp-{child}",
        "c.npz",
    }
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".folder.tmp-{child}").mkdir()
    remove_stale_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept | {f".folder.tmp-{child}"}


def test_a_missing_folder_has_no_left_overs(tmp_path: Path) -> None:
    remove_stale_temporaries(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
