"""`charrnn train --teacher`: trained models whose probabilities are the targets of a run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.records import CorpusRecord
from charrnn.checkpointing.run_records import is_path
from charrnn.cli.output.console import progress_bar, say, warn
from charrnn.cli.output.safe_text import label, shell_command
from charrnn.cli.runs.load_text import source_names
from charrnn.errors import CheckpointError, UsageError
from charrnn.inference.ensemble import check_same_vocabulary
from charrnn.inference.model import load_network
from charrnn.training.distillation import Teachers, rounded
from charrnn.training.prepared_data import PreparedData, PreparedText
from charrnn.training.text_dataset import DistilledText

TEACHERS, GENERATED = "teachers", "generated"
"""Keys of run.json: the paths of the teachers, and how many characters they generate."""


def load_teachers(paths: Sequence[str], prepared: PreparedText) -> Teachers:
    """Return the teachers in these checkpoints.

    Raises `UsageError` if one is named twice, is no language model, or does not have the vocabulary
    of the text.
    """
    found = [find_checkpoint(path) for path in paths]
    places = [path.resolve() for path in found]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"--teacher has {label(str(found[number]))} twice", "another one")
    models = [load_network(path) for path in found]
    first = label(str(found[0]))
    for path, model in zip(found[1:], models[1:], strict=True):
        check_same_vocabulary(models[0], model, first, label(str(path)))
    if models[0].vocabulary != prepared.symbols:
        raise UsageError(
            f"--teacher {first} has another vocabulary than this text",
            "a teacher trained on this text",
        )
    for path, model in zip(found, models, strict=True):
        if not same_split(model.corpus, prepared.record):
            warn(
                f"{label(str(path))} was trained on another text, or with another --val-fraction: "
                "it may know the validation text, whose loss is then too low"
            )
    return Teachers(models)


def same_split(one: CorpusRecord, other: CorpusRecord) -> bool:
    """Return whether two runs have the same training and validation text."""
    return (one.sha256, one.val_fraction) == (other.sha256, other.val_fraction)


def distilled_text(
    prepared: PreparedText,
    paths: Sequence[str],
    generated: int | None,
    *,
    minutes: float | None,
    seed: int,
    quiet: bool,
) -> PreparedText:
    """Return a text with the probabilities of teachers for it, and one that they generate.

    Args:
        prepared: the text.
        paths: the checkpoints of the teachers.
        generated: characters to generate; None for the default.
        minutes: time for the run, of which generating takes a share by default.
        seed: seed of the generated characters.
        quiet: whether to show no progress.
    """
    teachers = load_teachers(paths, prepared)
    train = prepared.dataset.train
    if generated is None:
        generated = teachers.default_generated(len(train), minutes)
    count = rounded(generated)
    if not quiet:
        say(
            f"{len(paths)} teacher{'s' * (len(paths) > 1)}: generating {count:,} characters, and "
            f"reading {len(train):,}"
        )
    with progress_bar(len(train) + count, shown=not quiet, leave=False) as bar:

        def advance(characters: int) -> None:
            bar.update(characters)

        distilled = teachers.distil(train, count, seed, advance)
    dataset = DistilledText(
        train,
        prepared.dataset.validation,
        ids=np.concatenate([train, distilled.generated]),
        probabilities=distilled.probabilities,
    )
    digest = hashlib.sha256(distilled.generated.tobytes()).hexdigest()
    return replace(prepared, dataset=dataset, record=replace(prepared.record, generated=digest))


def teachers_facts(prepared: PreparedData, paths: Sequence[str], place: Path) -> dict[str, Any]:
    """Return what run.json tells of teachers: their paths, and how much they generated.

    Paths are absolute; those in the folder of the run, `place`, are relative to it, so that it can
    be moved.
    """
    if not isinstance(prepared.dataset, DistilledText):
        return {}
    found, home = [find_checkpoint(path).resolve() for path in paths], place.resolve()
    places = [
        path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)
        for path in found
    ]
    return {TEACHERS: places, GENERATED: prepared.dataset.num_generated}


def teachers_in(facts: Mapping[str, Any], place: Path) -> tuple[tuple[str, ...], int]:
    """Return the teachers that run.json tells, and how many characters they generated.

    Args:
        facts: what run.json tells.
        place: the folder of the run, to which paths are relative.

    Raises `CheckpointError` if it does not tell them.
    """
    paths, count = facts.get(TEACHERS), facts.get(GENERATED)
    known = isinstance(paths, list) and bool(paths) and all(is_path(path) for path in paths)
    if not isinstance(paths, list) or not known or type(count) is not int or count < 0:
        raise CheckpointError(
            f"{label(str(place))} was trained with teachers, and its run.json does not tell which",
            "a new run with --init-from and --teacher",
        )
    return tuple(str(place / path) for path in paths), count


def teachers_of_run(
    record: CorpusRecord, facts: Mapping[str, Any], place: Path, paths: Sequence[str]
) -> tuple[tuple[str, ...], int] | None:
    """Return the teachers of a run to resume, and how much they generated; None without teachers.

    Args:
        record: the corpus of the run.
        facts: what its run.json tells.
        place: its folder.
        paths: where the teachers are now; empty for where run.json tells.

    Raises `UsageError` for teachers of a run without any, and `CheckpointError` if one is not there
    or run.json does not tell them.
    """
    if record.generated is None:
        if paths:
            raise UsageError(f"{label(str(place))} has no teachers", "--resume without --teacher")
        return None
    before, count = teachers_in(facts, place)
    found = tuple(paths) or before
    for path in found:
        if not Path(path).exists():
            raise CheckpointError(
                f"there is no teacher {label(path)}",
                shell_command("charrnn", "train", "--resume", str(place), "--teacher", "CKPT")
                + f", {len(before)} in all",
            )
    return found, count


def distilled_again(
    prepared: PreparedText,
    paths: Sequence[str],
    count: int,
    place: Path,
    *,
    seed: int,
    quiet: bool,
) -> PreparedText:
    """Return the text of a run with its teachers, to resume it.

    Raises `CheckpointError` if they generate another text than before.
    """
    again = distilled_text(prepared, paths, count, minutes=None, seed=seed, quiet=quiet)
    if again.record.generated != prepared.record.generated:
        raise CheckpointError(
            f"the teachers of {label(str(place))} generate another text than before: "
            f"{source_names(paths)} changed since, or this is another machine",
            "--teacher with the same ones",
            "a new run with --init-from and --teacher",
        )
    return again
