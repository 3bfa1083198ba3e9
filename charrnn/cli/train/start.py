"""A new run from its request to its end: its teachers, if it trains any, and then its network."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import typer
from threadpoolctl import threadpool_limits

from charrnn.cli.options import on_the_command_line
from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import label
from charrnn.cli.runs import load_text
from charrnn.cli.runs.environment import command_line
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.planning import cores_each
from charrnn.cli.train.prepare_run import check_destination, wanted_folder
from charrnn.cli.train.request import TrainRequest, request_of
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.setup import train_run
from charrnn.cli.train.teacher_runs import (
    PendingRun,
    TeacherPlan,
    pending_facts,
    train_teachers,
)
from charrnn.errors import CharRNNError, CheckpointError, TextError, UsageError
from charrnn.training.presets import Budget


def start_run(request: TrainRequest, run_options: RunOptions) -> None:
    """Train a new run to its end, or until a signal."""
    threadpool_limits(1, user_api="blas")  # rows are shared among processes instead
    check_destination(request)
    count = train_run(request, run_options)
    if count:
        with RunFolder.claim(wanted_folder(request, request.corpus_name)) as folder:
            train_with_teachers(request, count, run_options, folder)


def continue_pending(
    context: typer.Context, place: Path, pending: PendingRun, run_options: RunOptions
) -> None:
    """Continue a run whose teachers are not complete, or that has no checkpoint yet.

    Its command is that which run.json tells, with the minutes that are left. Another person may
    have written it, so that it is shown, and may only name options of a new run.

    Raises `CheckpointError` if it is no command of `train` with teachers, and as `check_sources`.
    """
    shown_and_saved = {"resume", *(field.name for field in fields(RunOptions))}
    for name, flag in on_the_command_line(context):
        if name not in shown_and_saved:
            what = "FILES" if name == "corpus" else flag
            raise UsageError(
                f"{label(str(place))} trains its teachers first, {what} would change them",
                "--resume without it",
            )
    damaged = CheckpointError(f"{label(str(place / 'run.json'))} is damaged", "a new run")
    command: Any = context.command
    try:
        with command.make_context("train", list(pending.words)) as again:
            named = {name for name, _ in on_the_command_line(again)}
            request = request_of(again)
    except (typer.TyperException, CharRNNError) as error:
        raise damaged from error
    count = request.train_teachers
    if not count or named & REFUSED:
        raise damaged
    check_sources(request)
    if not run_options.quiet:
        say(f"continuing {label(str(place))}: {pending.command}")
    minutes = request.budget.minutes
    if minutes is not None:
        left = max(MIN_MINUTES_LEFT, minutes - pending.seconds / 60)
        request = replace(request, budget=Budget(left))
    threadpool_limits(1, user_api="blas")
    with RunFolder(place) as folder:
        train_with_teachers(request, count, run_options, folder)


def check_sources(request: TrainRequest) -> None:
    """Raise `TextError` if a path of a text is gone, or is a pipe or a device.

    A teacher whose text is missing fails, and is not trained again.
    """
    for source in request.sources:
        if not Path(source).is_dir() and load_text.size_of(source) is None:
            raise TextError(f"{label(source)}, which run.json names, is gone", "to move it back")


REFUSED = {"resume", "like", "out", "name", "teacher", "init_from", "layout"}
"""Parameters that the command of a run with teachers to train does not have."""

MIN_MINUTES_LEFT = 0.1
"""Least minutes of a run that is continued after its teachers took all of its time."""


def train_with_teachers(
    request: TrainRequest, count: int, run_options: RunOptions, folder: RunFolder
) -> None:
    """Train the teachers of a run, and then the run in the same folder."""
    request = replace(request, train_teachers=count)
    words = tuple(request.reading_words())
    processes = request.workers or cores_each(None)
    plan = TeacherPlan(count, words, request.given["seed"], request.budget, processes)
    if not folder.read_facts():
        facts = pending_facts(plan, request.words())
        folder.write_facts({"command": command_line(), "sources": request.sources, **facts})
    folder.keep()
    teachers = train_teachers(plan, folder, quiet=run_options.quiet)
    train_run(replace(request, train_teachers=0, teachers=teachers), run_options, folder)
