"""Commands under `mpiexec`: rank 0 runs the command, the other ranks compute for it."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from charrnn.cli.rank_watch import start_watch, stop_watch
from charrnn.errors import UsageError
from charrnn.system.launchers import Launch, launched

if TYPE_CHECKING:
    from charrnn.system.mpi import Ranks


def run(command: Callable[[], None]) -> None:
    """Run a command; if a launcher has started several processes, on rank 0 only.

    The other ranks ignore the signals that end a command, as worker processes do, and end when
    rank 0 has.
    """
    launch = launched()
    if launch is None:
        command()
    elif launch.rank == 0:
        _lead(launch, command)
    else:
        _follow(launch)


def _lead(launch: Launch, command: Callable[[], None]) -> None:
    """Run the command as rank 0, and end the other ranks."""
    from charrnn.cli.app import fail
    from charrnn.cli.output.console import warn
    from charrnn.system.mpi import connect
    from charrnn.training.rank_pool import END

    try:
        ranks = connect(launch)
    except UsageError as error:
        raise SystemExit(fail(str(error), error.exit_code).exit_code) from error
    if sys.argv[1:2] != ["train"]:
        warn(f"only train shares its work: {ranks.size - 1} of {ranks.size} ranks have none")
    watch = _watch(ranks)
    exit_code = 1
    try:
        command()
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        stop_watch(watch)
        if ranks.busy:
            ranks.abort(exit_code)
        with ranks.command(END):
            pass


def _follow(launch: Launch) -> None:
    """Compute for rank 0 until it ends."""
    from charrnn.system.signals import ignore_signals

    ignore_signals()
    from threadpoolctl import threadpool_limits

    from charrnn.system.mpi import connect
    from charrnn.training.rank_pool import serve

    try:
        ranks = connect(launch)
    except UsageError as error:  # which rank 0 reports
        raise SystemExit(error.exit_code) from error
    threadpool_limits(1, user_api="blas")
    watch = _watch(ranks)
    atexit.register(_abort, ranks, watch)  # if `serve` raises: after Python has shown its mistake
    serve(ranks)
    stop_watch(watch)
    atexit.unregister(_abort)


def _watch(ranks: "Ranks") -> int:
    """Return the process that watches over the ranks of this machine; the first starts it."""
    first = ranks.rank == min(ranks.processes_here)
    folder, signs = None, {}
    if first and hasattr(os, "mkfifo"):
        folder = tempfile.mkdtemp(prefix="charrnn-")  # which only this user may enter
        for rank in ranks.processes_here:
            os.mkfifo(f"{folder}/{rank}")
            signs[rank] = os.open(f"{folder}/{rank}", os.O_RDONLY | os.O_NONBLOCK)
    place = ranks.share_here(folder)
    if place is not None:
        os.open(f"{place}/{ranks.rank}", os.O_WRONLY)  # stays open until this process ends
    ranks.meet()
    started = 0
    if folder is not None:
        shutil.rmtree(folder)
        started = start_watch(ranks.size, ranks.processes_here, signs)
        for sign in signs.values():
            os.close(sign)
    return int(ranks.share_here(started))


def _abort(ranks: "Ranks", watch: int) -> None:
    """End all ranks, since this one cannot go on; one line names it."""
    from charrnn.cli.output.safe_text import write_message

    stop_watch(watch)
    write_message(f"charrnn: error: rank {ranks.rank} of {ranks.size} has failed")
    ranks.abort(1)
