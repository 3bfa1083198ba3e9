"""Scheduler of trials: joblib runs as many at a time as there are jobs.

On this machine each job is a thread that waits for the process of its trial.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from charrnn.cli.trials.trial import Outcome, Trial, run_trial
from charrnn.errors import UsageError
from charrnn.types import StopFlag


def numbered(trial: Trial, stop: StopFlag) -> tuple[int, Outcome]:
    """Run a trial; return its number and how it ended."""
    return trial.number, run_trial(trial, stop)


def run_trials(trials: Sequence[Trial], jobs: int, stop: StopFlag) -> Iterator[tuple[int, Outcome]]:
    """Run trials, `jobs` at a time; yield number and outcome of each as it ends.

    Once `stop()` is true, running trials are saved and end, and no other starts. Raises
    `UsageError` without joblib, and `StorageError` if a folder cannot be written.
    """
    Parallel, delayed = load_joblib()
    parallel = Parallel(n_jobs=jobs, backend="threading", return_as="generator_unordered")
    yield from parallel(delayed(numbered)(trial, stop) for trial in trials)


def load_joblib() -> tuple[Any, Any]:
    """Return `joblib.Parallel` and `joblib.delayed`. Raises `UsageError` if it is not installed."""
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise UsageError(
            "to train several runs side by side needs joblib", "pip install joblib"
        ) from error
    return Parallel, delayed
