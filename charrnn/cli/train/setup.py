"""A new run: reading its corpus, planning, measuring, and making its folder."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import check_storable, load_checkpoint
from charrnn.checkpointing.lookup import RUNS, checkpoint_in
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.options import DEFAULT_VAL_FRACTION
from charrnn.cli.output.console import Screen, warn
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.runs import load_pairs, load_text
from charrnn.cli.runs.environment import command_line, machine_facts, seconds_since_start
from charrnn.cli.runs.run_folder import RunFolder, storage_errors
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.train.baseline_speed import measure_baselines
from charrnn.cli.train.distillation import distilled_text, teachers_facts
from charrnn.cli.train.early_annealing import EarlyAnnealing
from charrnn.cli.train.first_screen import what_is_given, what_was_chosen
from charrnn.cli.train.loop import Run
from charrnn.cli.train.network_plans import (
    NGRAMS,
    PLANNED,
    budget_of_first,
    networks_in,
    networks_sharing_time,
)
from charrnn.cli.train.planning import (
    closing_seconds,
    create_trainer,
    fix_steps,
    measured_budget,
    scoring_limits,
    too_short,
    validation_seconds,
)
from charrnn.cli.train.ranks import warn_of_ranks
from charrnn.cli.train.repeat_options import Planner, repeating_options
from charrnn.cli.train.replanning import Expected, Replanning
from charrnn.cli.train.request import TrainRequest
from charrnn.cli.train.rounds import OWN_PLAN, Rounds, in_rounds, labelled_pairs
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.teacher_runs import TRAIN_TEACHERS
from charrnn.data.file_discovery import STDIN
from charrnn.data.large_text_files import AnyCorpus, ids_path
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.system.files import (
    move,
    remove_stale_temporaries,
    temporary_path,
    unlink_if_possible,
)
from charrnn.system.mpi import world
from charrnn.training.distillation import teachers_by_time
from charrnn.training.pair_presets import plan_pairs
from charrnn.training.prepared_data import PreparedData, PreparedText, prepare_pairs, prepare_text
from charrnn.training.presets import MAX_MUON_HIDDEN, Budget, Plan, plan
from charrnn.training.trainer import Trainer


@dataclass(frozen=True)
class PreparedRun:
    """What a new run begins with: its material, and what fits a network to it and to a budget."""

    name: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    prepared: PreparedData
    planner: Planner
    parent: Checkpoint | None
    ids: Path | None = None
    """Where the ids of a large text lie until the run has its folder."""


def train_run(
    request: TrainRequest, run_options: RunOptions, folder: RunFolder | None = None
) -> int:
    """Train a network to its end, or until a signal.

    Returns 0, or without training how many teachers are to be trained first, which depends on the
    speed of this machine.

    Args:
        request: the run.
        run_options: how it is shown and saved.
        folder: its folder, if it has one.
    """
    with contextlib.ExitStack() as stack:
        if request.layout is None:
            start = _with_text(request, stack, quiet=run_options.quiet)
        else:
            start = _with_pairs(request, request.layout)
        prepared = start.prepared

        ranks = world()
        alone = ranks is not None or start.parent is not None

        def sharing(budget: Budget) -> int:
            return networks_sharing_time(request.networks, prepared, budget, alone=alone)

        def plan_for(budget: Budget) -> Plan:
            own = budget_of_first(budget, sharing(budget))
            if request.teachers:
                return student_plan(start, request, own)
            return start.planner(request.preset, request.given, own)

        planned = plan_for(request.budget)
        check_storable(planned.model, planned.training, prepared.symbols)
        for note in (*start.notes, *planned.notes) if folder is None else ():
            warn(note)
        screen = Screen(stderr=True, highlight=False, quiet=run_options.quiet)
        screen.print(what_is_given(prepared))
        if request.train_teachers:
            if ranks is not None:
                raise UsageError(
                    "--train-teachers starts processes of this machine, and mpirun has started its "
                    "own",
                    "--teacher CKPT",
                )
            return request.train_teachers

        def initial_for(planned: Plan) -> Parameters:
            if start.parent is not None:
                return start.parent.parameters
            return initialise(planned.model, generator(planned.training.seed, Purpose.WEIGHTS))

        initial = initial_for(planned)
        trainer, speed = create_trainer(planned, prepared, request.workers, initial, ranks)
        stack.callback(lambda: trainer.close())
        measured = measured_budget(request.budget, trainer, speed)
        if not alone and (count := teachers_wanted(request, prepared, measured)):
            return count
        refined = plan_for(measured)
        if refined.model.hidden != planned.model.hidden:  # a faster or slower machine than typical
            trainer.close()
            planned, initial = refined, initial_for(refined)
            trainer, speed = create_trainer(planned, prepared, request.workers, initial, ranks)
        elif (refined.model, refined.training) != (planned.model, planned.training):
            # Other epochs than guessed, so other regularisation.
            workers = trainer.config.workers
            trainer.close()
            planned = replace(refined, training=replace(refined.training, workers=workers))
            trainer = Trainer(planned.model, planned.training, prepared.dataset, initial, ranks)
        planned = replace(planned, budget=refined.budget)
        if request.budget.minutes is not None:
            speed = replace(speed, baseline_character=measure_baselines(prepared))
        trainer.config = fix_steps(planned, trainer, prepared, speed)
        round_config = in_rounds(trainer.config, trainer, prepared, request.budget, request.given)
        trainer.config = round_config or trainer.config
        val_limit = trainer.config.val_limit
        limits = scoring_limits(request.budget, speed, prepared, val_limit)
        closing = closing_seconds(speed, prepared, limits, val_limit)
        once = validation_seconds(speed, prepared, val_limit)
        networks = networks_in(
            1 if alone and request.networks is None else request.networks,
            trainer.model_config.hidden,
            request.budget,
            in_rounds=round_config is not None,
            closing_seconds=closing,
            ngrams=0 if trainer.config.balance and request.ngrams is None else request.ngrams,
            classifies=labelled_pairs(prepared) is not None,
            sharing=sharing(measured),
            validation_seconds=once,
            given=request.network_plans,
        )
        minutes = planned.budget.minutes
        short = too_short(request.budget, trainer.config.steps)
        if short is not None:
            warn(short)
        warn_of_ranks(ranks, trainer.config.workers, speed)
        stop = stack.enter_context(StopOnSignal())  # from here on there is something to save
        facts = {} if folder is None else folder.read_facts()
        if folder is None:
            folder = stack.enter_context(RunFolder.claim(wanted_folder(request, start.name)))
        path = folder.path
        if start.ids is not None:
            with storage_errors(path):
                move(start.ids, ids_path(path))

        def repeating() -> str:
            return repeating_options(
                trainer, prepared, start.planner, request.init_from, request.teachers
            )

        options = repeating()
        folder.write_facts(
            {
                "command": command_line(),
                "sources": list(start.sources),
                "steps": trainer.config.steps,
                "chosen": options,
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "machine": machine_facts(),
                "scored": False,
                "scoring_limits": vars(limits),
                **teachers_facts(prepared, request.teachers, path),
                **{key: facts[key] for key in (TRAIN_TEACHERS,) if key in facts},
                **({NGRAMS: networks.ngrams} if networks.ngrams else {}),
                **({PLANNED: networks.planned} if networks.planned > 1 else {}),
                **({} if ranks is None else {"ranks": ranks.size}),
            }
        )

        chosen = what_was_chosen(trainer, prepared, speed, path, limits, options, ranks, networks)
        screen.print(chosen)
        replanning = rounds = annealing = None
        if request.budget.minutes is not None and round_config is not None:
            rounds = Rounds(60 * request.budget.minutes, closing)
        elif minutes is not None:
            expected = Expected(60 * minutes, speed.step, max(1e-9, once), closing)
            replanning = Replanning(expected)
            if not any(name in request.given for name in OWN_PLAN):
                annealing = EarlyAnnealing.of(prepared, minutes, closing)
        Run(
            folder,
            trainer,
            prepared,
            run_options,
            stop,
            limits,
            replanning,
            repeating,
            rounds,
            networks,
            annealing,
        ).go()
    return 0


def student_plan(start: PreparedRun, request: TrainRequest, budget: Budget) -> Plan:
    """Return the plan of a student: its size by all of the time, its dropout by what is left."""
    whole = start.planner(request.preset, request.given, budget)
    given = dict(request.given)
    if start.parent is None and request.preset == "default":
        given.setdefault("hidden", min(whole.model.hidden, MAX_MUON_HIDDEN))
    return replace(start.planner(request.preset, given, time_left(budget)), budget=budget)


def time_left(budget: Budget) -> Budget:
    """Return a budget with the minutes that are left once teachers were trained and read."""
    if budget.minutes is None:
        return budget
    left = budget.minutes - seconds_since_start() / 60
    return replace(budget, minutes=max(budget.minutes / 100, left))


def teachers_wanted(request: TrainRequest, prepared: PreparedData, budget: Budget) -> int:
    """Return how many teachers a run trains first, if none are asked for.

    Settings of the network or of training that are given are not those of teachers; with them there
    are none.
    """
    if (
        request.train_teachers is not None
        or request.teachers
        or request.preset != "default"
        or STDIN in request.paths
        or not isinstance(prepared, PreparedText)
        or not request.given.keys() <= NO_SETTINGS
    ):
        return 0
    return teachers_by_time(len(prepared.dataset.train), budget)


NO_SETTINGS = {"seed", "backend", "eval_every", "val_limit", "patience", "on_nonfinite"}
"""Fields of the configurations that decide neither a network nor how it learns."""


MAX_VALIDATION_PAIRS = 4_000
"""Most pairs that are validated by default: with so many, the standard error of a share of right
answers is 0.8 % at most, and more of them are worth more in training."""


def default_val_fraction(pairs: int) -> float:
    """Return the share of pairs that is validated by default.

    Example:
        >>> default_val_fraction(20_000), default_val_fraction(100_000)
        (0.1, 0.04)
    """
    most = MAX_VALIDATION_PAIRS / max(1, pairs)
    return DEFAULT_VAL_FRACTION if most >= DEFAULT_VAL_FRACTION else round(most, 4)


def check_destination(request: TrainRequest) -> None:
    """Raise `UsageError` for a name that is a path or nothing, before anything is read."""
    if request.out is not None and (not request.out or not Path(request.out).resolve().name):
        raise UsageError(f"--out {request.out!r} is no folder for a run", "--out DIR")
    name = request.name
    if name is not None and (name in ("", ".", "..") or name != Path(name).name):
        raise UsageError(f"--name {name!r} is not a plain name", "--out DIR for a path")


def _with_text(request: TrainRequest, stack: contextlib.ExitStack, *, quiet: bool) -> PreparedRun:
    """Read a text, with its own vocabulary or that of the checkpoint to begin from.

    `stack` removes the ids of a large text, unless the run's folder has taken them.
    """
    parent = _parent(request.init_from)
    _check_kind(parent, pairs=False)
    corpus = load_text.read_text(request.paths, request.built_in, request.text)
    _check_same(request, corpus.sources, corpus.fingerprint["sha256"])
    ids = None
    if corpus.on_disk:
        ids = _ids_before(wanted_folder(request, corpus.name))
        remove_stale_temporaries(ids.parent)
        stack.callback(unlink_if_possible, ids)
    prepared = _prepare(corpus, request, parent, ids)
    if request.teachers:
        prepared = distilled_text(
            prepared,
            request.teachers,
            request.generated,
            minutes=request.budget.minutes,
            seed=request.given["seed"],
            quiet=quiet,
        )
    V, N = len(prepared.symbols), len(prepared.dataset.arrays["ids"])

    def planner(preset: str, given: Mapping[str, Any], budget: Budget) -> Plan:
        inherited = _inherit(given, parent)
        return plan(preset, inherited, V, N, budget, has_teachers=bool(request.teachers))

    remarks = load_text.text_remarks(corpus, prepared.symbols, min_count=parent is None)
    notes = (*corpus.notes, *remarks)
    return PreparedRun(corpus.name, corpus.sources, notes, prepared, planner, parent, ids)


def _with_pairs(request: TrainRequest, layout: str) -> PreparedRun:
    """Read pairs, with symbols of their own or those of the checkpoint to begin from."""
    parent = _parent(request.init_from)
    _check_kind(parent, pairs=True)
    corpus = load_pairs.read_given_pairs(request.paths, request.built_in, layout, request.text)
    _check_same(request, corpus.sources, corpus.fingerprint["sha256"])
    val_fraction = request.val_fraction
    if val_fraction is None:
        val_fraction = default_val_fraction(len(corpus.pairs))
    record = CorpusRecord(
        name=corpus.name,
        **corpus.fingerprint,
        val_fraction=val_fraction,
        encoding=request.text.encoding,
        normalise=request.text.normalise,
        built_in=request.built_in,
    )
    known = None if parent is None else parent.pairing
    prepared = prepare_pairs(corpus, layout, record, request.given["seed"], known)

    def planner(preset: str, given: Mapping[str, Any], budget: Budget) -> Plan:
        symbols, train = prepared.symbols, prepared.dataset.train
        return plan_pairs(preset, _inherit(given, parent), symbols, train, budget)

    notes = (*corpus.notes, *load_pairs.pairs_remarks(corpus, layout), *prepared.notes)
    return PreparedRun(corpus.name, corpus.sources, notes, prepared, planner, parent)


def _check_same(request: TrainRequest, sources: Sequence[str], sha256: object) -> None:
    """Raise `TextError` if the training data of another run have changed since."""
    if request.sha256 not in (None, sha256):
        raise TextError(
            f"{load_text.source_names(sources)} has changed since the run of --like",
            "--like RUN FILE to train on it as it is now",
        )


def _prepare(
    corpus: AnyCorpus, request: TrainRequest, parent: Checkpoint | None, ids: Path | None
) -> PreparedText:
    """Make ids of a text, with its own vocabulary or the parent's."""
    counts = corpus.counts
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
        val_fraction=DEFAULT_VAL_FRACTION if request.val_fraction is None else request.val_fraction,
        min_count=request.min_count,
        encoding=request.text.encoding,
        as_bytes=request.text.as_bytes,
        normalise=request.text.normalise,
        built_in=None if request.paths else request.built_in or load_text.DEFAULT_CORPUS,
    )
    return prepare_text(corpus, vocabulary, record, ids or Path())


