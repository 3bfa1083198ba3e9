"""`charrnn sweep`: options and help of the command, and its three uses: new, resumed, shown."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.lookup import RUNS
from charrnn.cli.completion import complete_from
from charrnn.cli.options import DEFAULT_VAL_FRACTION, Json, on_the_command_line, option
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label
from charrnn.cli.sweep.plan import (
    SweepPlan,
    check_part,
    load_plan,
    new_folder,
    write_part,
)
from charrnn.cli.sweep.running import run_sweep, show_results
from charrnn.cli.sweep.search import Search, search_of
from charrnn.cli.sweep.training_part import TrainingPart, read_training_part
from charrnn.cli.trials.scheduler import load_joblib
from charrnn.cli.trials.settings import (
    READING,
    CheckedSettings,
    check_settings,
    option_called,
    refused,
    train_options,
    words_of,
)
from charrnn.data.builtin_pairs import DEMONSTRATIONS, natural_layout
from charrnn.data.builtin_texts import BUILT_IN
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import place
from charrnn.errors import UsageError
from charrnn.limits import SEED, THREADS, Limits, option_name

SEARCH, TRIALS, SWEEP, OUTPUT = "Search", "Trials", "Sweep", "Output"
DEFAULT_EPOCHS = 5.0
HOLD_OUT = Limits(0, 0.5, DEFAULT_VAL_FRACTION)
RESUMABLE = {"resume", "jobs", "json", "as_table"}
"""Parameters that may be given with `--resume`."""


def sweep(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="Text files, folders, or - for standard input, as for train; with "
            "--set layout=LAYOUT files of pairs. Default: --builtin python-docs.",
            show_default=False,
        ),
    ] = None,
    built_in: Annotated[
        str | None,
        option(
            SEARCH,
            "Built-in text or pairs, as for train.",
            option_name("built_in"),
            autocompletion=complete_from([*BUILT_IN, *DEMONSTRATIONS]),
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        option(
            SEARCH,
            "Values to try for an option of train, such as hidden=128,256. Repeat it for more "
            "options: all combinations are tried.",
            metavar="NAME=VALUES",
        ),
    ] = None,
    random: Annotated[
        int | None,
        option(
            SEARCH,
            "Random search with N trials: each draws a value from every --grid and --range.",
            metavar="N",
        ),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        option(
            SEARCH,
            "Range to draw from in a random search, such as lr=0.05:0.5:log (uniform in the "
            "logarithm) or dropout=0:0.5.",
            "--range",
            metavar="NAME=LOW:HIGH",
        ),
    ] = None,
    search_seed: Annotated[int, option(SEARCH, "Seed of the random search.")] = 0,
    fixed: Annotated[
        list[str] | None,
        option(
            TRIALS,
            "Option of train that all trials have, such as cell=gru or bytes=true.",
            "--set",
            metavar="NAME=VALUE",
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        option(TRIALS, f"Epochs to train each trial for. Default: {DEFAULT_EPOCHS:g}."),
    ] = None,
    steps: Annotated[
        int | None, option(TRIALS, "Steps to train each trial for (instead of --epochs).")
    ] = None,
    minutes: Annotated[
        float | None,
        option(
            TRIALS,
            "Wall time of each trial (instead of --epochs). Trials that run side by side slow each "
            "other down, so that the steps they take depend on the load of the machine.",
        ),
    ] = None,
    hold_out: Annotated[
        float,
        option(
            TRIALS,
            "Fraction of the corpus that no trial reads: the end of a text. Settings are chosen by "
            "the validation loss on the rest.",
        ),
    ] = DEFAULT_VAL_FRACTION,
    jobs: Annotated[
        int | None,
        option(
            SWEEP,
            "Trials to train at the same time. Default: one per core, each with one process.",
            min=THREADS.low,
            max=THREADS.high,
        ),
    ] = None,
    out: Annotated[
        str | None,
        option(SWEEP, "Folder of the sweep. Default: checkpoints/NAME-sweep.", show_default=False),
    ] = None,
    resume: Annotated[
        str | None,
        option(
            SWEEP,
            "Continue the sweep in this folder: finished trials are kept, interrupted ones "
            "continued, others started.",
            metavar="SWEEP",
        ),
    ] = None,
    show: Annotated[
        str | None,
        option(
            SWEEP, "Only print the results in this folder, also while it runs.", metavar="SWEEP"
        ),
    ] = None,
    json: Json = False,
    as_table: Annotated[bool, option(OUTPUT, "Print CSV, a row for each trial.", "--csv")] = False,
) -> None:
    """Compare settings: charrnn sweep corpus.txt --grid hidden=128,256 --grid lr=0.05,0.1,0.2.

    Each trial is a run of train in a folder of its own. Prints one table, sorted by validation
    loss. The end of the text is held out: no trial reads it. Ctrl-C saves all; --resume goes on.
    """
    given = dict(on_the_command_line(context))
    if json and as_table:
        raise UsageError("--json and --csv contradict each other", "one of them")
    for name, folder in (("show", show), ("resume", resume)):
        if folder is not None:
            refuse_others(given, name)
            path, plan = Path(folder), load_plan(Path(folder))
            if name == "show":
                show_results(path, plan, json=json, as_csv=as_table)
                return
            load_joblib()
            check_plan(path, plan)
            run_sweep(path, plan, jobs_wanted(jobs, plan), json=json, as_csv=as_table)
            return
    SEED.check("--search-seed", search_seed)
    HOLD_OUT.check("--hold-out", hold_out)
    if out is not None and (not out or not Path(out).resolve().name):
        raise UsageError(f"--out {out!r} is no folder for a sweep", "--out DIR")
    load_joblib()
    search = search_of(grid or (), ranges or (), fixed or (), random, search_seed)
    budget = {"--epochs": epochs, "--steps": steps, "--minutes": minutes}
    search = with_budget(search, {flag: value for flag, value in budget.items() if value})
    plan, part = planned(corpus or [], built_in, search, hold_out)
    for note in (*part.notes, *search.notes):
        warn(note)
    folder_made = new_folder(Path(out) if out else RUNS / f"{part.name}-sweep")
    plan = SweepPlan(**vars(plan) | {"sha256": write_part(folder_made, part)})
    plan.save(folder_made)
    say(f"{part.described()}")
    run_sweep(folder_made, plan, jobs_wanted(jobs, plan), json=json, as_csv=as_table)


def refuse_others(given: dict[str, str], name: str) -> None:
    """Raise `UsageError` for an option given that an existing sweep does not take."""
    allowed = RESUMABLE if name == "resume" else {"show", "json", "as_table"}
    for other, flag in given.items():
        if other not in allowed:
            what = "FILES" if other == "corpus" else flag
            raise UsageError(
                f"--{name} is for a sweep that has its settings, {what} would change them",
                "it without",
            )


def jobs_wanted(jobs: int | None, plan: SweepPlan) -> int:
    """Return how many trials run at a time: by default one per core, fewer with more workers."""
    workers = int(plan.fixed.get("--workers", "1"))
    usual = max(1, (os.cpu_count() or 1) // workers)
    return min(jobs or usual, len(plan.points))


def with_budget(search: Search, budget: dict[str, float]) -> Search:
    """Return a search whose trials have a budget, by default `DEFAULT_EPOCHS`, and one process.

    Raises `UsageError` for more than one budget.
    """
    flags = {*search.fixed, *search.flags}
    named = [*budget, *(flag for flag in ("--epochs", "--steps", "--minutes") if flag in flags)]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} contradict each other", "one of them")
    fixed = {flag: f"{value!r}" for flag, value in budget.items()} | search.fixed
    if not named:
        fixed["--epochs"] = f"{DEFAULT_EPOCHS:g}"
    if "--minutes" in fixed:
        warn(
            "with --minutes the trials take different numbers of steps, by the load of the "
            "machine; --epochs or --steps compare equal amounts of training"
        )
    fixed.setdefault("--workers", "1")
    return Search(fixed, search.flags, search.points, search.notes)


def planned(
    paths: Sequence[str], built_in: str | None, search: Search, hold_out: float
) -> tuple[SweepPlan, TrainingPart]:
    """Read the corpus and check every trial; return the plan, without the hash of its file."""
    flags = {item.flag for item in train_options().values() if item.parameter in READING}
    reading = {flag: value for flag, value in search.fixed.items() if flag in flags}
    fixed = {flag: value for flag, value in search.fixed.items() if flag not in flags}
    layout = reading.get("--layout")
    if layout is None and built_in is not None:
        layout = natural_layout(built_in)
        reading |= {} if layout is None else {"--layout": layout}
    if layout is not None and "--seed" in search.flags:
        raise UsageError(
            "pairs are held out by seed, so that --grid seed would mix them", "--set seed=1"
        )
    settings = checked(search, layout)
    first = settings[0].params
    if first["val_fraction"] == 0:
        raise UsageError("without validation nothing can be compared", "--set val-fraction=0.1")
    options = TextOptions(first["encoding"], first["as_bytes"], first["normalise"])
    part = read_training_part(paths, built_in, layout, options, hold_out, settings[0].given["seed"])
    for number, one in enumerate(settings, 1):
        try:
            part.check(one)
        except UsageError as error:
            raise refused(where(search, number), error) from error
    words = ["--builtin", built_in] if built_in is not None else [place(path) for path in paths]
    plan = SweepPlan(
        tuple(words), reading, part.file_name, "", hold_out, fixed, search.flags, search.points
    )
    return plan, part


def where(search: Search, number: int) -> str:
    """Name a trial and its settings for a message."""
    point = search.points[number - 1]
    settings = " ".join(f"{flag.removeprefix('--')}={value}" for flag, value in point.items())
    return f"trial {number} ({label(settings[:60])})"


def checked(search: Search, layout: str | None) -> list[CheckedSettings]:
    """Return the settings of every trial as `train` understands them; `UsageError` if it does not.

    Options for reading are among the fixed ones.
    """
    return [
        check_settings(words_of(search.fixed | point), layout, where(search, number))
        for number, point in enumerate(search.points, 1)
    ]


def check_plan(folder: Path, plan: SweepPlan) -> None:
    """Raise `CharRNNError` unless the trials of a stored plan can be run.

    Another person may have written sweep.json: only options that a sweep can set are passed on.
    """
    for flag in {*plan.fixed, *plan.reading}:
        option_called(flag, "sweep.json:", varied=False)
    for flag in plan.flags:
        option_called(flag, "sweep.json:", varied=True)
    layout = plan.reading.get("--layout")
    checked(Search(plan.reading | plan.fixed, plan.flags, plan.points), layout)
    check_part(folder, plan)
