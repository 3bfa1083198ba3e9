"""A sweep under way: runs its trials, reports each as it ends, and prints the table."""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.text import Text

from charrnn.cli.output.console import answer, duration, say
from charrnn.cli.output.safe_text import label, shell_command, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.runs.run_folder import lock_folder
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.sweep.plan import SweepPlan
from charrnn.cli.sweep.planning import jobs_wanted
from charrnn.cli.sweep.results import (
    Row,
    failures,
    plain,
    problem_of,
    results_as_csv,
    results_table,
    row_of,
    rows_of,
)
from charrnn.cli.trials.progress import trials_bar
from charrnn.cli.trials.scheduler import DASK, Machines, run_on_cluster, run_trials
from charrnn.cli.trials.trial import (
    DIVERGED,
    FINISHED,
    INTERRUPTED,
    WAITING,
    TrialsFailedError,
    read_outcome,
)
from charrnn.data.characters import MAX_NAMED, enumerated


def run_sweep(
    folder: Path, plan: SweepPlan, machines: Machines, *, json: bool, as_csv: bool
) -> None:
    """Run the trials that are not finished and print the results.

    Raises typer.Exit after a signal, once the running trials are saved, and `TrialsFailedError` if
    no trial has a result, or one has none for another reason than that it diverged.
    """
    run_until_stopped(folder, plan, machines)
    show_results(folder, plan, json=json, as_csv=as_csv)
    rows = rows_of(folder, plan)
    if all(row.nats is None for row in rows):
        raise failed(rows, "no trial has a result")
    require_complete(folder, plan, rows)


def run_until_stopped(folder: Path, plan: SweepPlan, machines: Machines) -> None:
    """Run the trials that are not finished, in a locked folder.

    Raises typer.Exit after a signal, once the running trials are saved.
    """
    lock = lock_folder(folder)
    try:
        with StopOnSignal() as stop:
            run_open_trials(folder, plan, machines, stop)
            if stop():
                rows = rows_of(folder, plan)
                done = sum(row.outcome.is_final for row in rows)
                say(
                    f"stopped; {done} of {len(rows)} {plan.noun}s have ended; go on with: "
                    f"{resume_command(folder, plan)}"
                )
                raise typer.Exit(stop.exit_code)
    finally:
        if lock is not None:
            lock.release()


def resume_command(folder: Path, plan: SweepPlan) -> str:
    """Return the command that goes on with a sweep or an ensemble."""
    return shell_command("charrnn", plan.kind, "--resume", str(folder))


def run_open_trials(folder: Path, plan: SweepPlan, machines: Machines, stop: StopOnSignal) -> None:
    """Run the trials that are not finished; report each in a line."""
    trials = plan.trials(folder)
    waiting = [trial for trial in trials if not read_outcome(Path(trial.folder)).is_final]
    if not waiting:
        return
    kept = len(trials) - len(waiting)
    known = f", {kept} of {len(trials)} have ended before" if kept else ""
    count = f"{len(waiting)} {plan.noun}{'s' * (len(waiting) > 1)}"
    if machines.backend == DASK:
        running = run_on_cluster(waiting, machines, folder, stop)
        how = f"on the workers of {label(machines.address or '')}"
    else:
        jobs = min(len(waiting), jobs_wanted(machines.jobs, plan))
        running, how = run_trials(waiting, jobs, stop), f"{jobs} at a time"
    say(f"{count}, {how}, in {label(str(folder))}{known}")
    with trials_bar([Path(trial.folder) for trial in waiting], len(trials)) as count_ended:
        for number, outcome in running:
            if outcome.status != WAITING and not (stop() and outcome.status == INTERRUPTED):
                trial = trials[number - 1]
                count_ended(Path(trial.folder))
                row = row_of(number, Path(trial.folder), plan.points[number - 1], "char")
                say(f"{plan.noun} {number} of {len(trials)}: {described(row)}")


def described(row: Row) -> str:
    """Say in a few words what came of a trial."""
    settings = " ".join(f"{plain(flag)}={value}" for flag, value in row.point.items())
    result = row.outcome.status if row.nats is None else f"{row.nats:.4f} nats"
    return f"{label(settings)}: {result}, {duration(row.outcome.seconds)}"


def show_results(folder: Path, plan: SweepPlan, *, json: bool, as_csv: bool) -> None:
    """Print the results so far: the table and what to type next, or JSON, or CSV."""
    rows = rows_of(folder, plan)
    best = rows[0] if rows[0].nats is not None else None
    final = None if best is None else shell_command(*plan.final_words(best.point))
    if json:
        found = {
            "sweep": str(folder),
            "hold_out": plan.hold_out,
            "best": None if best is None else best.number,
            "command": final,
            "trials": [row.as_dict() for row in rows],
        }
        write_plain(f"{to_json(found)}\n")
        return
    if as_csv:
        write_plain(results_as_csv(rows, plan.flags))
        return
    answer(results_table(rows, plan.flags))
    for line in failures(rows, plan.noun):
        answer(Text(line))
    if any(not row.outcome.is_final for row in rows):
        command = resume_command(folder, plan)
        write_plain(f"not all trials are finished; go on with: {command}\n")
    if best is not None:
        answer(Text(f"best: trial {best.number}, {label(str(best.folder))}"))
        write_plain(f"on the whole corpus: {final}\n")


def require_complete(folder: Path, plan: SweepPlan, rows: Sequence[Row]) -> None:
    """Raise `TrialsFailedError`, which names them, for runs that ended without a result.

    A run that diverged has one: its settings do not train.
    """
    without = [row for row in rows if row.outcome.status not in (FINISHED, DIVERGED)]
    if not without:
        return
    numbers = sorted(row.number for row in without)
    named = enumerated(map(str, numbers[:MAX_NAMED]), len(numbers))
    nouns = f"{plan.noun}{'s' * (len(numbers) > 1)}"
    problem = f"{nouns} {named} of {len(rows)} ended without a result"
    if all(row.outcome.is_final for row in without):
        raise failed(without, problem)
    raise failed(without, problem, resume_command(folder, plan))


def failed(rows: Sequence[Row], problem: str, advice: str = "other settings") -> TrialsFailedError:
    """Return the error of a sweep or ensemble without a result, with what the first run said."""
    first = min((row for row in rows if row.nats is None), key=lambda row: row.number)
    said = problem_of(first) or "see its log.txt"
    message = f"{problem}; the first one {first.outcome.status}: {said}"
    return TrialsFailedError(message, advice, first=first.outcome)
