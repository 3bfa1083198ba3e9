"""File locks: between processes, after a kill, and on files that are not locks."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import lock_descriptor

from charrnn.system import file_lock, files
from charrnn.system.child_processes import ChildProcess
from charrnn.system.file_lock import FileLock, is_locked

ROOT = Path(__file__).parents[2]

HOLD = """
import sys
from pathlib import Path
from charrnn.system.file_lock import FileLock
with FileLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_two_processes_do_not_hold_it_at_once(path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_locked(path) is True
    with pytest.raises(BlockingIOError):
        FileLock(path)
    holder.communicate()
    assert is_locked(path) is False
    with FileLock(path):
        assert is_locked(path) is True
    assert path.exists()


def test_a_process_that_only_asks_is_not_taken_for_one_that_holds_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileLock(path).release()
    other = os.open(path, os.O_RDWR)  # of a process that asks at the same time
    assert lock_descriptor(other, blocking=False)
    monkeypatch.setattr("charrnn.system.file_lock.time.sleep", lambda _: os.close(other))
    assert is_locked(path) is False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_process_that_is_killed(
    path: Path, holder: subprocess.Popen[str], number: signal.Signals
) -> None:
    holder.send_signal(number)
    assert holder.wait() == -number
    assert is_locked(path) is False
    FileLock(path).release()


def test_worker_processes_do_not_inherit_it(path: Path) -> None:
    lock = FileLock(path)
    child = ChildProcess(wait_for_the_end)
    assert child.connection.recv() == "started"
    lock.release()
    assert is_locked(path) is False
    child.close()


def test_a_live_worker_does_not_keep_the_lock_of_a_killed_process(
    path: Path, tmp_path: Path
) -> None:
    """The worker is stopped, so that it cannot notice that its parent has ended."""
    script = f"""
import os, signal, sys
from pathlib import Path
from charrnn.system.child_processes import ChildProcess
from charrnn.system.file_lock import FileLock
from tests.system.test_file_lock import wait_for_the_end
if __name__ == "__main__":
    lock = FileLock(Path({str(path)!r}))
    child = ChildProcess(wait_for_the_end)
    child.connection.recv()
    os.kill(child.process.pid, signal.SIGSTOP)
    print(child.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    output = tmp_path / "output"  # no pipe: the worker would keep it open
    with output.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=file, check=False, cwd=ROOT, timeout=60
        )
    worker = int(output.read_text(encoding="utf-8"))
    try:
        assert done.returncode == -signal.SIGKILL
        os.kill(worker, 0)  # it lives
        assert is_locked(path) is False
    finally:
        os.kill(worker, signal.SIGKILL)


def wait_for_the_end(connection: object) -> None:
    connection.send("started")  # type: ignore[attr-defined]  # as in a worker
    connection.recv()  # type: ignore[attr-defined]


def test_a_second_lock_of_one_process_is_refused_too(path: Path) -> None:
    with FileLock(path), pytest.raises(BlockingIOError):
        FileLock(path)
    lock = FileLock(path)
    lock.release()
    lock.release()


def test_asking_makes_no_file_and_changes_none(path: Path) -> None:
    assert is_locked(path) is None
    assert not path.exists()
    path.write_text("kept", encoding="utf-8")
    assert is_locked(path) is False
    with FileLock(path):
        pass
    assert path.read_text(encoding="utf-8") == "kept"


def test_a_lock_that_is_asked_for_in_that_instant_is_taken_a_moment_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = FileLock(path)
    monkeypatch.setattr("time.sleep", lambda _: asking.release())
    with FileLock(path):
        assert is_locked(path) is True


@pytest.mark.parametrize("has_flag", [True, False])
@pytest.mark.parametrize("target", ["dangling", "file"])
def test_a_link_is_never_followed(
    path: Path, target: str, has_flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither with `O_NOFOLLOW` nor on a platform without it."""
    if not has_flag:
        monkeypatch.setattr(files, "O_NOFOLLOW", 0)
    (path.parent / "file").touch()
    path.symlink_to(target)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        FileLock(path)
    assert is_locked(path) is None
    assert sorted(found.name for found in path.parent.iterdir()) == ["file", "lock"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(files.UnsuitableFileError, match="not a file"):
        FileLock(path)
    assert is_locked(path) is None


def test_a_file_that_may_only_be_read_can_be_asked(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os_open = os.open

    def read_only(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return os_open(file, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    assert is_locked(path) is True
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        FileLock(path)


def test_a_file_system_without_locks_is_reported_and_leaves_no_open_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def unsupported(descriptor: int, *, blocking: bool) -> bool:
        opened.append(descriptor)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(file_lock, "lock_descriptor", unsupported)
    with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
        FileLock(path)
    assert is_locked(path) is None
    for descriptor in opened:
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)


def test_a_file_that_was_removed_meanwhile_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails deletes its lock file between our opening and our locking it."""
    calls: list[int] = []

    def lock(descriptor: int, *, blocking: bool) -> bool:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        return lock_descriptor(descriptor, blocking=blocking)

    monkeypatch.setattr(file_lock, "lock_descriptor", lock)
    with FileLock(path):
        assert len(calls) == 2
        assert is_locked(path) is True
