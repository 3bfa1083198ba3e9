"""`charrnn train --resume`: an interrupted run, continued to its planned end."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import MERGED, resumable_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import one_line, shell_command
from charrnn.cli.runs import load_pairs, load_text
from charrnn.cli.runs.environment import machine_facts
from charrnn.cli.runs.run_folder import RunFolder, storage_errors
from charrnn.cli.runs.run_status import ENDED
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.train.distillation import distilled_again, teachers_facts, teachers_of_run
from charrnn.cli.train.loop import Run
from charrnn.cli.train.network_plans import MAX_NETWORKS, NGRAMS, PLANNED, NetworkPlan
from charrnn.cli.train.planning import ScoringLimits, cores_each
from charrnn.cli.train.ranks import warn_of_ranks
from charrnn.cli.train.rounds import labelled_pairs
from charrnn.cli.train.run_options import RunOptions
from charrnn.data.file_discovery import STDIN
from charrnn.data.label_ngrams import MAX_ORDER
from charrnn.data.large_text_files import ids_path
from charrnn.errors import CheckpointError
from charrnn.system.mpi import Ranks, world
from charrnn.training.prepared_data import (
    PreparedData,
    PreparedText,
    prepare_pairs,
    prepare_text,
)
from charrnn.training.snapshot import restore
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig


def resume_run(
    path: str,
    paths: list[str],
    run_options: RunOptions,
    on_nonfinite: str | None = None,
    workers: int | None = None,
    teachers: Sequence[str] = (),
) -> None:
    """Continue an unfinished run to its planned end, exactly as if it had never stopped.

    Of a finished run, an interrupted final scoring is repeated. `on_nonfinite` and `workers`
    replace the run's own settings of these names; `teachers` are where its teachers are now, if not
    where run.json tells.
    """
    threadpool_limits(1, user_api="blas")
    source = resumable_in(Path(path))
    place = source.parent
    with contextlib.ExitStack() as stack:
        checkpoint = load_checkpoint(source)
        folder = stack.enter_context(RunFolder(place))
        facts = folder.read_facts()
        state = checkpoint.training
        if state is None:
            raise CheckpointError(
                f"{str(source)!r} holds no training state",
                shell_command("charrnn", "train", "--resume", str(place)),
                shell_command("charrnn", "train", "--init-from", str(source)),
            )
        if state.finished and facts.get("scored") is not False:
            say(
                f"charrnn: this run is finished, at step {checkpoint.step:,} of "
                f"{state.config.steps:,}; try "
                + shell_command("charrnn", "train", "--init-from", str(place))
            )
            return
        if changed := changes(facts.get("machine"), machine_facts()):
            warn(f"another machine or build than before ({changed}): the last bits may differ")
        show = load_text.nothing if run_options.quiet else say
        prepared, sources = _find_material(checkpoint, state.config.seed, place, paths, show)
        known = teachers_of_run(checkpoint.corpus, facts, place, teachers)
        if isinstance(prepared, PreparedText) and known is not None:
            prepared = distilled_again(
                prepared, *known, place, seed=state.config.seed, quiet=run_options.quiet
            )
            folder.update_facts(teachers_facts(prepared, known[0], place))
        if paths and STDIN not in paths:  # what came from a pipe is nowhere to be found again
            folder.update_facts({"sources": list(sources)})
        parameters = checkpoint.parameters
        ranks = world()
        config = replace(state.config, workers=workers_here(state.config, workers, ranks))
        warn_of_ranks(ranks, config.workers, before=facts.get("ranks", 1))
        if on_nonfinite is not None:
            config = replace(config, on_nonfinite=on_nonfinite)
        trainer = Trainer(checkpoint.config, config, prepared.dataset, parameters, ranks)
        stack.callback(trainer.close)
        restore(trainer, checkpoint)
        stop = stack.enter_context(StopOnSignal())
        if ranks is not None or "ranks" in facts:
            folder.update_facts({"ranks": 1 if ranks is None else ranks.size})
        planned = networks_from(facts, place, prepared)
        networks = NetworkPlan(planned, ngrams=ngrams_from(facts, place, prepared))
        limits = limits_from(facts)
        run = Run(folder, trainer, prepared, run_options, stop, limits, networks=networks)
        run.saves.resumed()
        if state.finished:
            run.saves.finished()
            run.finish("finished")
            return
        with storage_errors(folder.metrics.path):
            folder.metrics.drop_after(checkpoint.step, state.progress.evaluated)
        if not run_options.quiet:
            say(f"resuming {one_line(str(place))} at step {checkpoint.step:,}{_from(source)}")
        if ENDED in facts:
            folder.update_facts({ENDED: None})
        run.go()


def changes(before: object, now: Mapping[str, Any]) -> str:
    """Name what differs between the machine that run.json tells and this one; empty if nothing."""
    if not isinstance(before, dict):
        return ""
    return ", ".join(name for name, value in now.items() if before.get(name) != value)


def _from(source: Path) -> str:
    """Name the file that is resumed from, unless it is the usual one."""
    return "" if source.name == "last.npz" else f" (from {one_line(source.name)})"


def limits_from(facts: Mapping[str, Any]) -> ScoringLimits:
    """Return the limits of the final scoring that run.json tells, or the usual ones."""
    stored, usual = facts.get("scoring_limits"), ScoringLimits()
    if not isinstance(stored, dict):
        return usual
    scored, fitted = stored.get("scored"), stored.get("fitted")
    if type(scored) is not int or type(fitted) is not int or min(scored, fitted) < 2:
        return usual
    return ScoringLimits(min(scored, usual.scored), min(fitted, usual.fitted))


def ngrams_from(facts: Mapping[str, Any], place: Path, prepared: PreparedData) -> int:
    """Return n of the longest n-grams that a run still has to count by label; 0: none."""
    order = facts.get(NGRAMS)
    if labelled_pairs(prepared) is None:
        return 0
    if type(order) is not int or not 0 <= order <= MAX_ORDER or (place / MERGED).exists():
        return 0
    return order


def networks_from(facts: Mapping[str, Any], place: Path, prepared: PreparedData) -> int:
    """Return the networks that a run is still to have, the first one included.

    Those after the first are trained from their beginning, with the plan of the first one.
    """
    planned = facts.get(PLANNED)
    if type(planned) is not int or not 1 <= planned <= MAX_NETWORKS or prepared.layout is None:
        return 1
    return 1 if (place / MERGED).exists() else planned


def workers_here(config: TrainingConfig, wanted: int | None, ranks: Ranks | None = None) -> int:
    """Return how many processes share the batches from now on; a note if it is another number.

    A checkpoint of another person does not decide how many processes this machine starts: without
    `wanted`, the number from the command line, there are at most as many as cores of a rank.
    """
    cores = cores_each(ranks)
    workers = min(config.workers, cores) if wanted is None else wanted
    if workers != config.workers:
        processes = f"{config.workers} worker process{'es' * (config.workers > 1)}"
        each = "" if ranks is None else " a rank"
        reason = f" with {cores} core{'s' * (cores > 1)}{each}" if wanted is None else ""
        warn(
            f"the run had {processes}, now {workers}{reason}: the last bits may differ; "
            f"try --workers {config.workers} for the same"
        )
    return workers


def _find_material(
    checkpoint: Checkpoint, seed: int, place: Path, paths: list[str], show: load_text.Say
) -> tuple[PreparedData, tuple[str, ...]]:
    """Read what a run was trained on once more; return it, and the files it is in."""
    record, symbols = checkpoint.corpus, checkpoint.symbols
    if symbols.of_pairs:
        known = checkpoint.pairing
        pairs = load_pairs.find_pairs_again(record, known.layout, place, paths, show)
        return prepare_pairs(pairs, known.layout, record, seed, known), pairs.sources
    corpus = load_text.find_text_again(record, place, paths, show)
    prepared = prepare_text(corpus, checkpoint.vocabulary, record, ids_path(place))
    return prepared, corpus.sources
