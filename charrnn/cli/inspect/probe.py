"""View `inspect-gradients --probe`: the memory probe, with a progress bar and a table."""

import csv
import io
import os
import sys

from rich.table import Table
from rich.text import Text

from charrnn.analysis.memory_probe import ProbeProgress, Trial, TrialResult, plan_trials, run_trials
from charrnn.cli.output.console import Screen, describe, progress_bar
from charrnn.cli.output.safe_text import unicode_ok, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.errors import UsageError


def run_probe(
    tasks: list[str],
    gaps: str | None,
    seed: int,
    *,
    json: bool,
    as_table: bool,
    quiet: bool,
) -> None:
    """Run the memory probe on one task and print its results.

    Args:
        tasks: no or one name of a task.
        gaps: the comma-separated gaps of `--gaps`; None for those of the task.
        seed: seed of all trials.
        json: whether to print JSON.
        as_table: whether to print CSV.
        quiet: whether to show no progress bar.
    """
    if len(tasks) > 1:
        raise UsageError("one task at a time", "--probe", "--probe france")
    trials = plan_trials(tasks[0] if tasks else "recall", parse_gaps(gaps), seed=seed)
    results: dict[Trial, TrialResult] = {}
    steps: dict[Trial, int] = {}
    total = sum(trial.steps for trial in trials)
    with progress_bar(total, shown=not quiet, leave=False) as bar:
        for event in run_trials(trials, os.cpu_count() or 1):
            if isinstance(event, ProbeProgress):
                describe(bar, describe_progress(event))
                bar.update(event.step - steps.get(event.trial, 0))
                steps[event.trial] = event.step
            else:
                results[event.trial] = event
                bar.update(event.trial.steps - steps.get(event.trial, 0))
    ended = [results[trial] for trial in trials]
    if json:
        rows = [trial_as_dict(result) for result in ended]
        write_plain(f"{to_json({'schema': 1, 'probe': rows})}\n")
    elif as_table:
        rows = [trial_as_dict(result) for result in ended]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_plain(out.getvalue())
    else:
        show_results(ended)


def parse_gaps(text: str | None) -> list[int] | None:
    """Parse comma-separated whole numbers; None for None."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} is not a list of gaps", "--gaps 5,20,80") from error


def describe_progress(progress: ProbeProgress) -> str:
    """Return network, gap and accuracy, for the progress bar."""
    trial = progress.trial
    return f"{probe_title(trial)}, gap {trial.gap}: {progress.accuracy:.0%}"


def probe_title(trial: Trial) -> str:
    """Return the name of the network; a hyphen is its minus sign where stdout has no Unicode."""
    name = trial.probe_model.title
    return name if unicode_ok(sys.stdout) else name.replace("\N{MINUS SIGN}", "-")


def trial_as_dict(result: TrialResult) -> dict[str, int | float | str | bool]:
    """Return the result of a trial as JSON values."""
    trial = result.trial
    return {
        "task": trial.task,
        "contestant": trial.probe_model.name,
        "gap": trial.gap,
        "seed": trial.seed,
        "accuracy": result.accuracy,
        "chance": result.chance,
        "solved": result.solved,
        "steps": result.steps,
        "planned_steps": trial.steps,
    }


def show_results(results: list[TrialResult]) -> None:
    """Print accuracy and steps by network and gap, and the accuracy of guessing."""
    console = Screen(highlight=False)
    gaps = list(dict.fromkeys(result.trial.gap for result in results))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("accuracy (steps) by gap")
    for gap in gaps:
        table.add_column(f"{gap}", justify="right")
    by_name: dict[str, list[Text]] = {}
    for result in results:
        cell = f"{result.accuracy:.0%} ({result.steps:,})"
        style = "green" if result.solved else "red"
        by_name.setdefault(probe_title(result.trial), []).append(Text(cell, style=style))
    for name, cells in by_name.items():
        table.add_row(Text(name), *cells)
    first = results[0]
    planned = ", ".join(
        f"{steps:,}" for steps in dict.fromkeys(result.trial.steps for result in results)
    )
    seconds = sum(result.seconds for result in results)
    console.print(table)
    console.print(
        Text(
            f"chance {first.chance:.1%}; task {first.trial.task}, seed {first.trial.seed}, at most "
            f"{planned} steps by gap; a trial ends once it is solved; "
            f"{seconds:.0f} s of processor time"
        )
    )
    console.print(Text(conclusion(results)))


def conclusion(results: list[TrialResult]) -> str:
    """Return one sentence: which networks solve the longest gap."""
    longest = max(result.trial.gap for result in results)
    titles: dict[bool, list[str]] = {True: [], False: []}
    for result in results:
        if result.trial.gap == longest:
            titles[result.solved].append(probe_title(result.trial))
    if not titles[False]:
        return f"All networks solve the gap of {longest} characters."
    if not titles[True]:
        return f"No network solves the gap of {longest} characters within these steps."
    return f"Only these solve the gap of {longest} characters: {'; '.join(titles[True])}."
