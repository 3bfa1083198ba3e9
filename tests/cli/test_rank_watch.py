"""The watch over ranks: it names the one that has ended, and ends the others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.cli import rank_watch
from charrnn.cli.rank_watch import main, start_watch, stop_watch
from tests.reliability.processes import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def ranks() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that do nothing."""
    started = [subprocess.Popen(SLEEP) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_the_rank_that_ends_is_named_and_the_others_are_killed(
    ranks: list[subprocess.Popen[bytes]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rank_watch, "ENDING_SECONDS", 0.2)  # no launcher does it here
    words = [f"{rank}:{process.pid}" for rank, process in enumerate(ranks)]
    ranks[1].kill()
    main(["4", *words])
    assert capsys.readouterr().err == (
        f"charrnn: error: rank 1 (process {ranks[1].pid}) of 4 ranks was killed; all ranks end, "
        "and the last checkpoint is kept\n"
    )
    assert ranks[0].wait(60) == -signal.SIGKILL


def test_a_rank_that_has_ended_before_is_named_too(
    ranks: list[subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    ranks[0].kill()
    ranks[0].wait()
    ranks[1].kill()
    main(["2", f"0:{ranks[0].pid}"])
    assert f"rank 0 (process {ranks[0].pid}) of 2 ranks was killed" in capsys.readouterr().err


def opened_by(process: int) -> bytes:
    """Return what a process has open, as text."""
    return b" ".join(bytes(path.readlink()) for path in Path(f"/proc/{process}/fd").iterdir())


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_is_named_even_if_all_have_ended_before_the_watch_looks(
    ranks: list[subprocess.Popen[bytes]], first: int
) -> None:
    words = [f"{rank}:{process.pid}" for rank, process in enumerate(ranks)]
    watch = subprocess.Popen(
        [sys.executable, "-c", rank_watch.CODE, "2", *words], stderr=subprocess.PIPE, text=True
    )
    assert eventually(lambda: b"[eventpoll]" in opened_by(watch.pid), 30)
    time.sleep(0.2)  # until it waits
    os.kill(watch.pid, signal.SIGSTOP)
    for rank in (first, 1 - first):
        ranks[rank].kill()
        ranks[rank].wait()
    os.kill(watch.pid, signal.SIGCONT)
    told = watch.communicate(timeout=60)[1]
    assert f"rank {first} (process {ranks[first].pid}) of 2 ranks was killed" in told


def test_a_watch_that_is_stopped_says_nothing(ranks: list[subprocess.Popen[bytes]]) -> None:
    code = (
        "import sys, time; from charrnn.cli.rank_watch import start_watch, stop_watch; "
        f"stop_watch(start_watch(2, {{0: {ranks[0].pid}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""
    assert ranks[0].poll() is None
    stop_watch(0)


def test_there_is_no_watch_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert start_watch(2, {0: os.getpid()}) == 0
