"""A new run from its request to its end: its teachers, if it trains any, and then its network."""

from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from charrnn.cli.runs.environment import command_line
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.request import TrainRequest
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.setup import check_destination, train_run, wanted_folder
from charrnn.cli.train.teacher_runs import (
    TeacherPlan,
    processes_of,
    train_teachers,
    waiting_facts,
)


def start_run(request: TrainRequest, run_options: RunOptions) -> None:
    """Train a new run to its end, or until a signal."""
    threadpool_limits(1, user_api="blas")  # rows are shared among processes instead
    check_destination(request)
    count = train_run(request, run_options)
    if count:
        with RunFolder.claim(wanted_folder(request, request.corpus_name)) as folder:
            train_with_teachers(request, count, run_options, folder)


def continue_run(request: TrainRequest, path: Path, run_options: RunOptions) -> None:
    """Continue a run whose teachers are not complete, or that has no checkpoint yet.

    Args:
        request: the run, with the minutes that are left.
        path: its folder.
        run_options: how it is shown and saved.
    """
    threadpool_limits(1, user_api="blas")
    with RunFolder(path) as folder:
        train_with_teachers(request, request.train_teachers or 0, run_options, folder)


def train_with_teachers(
    request: TrainRequest, count: int, run_options: RunOptions, folder: RunFolder
) -> None:
    """Train the teachers of a run, and then the run in the same folder."""
    request = replace(request, train_teachers=count)
    words = tuple(request.reading_words())
    processes = processes_of(request.workers)
    plan = TeacherPlan(count, words, request.given["seed"], request.budget, processes)
    if not folder.read_facts():
        facts = waiting_facts(plan, request.words())
        folder.write_facts({"command": command_line(), "sources": request.sources, **facts})
    folder.keep()
    teachers = train_teachers(plan, folder, quiet=run_options.quiet)
    train_run(replace(request, train_teachers=0, teachers=teachers), run_options, folder)
