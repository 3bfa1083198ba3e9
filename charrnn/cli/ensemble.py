"""`charrnn ensemble`: members that differ in their seed, trained side by side, scored together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from charrnn.cli.completion import complete_from
from charrnn.cli.options import Json, on_the_command_line, option
from charrnn.cli.output.console import answer, baseline_rows, loss_table, say, warn
from charrnn.cli.output.safe_text import label, shell_command, write_plain
from charrnn.cli.runs.load_text import find_text_again, spelling
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.sweep.options import (
    epochs_option,
    fixed_option,
    jobs_option,
    minutes_option,
    out_option,
    resume_option,
    steps_option,
)
from charrnn.cli.sweep.plan import SweepPlan, load_plan
from charrnn.cli.sweep.planning import (
    begun,
    check_out,
    check_plan,
    planned,
    refuse_others,
    with_budget,
)
from charrnn.cli.sweep.results import Row, failures, plain, rows_of
from charrnn.cli.sweep.running import failed, require_complete, run_until_stopped
from charrnn.cli.sweep.search import Search, parse_fixed
from charrnn.cli.trials.scheduler import (
    LOCAL,
    BackendOption,
    Machines,
    SchedulerOption,
    load_joblib,
)
from charrnn.data.builtin_texts import BUILT_IN
from charrnn.data.large_text_files import ids_path
from charrnn.evaluation.baselines import Baselines, baselines
from charrnn.inference.ensemble import Ensemble, EnsembleScore
from charrnn.limits import MAX_SEED, Limits, option_name
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS
from charrnn.training.prepared_data import prepare_text

CORPUS, MEMBERS, RUN = "Corpus", "Members", "Run"
DEFAULT_MEMBERS = 4
MEMBER_LIMITS = Limits(2, 100, DEFAULT_MEMBERS)


def ensemble(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="Text files, folders, or - for standard input, as for train. "
            "Default: --builtin python-docs.",
            show_default=False,
        ),
    ] = None,
    built_in: Annotated[
        str | None,
        option(
            CORPUS,
            "Built-in text, as for train.",
            option_name("built_in"),
            autocompletion=complete_from(BUILT_IN),
        ),
    ] = None,
    members: Annotated[
        int, option(MEMBERS, "Number of runs; their seeds follow each other, from that of --set.")
    ] = DEFAULT_MEMBERS,
    fixed: Annotated[list[str] | None, fixed_option(MEMBERS, "member", "hidden=256")] = None,
    epochs: Annotated[float | None, epochs_option(MEMBERS, "member")] = None,
    steps: Annotated[int | None, steps_option(MEMBERS, "member")] = None,
    minutes: Annotated[float | None, minutes_option(MEMBERS, "member")] = None,
    jobs: Annotated[int | None, jobs_option(RUN, "member")] = None,
    backend: BackendOption = LOCAL,
    scheduler: SchedulerOption = None,
    out: Annotated[str | None, out_option(RUN, "ensemble")] = None,
    resume: Annotated[str | None, resume_option(RUN, "ensemble", "member")] = None,
    json: Json = False,
) -> None:
    """Train several networks that differ in their seed: charrnn ensemble corpus.txt --members 4.

    Then scores each alone and the mean of their probabilities on the validation text, and prints
    the commands that use them together. Ctrl-C saves all; --resume goes on.
    """
    machines = Machines(backend, scheduler, jobs)
    load_joblib()
    if resume is not None:
        refuse_others(
            dict(on_the_command_line(context)), "resume", ("jobs", "backend", "scheduler", "json")
        )
        folder, plan = Path(resume), load_plan(Path(resume), "ensemble")
        check_plan(folder, plan)
    else:
        MEMBER_LIMITS.check("--members", members)
        check_out(out)
        search = seeds_of(fixed or (), members)
        search = with_budget(search, {"--epochs": epochs, "--steps": steps, "--minutes": minutes})
        plan, part = planned(corpus or [], built_in, search, 0.0, "ensemble")
        for note in part.notes:
            warn(note)
        folder, plan = begun(out, plan, part)
    run_until_stopped(folder, plan, machines)
    report(folder, plan, json=json)
    require_complete(folder, plan, rows_of(folder, plan))


def seeds_of(fixed: Sequence[str], members: int) -> Search:
    """Return members with consecutive seeds, from that of `--set seed=…` or from 0.

    Raises `UsageError` for a seed that is no whole number, or too large.
    """
    settings = dict(parse_fixed(text) for text in fixed)
    typed = settings.pop("--seed", "0")
    limits = Limits(0, MAX_SEED - members + 1, 0)
    first: object = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 20 else typed
    limits.check("--set seed", first)
    points = tuple({"--seed": str(int(typed) + number)} for number in range(members))
    return Search(settings, ("--seed",), points)


def report(folder: Path, plan: SweepPlan, *, json: bool) -> None:
    """Score the members that are finished, alone and together, and print the result.

    Raises `TrialsFailedError` if fewer than two are.
    """
    rows = rows_of(folder, plan)
    good = sorted((row for row in rows if row.nats is not None), key=lambda row: row.number)
    for line in failures(rows, plan.noun):
        warn(line)
    if len(good) < 2:
        raise failed(rows, f"{len(good)} of {len(rows)} members have a result")
    say(f"scoring {len(good)} members together on the validation text")
    scores, table = score_members(good)
    paths = [str(row.folder) for row in good]
    sample = shell_command("charrnn", "sample", "--ensemble", *paths)
    evaluate = shell_command("charrnn", "eval", "--ensemble", *paths)
    if json:
        write_plain(f"{to_json(as_json(folder, rows, good, scores, table, sample))}\n")
        return
    title = f"ensemble of {len(good)} (mean of probabilities)"
    losses: dict[str, float | None] = {title: scores.whole.nats_per_char}
    for row, score in zip(good, scores.members, strict=True):
        losses[f"{name_of(row)} alone"] = score.nats_per_char
    answer(loss_table(losses | baseline_rows(table), title))
    mean = sum(score.nats_per_char for score in scores.members) / len(good)
    gained = mean - scores.whole.nats_per_char
    answer(
        Text(
            f"{scores.whole.characters:,} validation characters; the ensemble is {gained:.4f} nats "
            f"below the mean of its members, at {len(good)} times the work to use"
        )
    )
    write_plain(f"sample from it: {sample}\nscore a text: {evaluate} FILE\n")


def name_of(row: Row) -> str:
    """Return a member's number and seed."""
    return f"member {row.number} (seed {label(row.point['--seed'])})"


