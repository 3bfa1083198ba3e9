"""A run before its first step: a new one, or one that is resumed."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from threadpoolctl import threadpool_limits

from charrnn.checkpoint import load as load_checkpoint
from charrnn.cli import corpus as corpora
from charrnn.cli import pair_material
from charrnn.cli.corpus import AnyCorpus, TextMaterial
from charrnn.cli.display import say, warn
from charrnn.cli.pair_material import Material
from charrnn.cli.planning import fix_steps, hire, pace
from charrnn.cli.report import what_is_given, what_was_chosen
from charrnn.cli.run import RUNS, RunFolder, Signals, command_line, machine, storage
from charrnn.cli.terminal import one_line
from charrnn.cli.training_run import Habits, Run
from charrnn.decoding import TextOptions
from charrnn.errors import CheckpointError, UsageError
from charrnn.large_text import LargeCorpus, ids_path
from charrnn.network import initialise
from charrnn.pair_presets import plan_pairs
from charrnn.presets import Budget, Plan, plan
from charrnn.randomness import Purpose, generator
from charrnn.snapshot import Checkpoint, CorpusRecord, restore
from charrnn.training import Trainer
from charrnn.vocabulary import Vocabulary


@dataclass(frozen=True)
class Request:
    """A new run, as asked for."""

    paths: list[str]
    built_in: str | None
    layout: str | None
    text: TextOptions
    min_count: int
    val_fraction: float
    preset: str
    given: dict[str, Any]
    budget: Budget
    threads: int | None
    out: str | None
    name: str | None
    init_from: str | None


@dataclass(frozen=True)
class Start:
    """What a new run begins with: its material, and what fits a network to it and to a budget."""

    name: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    material: Material
    plan: Callable[[Budget], Plan]
    parent: Checkpoint | None
    ids: Path | None = None
    """Where the ids of a large text lie until the run has its folder."""


def start_run(request: Request, habits: Habits) -> None:
    """Train a new run to its end, or until a signal."""
    threadpool_limits(1, user_api="blas")  # lanes are shared between processes, not products
    start = _with_text(request) if request.layout is None else _with_pairs(request, request.layout)
    material = start.material
    planned = start.plan(request.budget)
    for note in (*start.notes, *planned.notes):
        warn(note)
    screen = Console(stderr=True, highlight=False, quiet=habits.quiet)
    screen.print(what_is_given(planned, material))
    ids = start.ids
    with Signals() as stop, contextlib.ExitStack() as stack:
        if ids is not None:
            stack.callback(ids.unlink, missing_ok=True)
        if start.parent is None:
            rng = generator(planned.training.seed, Purpose.WEIGHTS)
            initial = initialise(planned.model, rng)
        else:
            initial = start.parent.parameters
        trainer, speed = hire(planned, material, request.threads, initial, stop)
        stack.callback(lambda: trainer.close())
        if stop():
            raise typer.Exit(stop.exit_code)
        measured = pace(planned, trainer, material, speed)
        refined = start.plan(replace(request.budget, characters_per_second=measured))
        if (refined.model, refined.training) != (planned.model, planned.training):
            # Other epochs than guessed, so other regularisation.
            workers = trainer.config.workers
            trainer.close()
            planned = replace(refined, training=replace(refined.training, workers=workers))
            trainer = Trainer(planned.model, planned.training, material.lessons, initial)
        trainer.config = fix_steps(planned, trainer, material, speed)
        folder = stack.enter_context(RunFolder.claim(_wanted(request, start.name)))
        if ids is not None:
            with storage(folder.path):
                ids.replace(ids_path(folder.path))
        folder.write_facts(
            {
                "command": command_line(),
                "sources": list(start.sources),
                "steps": trainer.config.steps,
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "machine": machine(),
            }
        )
        run = Run(folder, trainer, material, habits, stop)
        screen.print(what_was_chosen(trainer, material, speed, folder.path))
        run.go()


def _with_text(request: Request) -> Start:
    """Read a text, with its own vocabulary or that of the checkpoint to begin from."""
    parent = _parent(request.init_from)
    _check_kind(parent, pairs=False)
    corpus = corpora.read(request.paths, request.built_in, request.text)
    material = _prepare(corpus, request, parent)
    settings = _inherit(request.given, parent)
    V, N = len(material.symbols), len(material.lessons.train)

    def fit(budget: Budget) -> Plan:
        return plan(request.preset, settings, V, N, budget)

    ids = _ids_before(request, corpus.name) if isinstance(corpus, LargeCorpus) else None
    return Start(corpus.name, corpus.sources, corpus.notes, material, fit, parent, ids)


def _with_pairs(request: Request, layout: str) -> Start:
    """Read pairs, with symbols of their own or those of the checkpoint to begin from."""
    parent = _parent(request.init_from)
    _check_kind(parent, pairs=True)
    corpus = pair_material.read(request.paths, request.built_in, layout, request.text)
    record = CorpusRecord(
        name=corpus.name,
        **corpus.fingerprint,
        val_fraction=request.val_fraction,
        encoding=request.text.encoding,
        normalise=request.text.normalise,
        built_in=request.built_in,
    )
    known = None if parent is None else parent.pairing
    material = pair_material.prepare(corpus, layout, record, request.given["seed"], known)
    settings = _inherit(request.given, parent)

    def fit(budget: Budget) -> Plan:
        symbols, train = material.symbols, material.lessons.train
        return plan_pairs(request.preset, settings, symbols, train, budget)

    notes = (*corpus.notes, *material.notes)
    return Start(corpus.name, corpus.sources, notes, material, fit, parent)


def resume_run(path: str, paths: list[str], habits: Habits) -> None:
    """Continue an unfinished run to its planned end, exactly as if it had never stopped."""
    threadpool_limits(1, user_api="blas")
    place = Path(path).parent if path.endswith(".npz") else Path(path)
    if not (place / "last.npz").exists():
        raise CheckpointError(f"no last.npz in {str(place)!r} to resume from; try another run")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Signals())
        folder = stack.enter_context(RunFolder(place))
        checkpoint = load_checkpoint(place / "last.npz")
        state = checkpoint.training
        if state is None:
            raise CheckpointError(f"{str(place)!r} holds no training state; try --init-from")
        if state.finished:
            say(
                f"charrnn: this run is finished, at step {checkpoint.step:,} of "
                f"{state.config.steps:,}; try charrnn train --init-from {one_line(str(place))}"
            )
            return
        if (before := folder.read_facts().get("machine")) not in (None, machine()):
            warn(f"another machine or build than before ({before}): the last bits may differ")
        material = _find_material(checkpoint, state.config.seed, place, paths)
        parameters = checkpoint.parameters
        trainer = Trainer(checkpoint.config, state.config, material.lessons, parameters)
        stack.callback(trainer.close)
        restore(trainer, checkpoint)
        folder.drop_rows_after(checkpoint.step)
        if not habits.quiet:
            say(f"resuming {one_line(str(place))} at step {checkpoint.step:,}")
        Run(folder, trainer, material, habits, stop).go()


def _find_material(checkpoint: Checkpoint, seed: int, place: Path, paths: list[str]) -> Material:
    """Read what a run was trained on once more."""
    record, symbols = checkpoint.corpus, checkpoint.symbols
    if isinstance(symbols, Vocabulary):
        corpus = corpora.find_again(record, place, paths)
        return corpora.encode(corpus, symbols, record, ids_path(place))
    pairs = pair_material.find_again(record, symbols.layout, place, paths)
    return pair_material.prepare(pairs, symbols.layout, record, seed, symbols)


def _prepare(corpus: AnyCorpus, request: Request, parent: Checkpoint | None) -> TextMaterial:
    """Make ids of a text, with its own vocabulary or the parent's."""
    counts = corpora.counts_of(corpus)
    if parent is not None:
        vocabulary = parent.vocabulary
        if vocabulary.as_bytes != request.text.as_bytes:
            raise UsageError("bytes and characters do not mix; try --bytes as the old run did")
    else:
        vocabulary = Vocabulary.from_counts(counts, request.min_count, request.text.as_bytes)
    if unknown := vocabulary.unknown_of(counts):
        whose = "the checkpoint does not know" if parent else "rarer than --min-count"
        shown = one_line(unknown[:40]) + ("…" if len(unknown) > 40 else "")
        warn(f"left out {len(unknown)} different characters, {whose}: {shown}")
    record = CorpusRecord(
        name=corpus.name,
        sha256=corpus.fingerprint["sha256"],
        characters=corpus.fingerprint["characters"],
        val_fraction=request.val_fraction,
        min_count=request.min_count,
        encoding=request.text.encoding,
        as_bytes=request.text.as_bytes,
        normalise=request.text.normalise,
        built_in=None if request.paths else request.built_in or corpora.DEFAULT_CORPUS,
    )
    return corpora.encode(corpus, vocabulary, record, _ids_before(request, corpus.name))


