"""Sections that every report has: what was trained, the loss during training, how to repeat it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from charrnn import __version__
from charrnn.checkpointing.run_records import sources_in
from charrnn.cli.info import readable
from charrnn.cli.output.safe_text import shell_command
from charrnn.cli.report.content import Chart, Command, Figures, Paragraph, Section, Series
from charrnn.cli.report.run_data import RunData, file_names
from charrnn.inference.description import describe

CURVE_POINTS = 240
"""Points of the curve of the training loss, each a mean over steps next to each other."""

TABLE_POINTS = 8

MAX_LISTED_FILES = 8


def trained_section(run: RunData, more: dict[str, str]) -> Section:
    """Say what was trained on what; `more` are further lines, by their titles."""
    facts = readable({"path": ""} | describe(run.checkpoint))
    del facts["checkpoint"]
    facts["fingerprint"] = f"sha256 {run.checkpoint.corpus.sha256}"
    if run.last is not None:
        last = readable({"path": ""} | describe(run.last))
        facts |= {name: last[name] for name in ("training", "state")}
    else:
        facts["training"] = "not known: there is no last.npz with the state of training"
    if "step" in facts:
        facts["step of this model"] = facts.pop("step")
    if isinstance(started := run.facts.get("started"), str):
        facts["started"] = started
    rows = tuple((facts | more).items())
    return Section("trained", "What was trained on what", (Figures((), rows, texts=2),))


def curve_section(run: RunData) -> Section:
    """Show the loss during training, and at each validation."""
    title = "Loss during training"
    steps: list[int] = []
    nats: list[float] = []
    validated: dict[int, float] = {}
    for row in run.metrics():
        if (value := row.get("nats_per_char")) is not None:
            steps.append(row["step"])
            nats.append(value)
        for name in ("validation_nats_per_char", "validation_nats_per_symbol"):
            if name in row:
                validated[row["step"]] = row[name]
    if not steps and not validated:
        return Section.missing("curve", title, "There is no metrics.jsonl of this run to read.")
    unit = "symbol" if run.checkpoint.symbols.of_pairs else "character"
    x, y = means(steps, nats, CURVE_POINTS)
    series = [Series("training", x, y)] if x else []
    if validated:
        series.append(Series("held out", list(validated), list(validated.values()), marked=True))
    chart = Chart(
        f"Loss in nats per {unit} by training step",
        "training step",
        f"nats per {unit}",
        tuple(series),
        curve_table(x, y, validated, unit),
    )
    return Section("curve", title, (chart, *curve_remarks(run, validated, unit)))


def curve_remarks(run: RunData, validated: dict[int, float], unit: str) -> Iterator[Paragraph]:
    """Yield sentences on the best validation and on the end of the run."""
    if validated:
        best = min(validated, key=lambda step: validated[step])
        yield Paragraph(
            f"The lowest loss on the held-out part during training was {validated[best]:.4f} nats "
            f"per {unit}, at step {best:,}. The training loss is measured with dropout, where "
            "there is any, and before each update."
        )
    state = None if run.last is None else run.last.training
    if state is not None and not state.finished:
        yield Paragraph(
            f"The run is not finished: it has taken {state.progress.step:,} of "
            f"{state.config.steps:,} steps."
        )


def means(
    steps: Sequence[int], values: Sequence[float], count: int
) -> tuple[list[float], list[float]]:
    """Return at most `count` points: the means of equally many rows next to each other."""
    size = max(1, math.ceil(len(steps) / count))
    x, y = [], []
    for begin in range(0, len(steps), size):
        part = slice(begin, begin + size)
        x.append(math.fsum(steps[part]) / len(steps[part]))
        y.append(math.fsum(values[part]) / len(values[part]))
    return x, y


def curve_table(
    x: Sequence[float], y: Sequence[float], validated: dict[int, float], unit: str
) -> Figures:
    """Return the loss at some steps: those of validations, or evenly spaced ones."""
    known = list(validated) or [round(step) for step in x]
    stride = max(1, math.ceil(len(known) / TABLE_POINTS))
    chosen = known[::-stride][::-1]
    rows = []
    for step in chosen:
        near = min(range(len(x)), key=lambda i: abs(x[i] - step)) if x else None
        training = "" if near is None else f"{y[near]:.4f}"
        held_out = f"{validated[step]:.4f}" if step in validated else ""
        rows.append((f"{step:,}", training, held_out))
    columns = ("step", "training", "held out")
    return Figures(columns, tuple(rows), texts=0, title=f"Nats per {unit} at some steps")


def repeat_section(run: RunData) -> Section:
    """Give the command that trains the same model again."""
    title = "How to repeat it"
    machine = machine_rows(run.facts)
    about = (Figures((), machine, texts=2, title="Trained with"),) if machine else ()
    chosen, typed = run.facts.get("chosen"), run.facts.get("command")
    if isinstance(chosen, str):
        reason = (
            "With the same data, the same versions and a machine of the same kind, this command "
            "trains the same model, bit for bit."
        )
        command = f"{shell_command('charrnn', 'train', *corpus_words(run))} {chosen}"
        return Section("repeat", title, (Paragraph(reason), Command(command), *about))
    if isinstance(typed, list) and all(isinstance(word, str) for word in typed):
        reason = "The run was started with this command; what it chose itself is not known."
        command = shell_command(*(PurePath(word).name or word for word in typed))
        return Section("repeat", title, (Paragraph(reason), Command(command), *about))
    reason = "The options of this run are not known: there is no run.json beside the model."
    return Section("repeat", title, (Paragraph(reason, missing=True), *about))


def corpus_words(run: RunData) -> list[str]:
    """Return the arguments that name the training data, without folders."""
    built_in = run.checkpoint.corpus.built_in
    if built_in is not None:
        return ["--builtin", built_in]
    names = file_names(sources_in(run.facts))
    return list(names[:MAX_LISTED_FILES]) or ["FILE"]


def machine_rows(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return versions and hardware of run.json, and the version that wrote the report."""
    machine = facts.get("machine")
    if not isinstance(machine, dict):
        return ()
    found = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in machine.items()
        if isinstance(name, str) and isinstance(value, str | int | list)
    }
    return (*list(found.items())[:20], ("report written by charrnn", __version__))
