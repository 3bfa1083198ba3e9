"""Signals around child processes, also on platforms that lack some of them."""

import runpy
import signal
import subprocess
import sys
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import pytest

from charrnn.system import platform
from charrnn.system.child_processes import DISCONNECTED, ChildProcess
from charrnn.system.platform import ENDING_SIGNALS
from charrnn.system.signals import signals_blocked


def names_on(monkeypatch: pytest.MonkeyPatch, *, without: str = "", also: str = "") -> list[str]:
    """Return the names of `ENDING_SIGNALS` on a platform with other signals than this one."""
    if without:
        monkeypatch.delattr(signal, without)
    if also:
        monkeypatch.setattr(signal, also, signal.SIGUSR1, raising=False)
    found = runpy.run_path(str(platform.__file__))["ENDING_SIGNALS"]
    return [also if number is signal.SIGUSR1 else number.name for number in found]


def test_ending_signals_are_those_that_the_platform_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [number.name for number in ENDING_SIGNALS] == ["SIGINT", "SIGTERM", "SIGHUP"]
    windows = names_on(monkeypatch, without="SIGHUP", also="SIGBREAK")
    assert windows == ["SIGINT", "SIGTERM", "SIGBREAK"]


def test_they_are_blocked_only_while_a_child_starts() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with signals_blocked():
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) >= set(ENDING_SIGNALS)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


STARTING_TRACKER = """
import signal
from multiprocessing import resource_tracker
from charrnn.system.platform import ENDING_SIGNALS
from charrnn.system.signals import signals_blocked
with signals_blocked():
    resource_tracker.ensure_running()  # as the start of a child does
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) >= set(ENDING_SIGNALS)
"""


def test_they_stay_blocked_where_the_start_of_a_child_starts_the_resource_tracker() -> None:
    """In a process of its own: in this one the tracker may be running already."""
    done = subprocess.run(
        [sys.executable, "-c", STARTING_TRACKER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_child_is_started_with_the_signals_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits the mask: before it can ignore signals, none can end it."""
    start, masks = BaseProcess.start, []

    def noted(self: BaseProcess) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        start(self)

    monkeypatch.setattr(BaseProcess, "start", noted)
    ChildProcess(survive).close()
    assert [mask >= set(ENDING_SIGNALS) for mask in masks] == [True]


@pytest.mark.parametrize("has_masks", [True, False])
def test_a_child_ignores_them(has_masks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a parent that can block signals, and one that cannot, as on Windows."""
    resource_tracker.ensure_running()  # Python's own start of it needs masks
    if not has_masks:
        monkeypatch.delattr(signal, "pthread_sigmask")
    child = ChildProcess(survive)
    assert child.connection.recv() == list(map(int, ENDING_SIGNALS))
    child.connection.send("go on")
    assert child.connection.recv() == "go on"
    child.close()


def survive(connection: Connection) -> None:
    """Raise all of the signals in the child, then answer."""
    for number in ENDING_SIGNALS:
        signal.raise_signal(number)
    connection.send(list(map(int, ENDING_SIGNALS)))
    try:
        connection.send(connection.recv())
        connection.recv()
    except DISCONNECTED:
        return
