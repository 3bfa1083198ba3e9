"""What a new run begins with: its corpus, read and prepared, and the weights of another run."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import RUNS, checkpoint_in
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.options import DEFAULT_VAL_FRACTION
from charrnn.cli.output.console import warn
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.runs import load_pairs, load_text
from charrnn.cli.train.distillation import distilled_text
from charrnn.cli.train.repeat_options import Planner
from charrnn.cli.train.request import TrainRequest
from charrnn.data.large_text_files import AnyCorpus
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.system.files import (
    remove_stale_temporaries,
    temporary_path,
    unlink_if_possible,
)
from charrnn.training.pair_presets import plan_pairs
from charrnn.training.prepared_data import PreparedData, PreparedText, prepare_pairs, prepare_text
from charrnn.training.presets import Budget, Plan, plan


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


def prepare_run(request: TrainRequest, stack: contextlib.ExitStack, *, quiet: bool) -> PreparedRun:
    """Read the training data of a new run.

    Args:
        request: the run.
        stack: removes the ids of a large text, unless the run's folder has taken them.
        quiet: whether to show no progress.
    """
    if request.layout is None:
        return _with_text(request, stack, quiet=quiet)
    return _with_pairs(request, request.layout)


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
