"""MPI: who is recognised as launched, and what is said without a usable mpi4py."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from charrnn.errors import UsageError
from charrnn.system import launchers, mpi


@pytest.fixture(autouse=True)
def _not_launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for names in launchers.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    yield
    assert mpi.world() is None


@pytest.mark.parametrize(("rank", "size"), launchers.LAUNCHERS)
def test_every_launcher_is_recognised(
    rank: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launchers.launched() is None
    monkeypatch.setenv(rank, "3")
    assert launchers.launched() is None
    monkeypatch.setenv(size, "4")
    assert launchers.launched() == launchers.Launch(3, 4)
    monkeypatch.setenv(size, "four")
    assert launchers.launched() is None


def test_a_launch_of_one_process_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "1")
    assert launchers.launched() is None


def test_without_mpi4py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UsageError, match=r"started 4 processes.*try pip install mpi4py mpich"):
        mpi.connect(launchers.Launch(0, 4))


class Slow:
    """A request that is complete after a time, and counts how often it is tested."""

    def __init__(self, seconds: float) -> None:
        self.end, self.tests = time.perf_counter() + seconds, 0

    def Test(self) -> bool:  # noqa: N802  # the name in mpi4py
        self.tests += 1
        return time.perf_counter() >= self.end


def test_a_long_wait_leaves_the_processor_alone() -> None:
    request = Slow(0.5)
    before = time.thread_time()
    mpi.wait(request)  # type: ignore[arg-type]  # a stand-in
    assert time.thread_time() - before < 0.1
    assert request.tests > 0.5 / mpi.MAX_SLEEP_SECONDS / 10


def test_a_transfer_does_not_sleep_between_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    mpi.transfer(Slow(0.05))  # type: ignore[arg-type]  # a stand-in
    assert set(slept) == {0}


def test_a_wait_lets_other_threads_run() -> None:
    request, done = Slow(5.0), threading.Event()

    def end() -> None:
        request.end = 0.0
        done.set()

    threading.Thread(target=end).start()
    mpi.wait(request)  # type: ignore[arg-type]  # a stand-in
    assert done.wait(5)