def wanted_folder(request: TrainRequest, name: str) -> Path:
    """Return the folder that was asked for, or the one that is meant."""
    return Path(request.out) if request.out else RUNS / (request.name or name)


def _ids_before(wanted: Path) -> Path:
    """Return where the ids of a large text lie until the run has its folder.

    That is in the nearest folder above it that exists. The name is that of a temporary file, so
    that one which a killed process leaves is removed by the next.
    """
    folder = wanted.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return temporary_path(folder / f"{wanted.name or 'run'}.ids")


def _parent(path: str | None) -> Checkpoint | None:
    """Load the checkpoint to begin from, if there is one."""
    return None if path is None else load_checkpoint(checkpoint_in(Path(path)))


def _check_kind(parent: Checkpoint | None, *, pairs: bool) -> None:
    """Raise `UsageError` if weights of a text are to begin a run on pairs, or the reverse."""
    if parent is not None and parent.symbols.of_pairs != pairs:
        kind, other = ("pairs", "a text") if pairs else ("a text", "pairs")
        raise UsageError(
            f"--init-from is a model of {other}, this run is on {kind}",
            f"--init-from with a model of {kind}",
        )


def _inherit(given: Mapping[str, Any], parent: Checkpoint | None) -> Mapping[str, Any]:
    """Take the model from the parent; `UsageError` if an option asks for another one."""
    if parent is None:
        return given
    config = parent.config.as_dict()
    for key in ("cell", "layers", "hidden", "attention"):
        if given.get(key, config[key]) != config[key]:
            raise UsageError(
                f"--{key} {given[key]} does not fit the checkpoint's {config[key]}; try without it"
            )
    config["bidirectional"] = parent.config.bidirectional is not None
    if given.get("bidirectional", config["bidirectional"]) != config["bidirectional"]:
        option = "--bidirectional" if given["bidirectional"] else "--no-bidirectional"
        raise UsageError(f"{option} does not fit the checkpoint's cells; try without it")
    return config | dict(given)
