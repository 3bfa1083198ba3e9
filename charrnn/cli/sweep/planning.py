"""Planning of a sweep or an ensemble: its budget, its corpus, and the check of every trial."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from charrnn.checkpointing.lookup import RUNS
from charrnn.cli.output.console import warn
from charrnn.cli.output.safe_text import label
from charrnn.cli.sweep.plan import SweepPlan, check_part, new_folder, write_part
from charrnn.cli.sweep.search import Search
from charrnn.cli.sweep.training_part import TrainingPart, read_training_part
from charrnn.cli.trials.settings import (
    READING,
    CheckedSettings,
    check_settings,
    option_called,
    refused,
    train_options,
    words_of,
)
from charrnn.data.builtin_pairs import natural_layout
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import place
from charrnn.errors import UsageError

DEFAULT_EPOCHS = 5.0


def check_out(out: str | None) -> None:
    """Raise `UsageError` for a folder without a name, before anything is read."""
    if out is not None and (not out or not Path(out).resolve().name):
        raise UsageError(f"--out {out!r} is no folder for a sweep", "--out DIR")


def refuse_others(given: Mapping[str, str], name: str, allowed: Collection[str]) -> None:
    """Raise `UsageError` for an option given that an existing sweep does not take.

    Args:
        given: the options on the command line, by parameter.
        name: the option that names the sweep.
        allowed: parameters that it takes besides.
    """
    for other, flag in given.items():
        if other not in {name, *allowed}:
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


def with_budget(search: Search, wanted: Mapping[str, float | None]) -> Search:
    """Return a search whose trials have a budget, by default `DEFAULT_EPOCHS`, and one process.

    `wanted` has the values of `--epochs`, `--steps` and `--minutes`.
    Raises `UsageError` for more than one budget.
    """
    budget = {flag: value for flag, value in wanted.items() if value is not None}
    flags = {*search.fixed, *search.flags}
    named = [*budget, *(flag for flag in ("--epochs", "--steps", "--minutes") if flag in flags)]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} contradict each other", "one of them")
    fixed = {flag: str(value) for flag, value in budget.items()} | search.fixed
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
    paths: Sequence[str],
    built_in: str | None,
    search: Search,
    hold_out: float,
    kind: str = "sweep",
) -> tuple[SweepPlan, TrainingPart]:
    """Read the corpus and check every trial; return the plan, without the hash of its file."""
    flags = {item.flag for item in train_options().values() if item.parameter in READING}
    reading = {flag: value for flag, value in search.fixed.items() if flag in flags}
    fixed = {flag: value for flag, value in search.fixed.items() if flag not in flags}
    layout = reading.get("--layout")
    if layout is None and built_in is not None:
        layout = natural_layout(built_in)
        reading |= {} if layout is None else {"--layout": layout}
    if layout is not None and kind == "ensemble":
        raise UsageError(
            "an ensemble averages the characters that models of texts predict, and these are pairs",
            "charrnn sweep with --set layout=LAYOUT",
        )
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
        tuple(words),
        reading,
        part.file_name,
        "",
        hold_out,
        fixed,
        search.flags,
        search.points,
        kind,
    )
    return plan, part


def begun(out: str | None, plan: SweepPlan, part: TrainingPart) -> tuple[Path, SweepPlan]:
    """Make the folder of a new sweep or ensemble, with its plan and what its runs read."""
    folder = new_folder(Path(out) if out else RUNS / f"{part.name}-{plan.kind}")
    plan = replace(plan, sha256=write_part(folder, part))
    plan.save(folder)
    return folder, plan


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
