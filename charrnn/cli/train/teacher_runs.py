"""`charrnn train --train-teachers`: networks that a run trains before its own, to learn from.

Each is a run in the folder `teachers` of the run, trained in a process of its own, one per core at
a time. `distillation` then makes them the teachers of the run.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from charrnn.checkpointing.lookup import resumable_in
from charrnn.checkpointing.run_records import as_number, read_facts
from charrnn.cli.output.console import duration, say, warn
from charrnn.cli.output.safe_text import label, shell_command
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.train.repeat_options import typed
from charrnn.cli.train.request import typed_options
from charrnn.cli.trials.progress import trials_bar
from charrnn.cli.trials.trial import (
    FINISHED,
    Outcome,
    Trial,
    TrialsFailedError,
    read_outcome,
    read_result,
    run_trial,
)
from charrnn.errors import CheckpointError
from charrnn.limits import MAX_SEED
from charrnn.training.distillation import TEACHER_SHARE
from charrnn.training.presets import Budget

FOLDER = "teachers"
"""Folder of the teachers' runs in the folder of a run."""

TRAIN_TEACHERS = "train_teachers"
"""Key of run.json: how many teachers are trained at a time, and the words of `train` with which the
run is continued; see `PendingRun`."""

MAX_TEACHERS = 100
"""Most teachers that a run can train."""