def _wanted(request: Request, name: str) -> Path:
    """Return the folder that was asked for, or the one that is meant."""
    return Path(request.out) if request.out else RUNS / (request.name or name)


def _ids_before(request: Request, name: str) -> Path:
    """Return where the ids of a large text lie until the run has its folder, beside it."""
    wanted = _wanted(request, name)
    return wanted.with_name(f".{wanted.name}.ids-{os.getpid()}")


def _parent(path: str | None) -> Checkpoint | None:
    """Load the checkpoint to begin from, if there is one."""
    if path is None:
        return None
    place = Path(path)
    return load_checkpoint(place / "best.npz" if place.is_dir() else place)


def _check_kind(parent: Checkpoint | None, *, pairs: bool) -> None:
    """Raise `UsageError` if weights of a text are to begin a run on pairs, or the reverse."""
    if parent is not None and isinstance(parent.symbols, Vocabulary) == pairs:
        kind, other = ("pairs", "a text") if pairs else ("a text", "pairs")
        raise UsageError(
            f"--init-from is a model of {other}, this run is on {kind}",
            f"--init-from with a model of {kind}",
        )


def _inherit(given: dict[str, Any], parent: Checkpoint | None) -> dict[str, Any]:
    """Take the model from the parent; `UsageError` if an option asks for another one."""
    if parent is None:
        return given
    config = parent.config.as_dict()
    for key in ("cell", "layers", "hidden"):
        if given.get(key, config[key]) != config[key]:
            raise UsageError(
                f"--{key} {given[key]} does not fit the checkpoint's {config[key]}; try without it"
            )
    return config | given
