"""The watch over ranks: it names the one that has ended, and ends the others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from charrnn.cli import rank_watch
from charrnn.cli.rank_watch import main, start_watch, stop_watch
from tests.reliability.processes import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Rank(NamedTuple):
    """A process that does nothing, and the pipe that it alone has open for writing."""

    process: subprocess.Popen[bytes]
    sign: int


@pytest.fixture
def ranks() -> Iterator[list[Rank]]:
    """Two ranks."""
    started = []
    for _ in range(2):
        sign, writing = os.pipe()
        started.append(Rank(subprocess.Popen(SLEEP, pass_fds=[writing]), sign))
        os.close(writing)
    yield started
    for process, sign in started:
        process.kill()
        process.wait()
        os.close(sign)


def words(ranks: list[Rank]) -> list[str]:
    """Return the ranks as the watch is told of them."""
    return [f"{rank}:{one.process.pid}:{one.sign}" for rank, one in enumerate(ranks)]


def test_the_rank_that_ends_is_named_and_the_others_are_killed(
    ranks: list[Rank], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_watch, "ENDING_SECONDS", 0.2)  # no launcher does it here
    ranks[1].process.kill()
    main(["4", *words(ranks)])
    assert capsys.readouterr().err == (
        f"charrnn: error: rank 1 (process {ranks[1].process.pid}) of 4 ranks was killed; all ranks "
        "end, and the last checkpoint is kept\n"
    )
    assert ranks[0].process.wait(60) == -signal.SIGKILL


def test_ranks_that_have_ended_before_are_named_too(
    ranks: list[Rank], capsys: pytest.CaptureFixture[str]
) -> None:
    for process, _ in ranks:
        process.kill()
        process.wait()
    main(["2", *words(ranks)])
    assert f"rank 0 (process {ranks[0].process.pid}) of 2 ranks" in capsys.readouterr().err


def opened_by(process: int) -> bytes:
    """Return what a process has open, as text."""
    found = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found.append(bytes(path.readlink()))
    return b" ".join(found)


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_is_named_even_if_all_have_ended_before_the_watch_looks(
    ranks: list[Rank], first: int
) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-c", rank_watch.CODE, "2", *words(ranks)],
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[one.sign for one in ranks],
    )
    assert eventually(lambda: b"[eventpoll]" in opened_by(watch.pid), 30)
    time.sleep(0.2)  # until it waits
    os.kill(watch.pid, signal.SIGSTOP)
    for rank in (first, 1 - first):
        ranks[rank].process.kill()
        ranks[rank].process.wait()
    os.kill(watch.pid, signal.SIGCONT)
    told = watch.communicate(timeout=60)[1]
    assert f"rank {first} (process {ranks[first].process.pid}) of 2 ranks was killed" in told


def test_a_watch_that_is_stopped_says_nothing(ranks: list[Rank]) -> None:
    code = (
        "from charrnn.cli.rank_watch import start_watch, stop_watch; "
        f"stop_watch(start_watch(2, {{0: {ranks[0].process.pid}}}, {{0: {ranks[0].sign}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        timeout=60,
        check=True,
        pass_fds=[ranks[0].sign],
    )
    assert done.stderr == b""
    assert ranks[0].process.poll() is None
    stop_watch(0)


def test_there_is_no_watch_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert start_watch(2, {0: os.getpid()}, {0: 0}) == 0