@dataclass(frozen=True)
class TeacherPlan:
    """The teachers that a run trains.

    Args:
        count: how many.
        reading: words of `train` that name the text and say how it is read.
        seed: seed of the first one; those of the others follow it.
        budget: that of the whole run. Teachers share `TEACHER_SHARE` of its minutes; each has as
            many epochs or steps as the run itself.
        processes: worker processes at most, all teachers together.
    """

    count: int
    reading: tuple[str, ...]
    seed: int
    budget: Budget
    processes: int

    @property
    def at_a_time(self) -> int:
        """How many teachers are trained side by side."""
        return min(self.count, self.processes)

    def folders(self, run: Path) -> list[Path]:
        """Return the folders of the teachers of a run."""
        return [run / FOLDER / f"teacher-{number:03d}" for number in range(1, self.count + 1)]

    def minutes_each(self, left: int) -> float | None:
        """Return the minutes of each of the `left` teachers to be trained; None without minutes."""
        if self.budget.minutes is None:
            return None
        share = TEACHER_SHARE * left / self.count  # what others took is no longer in the budget
        part = share / (1 - TEACHER_SHARE + share)
        seconds = part * (60 * self.budget.minutes - seconds_since_start())
        rounds = max(1, math.ceil(left / self.at_a_time))
        return round(max(MIN_SECONDS, seconds / rounds) / 60, 3)

    def trials(self, run: Path, minutes: float | None) -> list[Trial]:
        """Return the runs of the teachers, each with so many minutes, if it has any."""
        workers = max(1, self.processes // self.count)
        budget = {"minutes": minutes, "epochs": self.budget.epochs, "steps": self.budget.steps}
        words = (*self.reading, *typed_options({"train_teachers": 0, "workers": workers, **budget}))
        return [
            Trial(number, str(folder), (*words, *typed("seed", self.seed_of(number))))
            for number, folder in enumerate(self.folders(run), 1)
        ]

    def seed_of(self, number: int) -> int:
        """Return the seed of a teacher; after the largest one comes 0."""
        return (self.seed + number - 1) % (MAX_SEED + 1)


MIN_SECONDS = 3.0
"""Least seconds of a teacher."""


@dataclass(frozen=True)
class PendingRun:
    """A run with teachers of its own that has no checkpoint yet.

    Args:
        words: words of `train` that start it, without its folder.
        seconds: how long its teachers have been trained so far.
    """

    words: tuple[str, ...]
    seconds: float

    @property
    def command(self) -> str:
        """The command that it continues, as it is typed."""
        return shell_command("charrnn", "train", *self.words)


def pending_in(place: Path) -> PendingRun | None:
    """Return the run in a folder if it trains teachers and has no checkpoint yet, else None.

    Raises `CheckpointError` if run.json is damaged.
    """
    told = read_facts(place).get(TRAIN_TEACHERS)
    if not isinstance(told, dict):
        return None
    try:
        resumable_in(place)
    except CheckpointError:
        pass
    else:
        return None
    words, processes = told.get("words"), as_number(told.get("at_a_time"))
    known = isinstance(words, list) and all(isinstance(word, str) for word in words)
    if not isinstance(words, list) or not known or not processes or processes < 1:
        raise CheckpointError(f"{label(str(place / 'run.json'))} is damaged", "a new run")
    outcomes = [read_outcome(path) for path in sorted((place / FOLDER).glob("teacher-*/"))]
    return PendingRun(tuple(words), sum(outcome.seconds for outcome in outcomes) / processes)


def pending_facts(plan: TeacherPlan, words: Sequence[str]) -> Mapping[str, Any]:
    """Return what run.json tells of the teachers that a run trains.

    Args:
        plan: the teachers.
        words: words of `train` that start the run, without its folder.
    """
    return {TRAIN_TEACHERS: {"at_a_time": plan.at_a_time, "words": list(words)}}


def train_teachers(plan: TeacherPlan, folder: RunFolder, *, quiet: bool) -> tuple[str, ...]:
    """Train the teachers of a run that are not trained yet; return the folders of all.

    One that fails is left out, with a note.

    Raises `TrialsFailedError` if all fail, and typer.Exit after a signal, once they are saved.
    """
    left = sum(not read_outcome(path).is_final for path in plan.folders(folder.path))
    minutes = plan.minutes_each(left)
    trials = plan.trials(folder.path, minutes)
    pending = [trial for trial in trials if not read_outcome(Path(trial.folder)).is_final]
    if pending:
        if not quiet:
            say(started(plan, pending, minutes))
        run_pending(pending, plan, folder, quiet=quiet)
    outcomes = [(trial, read_outcome(Path(trial.folder))) for trial in trials]
    for trial, outcome in outcomes:
        if outcome.status != FINISHED:
            warn(f"teacher {trial.number} is left out: {outcome.problem or outcome.status}")
    usable = tuple(trial.folder for trial, outcome in outcomes if outcome.status == FINISHED)
    if not usable:
        first = outcomes[0][1]
        problem = f"no teacher could be trained: {first.problem or first.status}"
        raise TrialsFailedError(problem, "--train-teachers 0", first=first)
    return usable


def run_pending(
    trials: Sequence[Trial], plan: TeacherPlan, folder: RunFolder, *, quiet: bool
) -> None:
    """Run the teachers that are not complete; typer.Exit after a signal, once they are saved."""
    failed = threading.Event()
    with StopOnSignal() as stop:

        def ending() -> bool:
            return stop() or failed.is_set()

        with (
            trials_bar([Path(one.folder) for one in trials], plan.count) as count_ended,
            ThreadPoolExecutor(plan.at_a_time) as pool,
        ):
            running = {pool.submit(run_trial, trial, ending): trial for trial in trials}
            try:
                for done in as_completed(running):
                    outcome, trial = done.result(), running[done]
                    if outcome.is_final:
                        count_ended(Path(trial.folder))
                        if not quiet:
                            say(ended(trial, outcome, plan))
            except BaseException:
                failed.set()  # the others save and end
                raise
        if stop():
            hint = shell_command("charrnn", "train", "--resume", str(folder.path))
            say(f"stopped while teachers are trained; go on with: {hint}")
            raise typer.Exit(stop.exit_code)


def started(plan: TeacherPlan, trials: Sequence[Trial], minutes: float | None) -> str:
    """Say how many teachers are trained, and for how long if they have minutes."""
    at_a_time = min(len(trials), plan.at_a_time)
    count = f"{len(trials)} teacher{'s' * (len(trials) > 1)}"
    parts = [f"training {count}", f"{at_a_time} at a time"]
    if minutes is not None:
        parts.append(duration(60 * minutes * math.ceil(len(trials) / at_a_time)))
    return ", ".join([*parts, f"in {label(str(Path(trials[0].folder).parent))}"])


def ended(trial: Trial, outcome: Outcome, plan: TeacherPlan) -> str:
    """Say what came of a teacher."""
    nats = as_number(read_result(Path(trial.folder)).get("validation_nats_per_char"))
    result = outcome.status if nats is None else f"{nats:.4f} nats"
    return f"teacher {trial.number} of {plan.count}: {result}, {duration(outcome.seconds)}"