def score_members(rows: Sequence[Row]) -> tuple[EnsembleScore, Baselines]:
    """Return the losses on the validation text, as one stream, and those of the baselines."""
    models = Ensemble.load([row.folder for row in rows])
    first = models.members[0]
    record = first.checkpoint.corpus
    corpus = find_text_again(record, rows[0].folder)
    data = prepare_text(corpus, models.vocabulary, record, ids_path(rows[0].folder)).dataset
    validation = data.validation[:MAX_VALIDATION_CHARACTERS]
    vocabulary = models.vocabulary
    table = baselines(data.train, validation, len(vocabulary), spelling(vocabulary))
    if table is None:
        raise RuntimeError("nothing asked the baselines to stop")
    return models.score(validation), table


def as_json(
    folder: Path,
    rows: Sequence[Row],
    good: Sequence[Row],
    scores: EnsembleScore,
    table: Baselines,
    command: str,
) -> dict[str, Any]:
    """Return the result as JSON values: the ensemble, and each member in a row of its own."""
    alone = {row.number: score for row, score in zip(good, scores.members, strict=True)}
    members = []
    for row in sorted(rows, key=lambda row: row.number):
        nats = alone[row.number].nats_per_char if row.number in alone else None
        members.append(
            {
                "member": row.number,
                "checkpoint": str(row.folder),
                **{plain(flag): value for flag, value in row.point.items()},
                "status": row.outcome.status,
                "exit_code": row.outcome.exit_code,
                "error": row.outcome.error,
                "nats_per_char": nats,
                "bits_per_char": None if nats is None else nats / math.log(2),
            }
        )
    return {
        "ensemble": str(folder),
        "combination": "arithmetic mean of probabilities",
        "nats_per_char": scores.whole.nats_per_char,
        "bits_per_char": scores.whole.bits_per_char,
        "perplexity": scores.whole.perplexity,
        "validation_characters": scores.whole.characters,
        "members": members,
        "baselines": table.as_dict(),
        "command": command,
    }
