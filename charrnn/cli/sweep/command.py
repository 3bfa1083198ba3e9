"""`charrnn sweep`: options and help of the command, and its three uses: new, resumed, shown."""

from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.completion import complete_from
from charrnn.cli.options import DEFAULT_VAL_FRACTION, Json, on_the_command_line, option
from charrnn.cli.output.console import say, warn
from charrnn.cli.sweep.options import (
    epochs_option,
    fixed_option,
    jobs_option,
    minutes_option,
    out_option,
    resume_option,
    steps_option,
)
from charrnn.cli.sweep.plan import load_plan
from charrnn.cli.sweep.planning import (
    begun,
    check_out,
    check_plan,
    planned,
    refuse_others,
    with_budget,
)
from charrnn.cli.sweep.running import run_sweep, show_results
from charrnn.cli.sweep.search import search_of
from charrnn.cli.trials.scheduler import (
    LOCAL,
    BackendOption,
    Machines,
    SchedulerOption,
    load_joblib,
)
from charrnn.data.builtin_pairs import DEMONSTRATIONS
from charrnn.data.builtin_texts import BUILT_IN
from charrnn.errors import UsageError
from charrnn.limits import SEED, Limits, option_name

SEARCH, TRIALS, SWEEP, OUTPUT = "Search", "Trials", "Sweep", "Output"
HOLD_OUT = Limits(0, 0.5, DEFAULT_VAL_FRACTION)
TAKEN_BY = {
    "resume": ("jobs", "backend", "scheduler", "json", "as_table"),
    "show": ("json", "as_table"),
}
"""Parameters that may be given with `--resume` and `--show`."""


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
        list[str] | None, fixed_option(TRIALS, "trial", "cell=gru or bytes=true")
    ] = None,
    epochs: Annotated[float | None, epochs_option(TRIALS, "trial")] = None,
    steps: Annotated[int | None, steps_option(TRIALS, "trial")] = None,
    minutes: Annotated[float | None, minutes_option(TRIALS, "trial")] = None,
    hold_out: Annotated[
        float,
        option(
            TRIALS,
            "Fraction of the corpus that no trial reads: the end of a text. Settings are chosen by "
            "the validation loss on the rest.",
        ),
    ] = DEFAULT_VAL_FRACTION,
    jobs: Annotated[int | None, jobs_option(SWEEP, "trial")] = None,
    backend: BackendOption = LOCAL,
    scheduler: SchedulerOption = None,
    out: Annotated[str | None, out_option(SWEEP, "sweep")] = None,
    resume: Annotated[str | None, resume_option(SWEEP, "sweep", "trial")] = None,
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
    machines = Machines(backend, scheduler, jobs)
    for name, folder in (("show", show), ("resume", resume)):
        if folder is not None:
            refuse_others(given, name, TAKEN_BY[name])
            path, plan = Path(folder), load_plan(Path(folder))
            if name == "show":
                show_results(path, plan, json=json, as_csv=as_table)
                return
            load_joblib()
            check_plan(path, plan)
            run_sweep(path, plan, machines, json=json, as_csv=as_table)
            return
    SEED.check("--search-seed", search_seed)
    HOLD_OUT.check("--hold-out", hold_out)
    check_out(out)
    load_joblib()
    search = search_of(grid or (), ranges or (), fixed or (), random, search_seed)
    search = with_budget(search, {"--epochs": epochs, "--steps": steps, "--minutes": minutes})
    plan, part = planned(corpus or [], built_in, search, hold_out)
    for note in (*part.notes, *search.notes):
        warn(note)
    path, plan = begun(out, plan, part)
    say(part.described())
    run_sweep(path, plan, machines, json=json, as_csv=as_table)
