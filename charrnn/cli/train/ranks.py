"""Notes of a run that MPI ranks share: too many processes, no gain, another number than before."""

from charrnn.cli.output.console import warn
from charrnn.system.mpi import Ranks
from charrnn.training.speed import Speed


def warn_of_ranks(
    ranks: Ranks | None, workers: int, speed: Speed | None = None, before: object = None
) -> None:
    """Warn of what a user of `mpiexec` may not expect.

    Args:
        ranks: the ranks of this run; None for one.
        workers: the number of processes of each rank.
        speed: as measured, for a new run.
        before: for a resumed run, the number of ranks that run.json says.
    """
    size = 1 if ranks is None else ranks.size
    if type(before) is int and before >= 1 and before != size:
        way = f"mpiexec -n {before}" if before > 1 else "the command without mpiexec"
        warn(
            f"the run had {before} rank{'s' * (before > 1)}, now {size}: the last bits may differ; "
            f"try {way} for the same"
        )
    if ranks is None:
        return
    processes, cores = ranks.most_here * workers, ranks.least_cores
    if processes > cores:
        warn(
            f"{ranks.most_here} ranks × {workers} worker{'s' * (workers > 1)} on a machine with "
            f"{cores} core{'s' * (cores > 1)}: they slow each other down; try fewer ranks"
        )
    elif speed is not None and not speed.workers_are_faster:
        warn(
            f"{size} ranks are not faster than one process: they wait for messages longer than "
            "they save; try the command without mpiexec"
        )
