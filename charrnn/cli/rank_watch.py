"""Watch over the ranks of one machine: a process that names the rank that was killed.

`mpiexec` ends all ranks when one is killed, but names none of them, and no rank lives on to do so.
So one process on each machine, in a session of its own, waits for the end of any rank there; a
command that ends as it should stops it first.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

ENDING_SECONDS = 5.0
"""Seconds that the launcher has to end the other ranks before they are killed from here."""

CODE = "from charrnn.cli.rank_watch import main; main()"


def start_watch(size: int, processes: Mapping[int, int], signs: Mapping[int, int]) -> int:
    """Start the watch over processes by their rank, of `size` in all; return its process id.

    `signs` are the reading ends of pipes, by rank, whose only writing end the rank has open: it
    closes early when a process ends, before a launcher notices that and ends the other ranks.
    Returns 0 on systems where a process cannot wait for one that it has not started: all but Linux.
    """
    if not hasattr(os, "pidfd_open"):
        return 0
    words = [f"{rank}:{process}:{signs[rank]}" for rank, process in processes.items()]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(size), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=list(signs.values()),
    ).pid


def stop_watch(process: int) -> None:
    """Stop the watch: from now on, ranks may end."""
    if process:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return


def main(words: Sequence[str] | None = None) -> None:
    """Wait until a rank ends, and name it; then see to it that the others end too.

    Args:
        words: the number of ranks, and RANK:PROCESS:PIPE of each on this machine; default: the
            command line.
    """
    size, *ranks = sys.argv[1:] if words is None else words
    places = [tuple(map(int, word.split(":"))) for word in ranks]
    signs = {pipe: (rank, process) for rank, process, pipe in places}
    poller = select.epoll()
    for pipe in signs:
        poller.register(pipe, select.EPOLLHUP)
    # epoll keeps the order of events: this is the first, however late we look
    (first, _), *_ = poller.poll(maxevents=1)
    handles = []
    for _, process in signs.values():
        try:
            handles.append(os.pidfd_open(process))
        except ProcessLookupError:
            continue
    _report(*signs[first], size)
    _end(handles)


def _report(rank: int, process: int, size: str) -> None:
    """Print one line that names the rank that has ended first."""
    from charrnn.cli.output.safe_text import write_message

    write_message(
        f"charrnn: error: rank {rank} (process {process}) of {size} ranks was killed; all ranks "
        "end, and the last checkpoint is kept"
    )


def _end(handles: list[int]) -> None:
    """Wait until the launcher has ended all ranks; kill those that it leaves."""
    poller = select.epoll()
    for handle in handles:
        poller.register(handle, select.EPOLLIN)
    until = time.monotonic() + ENDING_SECONDS
    while handles and time.monotonic() < until:
        for handle, _ in poller.poll(ENDING_SECONDS):
            poller.unregister(handle)
            handles.remove(handle)
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
