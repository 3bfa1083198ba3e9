"""Scheduler of trials: joblib runs as many at a time as there are jobs.

On this machine each job is a thread that waits for the process of its trial; with Dask it is a task
of a worker, which starts the process there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from charrnn.cli.completion import complete_from
from charrnn.cli.options import option
from charrnn.cli.trials.cluster import connected, stop_file
from charrnn.cli.trials.trial import Outcome, Trial, run_trial
from charrnn.errors import UsageError
from charrnn.limits import unknown
from charrnn.types import StopFlag

LOCAL, DASK = "local", "dask"
BackendOption = Annotated[
    str,
    option(
        "Machines",
        "Where runs are trained: local, on this machine, or dask, on the workers of a Dask "
        "scheduler, which must see the same folders.",
        autocompletion=complete_from((LOCAL, DASK)),
    ),
]
SchedulerOption = Annotated[
    str | None,
    option("Machines", "Address of the Dask scheduler.", metavar="tcp://HOST:PORT"),
]


@dataclass(frozen=True)
class Machines:
    """Where trials run.

    Args:
        backend: `local` or `dask`.
        address: the address of the Dask scheduler.
        jobs: how many trials run at a time; by default as many as there are cores, or threads of
            Dask workers.

    Raises `UsageError` for an unknown backend, and for one of `dask` and its address alone.
    """

    backend: str = LOCAL
    address: str | None = None
    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.backend not in (LOCAL, DASK):
            raise unknown("backend", self.backend, (LOCAL, DASK))
        if self.backend == DASK and not self.address:
            raise UsageError("--backend dask needs a scheduler", "--scheduler tcp://HOST:PORT")
        if self.backend == LOCAL and self.address is not None:
            raise UsageError("--scheduler is for --backend dask", "--backend dask with it")


def numbered(trial: Trial, stop: StopFlag) -> tuple[int, Outcome]:
    """Run a trial; return its number and how it ended."""
    return trial.number, run_trial(trial, stop)


def run_trials(trials: Sequence[Trial], jobs: int, stop: StopFlag) -> Iterator[tuple[int, Outcome]]:
    """Run trials on this machine, `jobs` at a time; yield number and outcome of each as it ends.

    Once `stop()` is true, running trials are saved and end, and no other starts. Raises
    `UsageError` without joblib, and `StorageError` if a folder cannot be written.
    """
    Parallel, delayed = load_joblib()
    parallel = Parallel(n_jobs=jobs, backend="threading", return_as="generator_unordered")
    yield from parallel(delayed(numbered)(trial, stop) for trial in trials)


def run_on_cluster(
    trials: Sequence[Trial], machines: Machines, folder: Path, stop: StopFlag
) -> Iterator[tuple[int, Outcome]]:
    """Run trials on the workers of a Dask scheduler; yield as `run_trials` does.

    Args:
        trials: what to run.
        machines: the address; its `jobs` limit how many trials are given to workers at a time.
        folder: the folder of the sweep, in which the file `stop` tells the workers to stop.
        stop: the flag of this process.

    Raises as `run_trials` and `cluster.connected`.
    """
    Parallel, delayed = load_joblib()
    from joblib import parallel_config

    with (
        connected(machines.address or "", folder.resolve()) as threads,
        stop_file(folder.resolve(), stop) as flag,
        parallel_config(backend="dask"),
    ):
        jobs = min(machines.jobs or threads, threads)
        parallel = Parallel(n_jobs=-1, pre_dispatch=jobs, return_as="generator_unordered")
        yield from parallel(delayed(numbered)(absolute(trial), flag) for trial in trials)


def absolute(trial: Trial) -> Trial:
    """Return a trial whose folder is absolute: workers have other current folders."""
    return replace(trial, folder=str(Path(trial.folder).resolve()))


def load_joblib() -> tuple[Any, Any]:
    """Return `joblib.Parallel` and `joblib.delayed`. Raises `UsageError` if it is not installed."""
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise UsageError(
            "to train several runs side by side needs joblib", "pip install joblib"
        ) from error
    return Parallel, delayed
