"""A training run from the first screen to the last: start or resume, watch, save, report."""

import contextlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.text import Text
from threadpoolctl import threadpool_limits

from charrnn.arrays import Ids
from charrnn.baselines import Baselines, baselines
from charrnn.calibration import Speed, measure
from charrnn.checkpoint import Checkpoint, CorpusRecord, restore, snapshot
from charrnn.checkpoint import load as load_checkpoint
from charrnn.cli import corpus as corpora
from charrnn.cli.display import (
    TrainingDisplay,
    answer,
    baseline_rows,
    duration,
    facts_table,
    loss_table,
    say,
    warn,
)
from charrnn.cli.run import RUNS, RunFolder, Signals, clock, command_line, machine, to_json
from charrnn.cli.terminal import one_line
from charrnn.decoding import TextOptions
from charrnn.errors import CheckpointError, DivergedError, StorageError, UsageError
from charrnn.evaluation import evaluate
from charrnn.model import Model
from charrnn.network import initialise
from charrnn.npz import JSON
from charrnn.presets import Budget, Plan, plan, with_steps
from charrnn.randomness import Purpose, generator
from charrnn.sampling import Sampling
from charrnn.text import Corpus, split
from charrnn.training import LONGEST_VALIDATION, Evaluation, Step, Stopped, Trainer, train
from charrnn.vocabulary import Vocabulary

SAVE_SECONDS = 30.0
MOST_ROWS = 5_000
MOST_FAILED_SAVES = 3
EVALUATIONS = 10
EVALUATION_SHARE = 0.05
PREVIEW = Sampling(temperature=0.8)
PREVIEW_LENGTH = 140
BASELINE_SECONDS = 3.5e-6
"""Seconds that count tables and compressors take for each character, roughly."""


@dataclass(frozen=True)
class Habits:
    """How a run behaves while it trains; nothing here changes a single weight."""

    sample_every: int | None
    save_every: int | None
    keep: int
    json: bool
    quiet: bool


@dataclass(frozen=True)
class Request:
    """A new run, as asked for."""

    paths: list[str]
    built_in: str | None
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
class Material:
    """A text, ready to train on."""

    vocabulary: Vocabulary
    train: Ids
    held: Ids
    record: CorpusRecord


def start(request: Request, habits: Habits) -> None:
    """Train a new run to its end, or until a signal."""
    threadpool_limits(1, user_api="blas")  # lanes are shared between processes, not products
    parent = None if request.init_from is None else load_checkpoint(_parent(request.init_from))
    corpus = corpora.read(request.paths, request.built_in, request.text)
    material = _prepare(corpus, request, parent)
    settings = dict(request.given)
    if parent is not None:
        settings = _inherit(settings, parent)
    planned = plan(
        request.preset,
        settings,
        len(material.vocabulary),
        len(material.train),
        request.budget,
    )
    for note in (*corpus.notes, *planned.notes):
        warn(note)
    with Signals() as stop, contextlib.ExitStack() as stack:
        trainer, speed = _hire(planned, material, request.threads, parent)
        stack.callback(trainer.close)
        trainer.config = _fix_steps(planned, trainer, material, speed)
        wanted = Path(request.out) if request.out else RUNS / (request.name or corpus.name)
        folder = stack.enter_context(RunFolder.claim(wanted))
        folder.write_facts(
            {
                "command": command_line(),
                "sources": list(corpus.sources),
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "machine": machine(),
            }
        )
        run = Run(folder, trainer, material, habits, stop)
        run.show_first_screen(speed)
        run.go()


def resume(path: str, paths: list[str], habits: Habits) -> None:
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
        material = _split(
            corpora.find_again(checkpoint.corpus, place, paths),
            checkpoint.vocabulary,
            checkpoint.corpus,
        )
        weights = state.parameters or checkpoint.parameters
        trainer = Trainer(checkpoint.config, state.config, material.train, weights)
        stack.callback(trainer.close)
        restore(trainer, state)
        if state.parameters is not None:
            trainer.model.vector[...] = checkpoint.parameters.vector
        folder.drop_rows_after(checkpoint.step)
        if not habits.quiet:
            say(f"resuming {one_line(str(place))} at step {checkpoint.step:,}")
        Run(folder, trainer, material, habits, stop).go()


class Run:
    """Listens to training: shows, logs, saves, and says how it ended."""

    def __init__(
        self,
        folder: RunFolder,
        trainer: Trainer,
        material: Material,
        habits: Habits,
        stop: Signals,
    ) -> None:
        self.folder, self.trainer, self.material = folder, trainer, material
        self.habits, self.stop = habits, stop
        self.display = TrainingDisplay(trainer.config.steps, trainer.progress.step, habits.quiet)
        self._saved_at = time.monotonic()
        self._failed_saves = 0
        self._log_every = max(1, trainer.config.steps // MOST_ROWS)

    def go(self) -> None:
        """Train; on every way out the last good checkpoint is on disk."""
        try:
            reason = self._listen()
        except DivergedError as error:
            self.display.close()
            raise DivergedError(f"{error} (the last good checkpoint stays)") from error
        finally:
            self.display.close()
        self._save("last.npz", resumable=True, final=True)
        if reason == "interrupted":
            say(
                f"stopped at step {self.trainer.progress.step:,}; go on with: "
                f"charrnn train --resume {one_line(str(self.folder.path))}"
            )
            raise typer.Exit(self.stop.exit_code)
        if not (self.folder.path / "best.npz").exists():
            self._save("best.npz", resumable=False, final=True)
        self._report(reason)

    def _listen(self) -> str:
        for event in train(self.trainer, self.material.held, self.stop):
            match event:
                case Step():
                    self._on_step(event)
                case Evaluation():
                    self._on_evaluation(event)
                case Stopped():
                    return event.reason
        raise RuntimeError("training ended without saying so")

    def _on_step(self, event: Step) -> None:
        self.display.step(event)
        if event.step % self._log_every == 0 or event.step == event.steps:
            self.folder.log(
                {
                    "step": event.step,
                    "epoch": round(event.epoch, 6),
                    "characters": event.characters,
                    "nats_per_char": event.nats,
                    "bits_per_char": event.nats / LN2,
                    "gradient_norm": event.gradient_norm,
                    "gradient_norm_clipped": event.gradient_norm_clipped,
                    "lr": event.lr,
                    "chars_per_second": round(event.chars_per_second, 1),
                }
            )
        every = self.habits.sample_every
        if every and event.step % every == 0:
            self.display.sample(event.step, self._preview())
        every = self.habits.save_every
        due = event.step % every == 0 if every else self._seconds_since_save() >= SAVE_SECONDS
        if due and event.step < event.steps:
            self._save("last.npz", resumable=True)
            if self.habits.keep:
                self._save(f"step-{event.step:06d}.npz", resumable=True)
                self.folder.prune(self.habits.keep)

    def _on_evaluation(self, event: Evaluation) -> None:
        self.folder.log(
            {
                "step": event.step,
                "validation_nats_per_char": event.nats,
                "validation_bits_per_char": event.nats / LN2,
            }
        )
        self.folder.flush()
        epoch = event.step / self.trainer.steps_per_epoch
        sample = self._preview() if self.habits.sample_every is None else ""
        self.display.evaluation(event, epoch, sample)
        if event.best:
            self._save("best.npz", resumable=False)

    def _preview(self) -> str:
        if self.habits.quiet:
            return ""
        model = Model(self._checkpoint(resumable=False))
        return "".join(next(model.samples("", PREVIEW_LENGTH, PREVIEW))).strip()

    def _checkpoint(self, *, resumable: bool) -> Checkpoint:
        nats = self.trainer.progress.last_nats
        validation = {} if nats is None else {"nats_per_char": nats}
        return snapshot(
            self.trainer,
            self.material.vocabulary,
            self.material.record,
            validation,
            resumable=resumable,
        )

    def _save(self, name: str, *, resumable: bool, final: bool = False) -> None:
        """Save; a full disk during a long run is a warning, three times in a row the end."""
        try:
            self.folder.save(name, self._checkpoint(resumable=resumable))
            self._failed_saves = 0
        except StorageError as error:
            self._failed_saves += 1
            if final or self._failed_saves >= MOST_FAILED_SAVES:
                raise
            warn(f"not saved, training goes on: {error}")
        self._saved_at = time.monotonic()

    def _seconds_since_save(self) -> float:
        return time.monotonic() - self._saved_at

    def show_first_screen(self, speed: Speed) -> None:
        """Say what is about to happen, and with which settings."""
        trainer, material, record = self.trainer, self.material, self.material.record
        model, config = trainer.model_config, trainer.config
        parameters = len(trainer.parameters.vector)
        epochs = config.steps / trainer.steps_per_epoch
        processes = f"{config.workers} process" + ("es" if config.workers > 1 else "")
        rate = config.characters_per_step / speed.step
        facts = {
            "corpus": f"{record.name}: {len(material.train):,} characters to train on, "
            f"{len(material.held):,} held out",
            "vocabulary": f"{len(material.vocabulary)} characters",
            "model": f"{model.layers} × {model.hidden} {model.cell}, {parameters:,} parameters, "
            f"dropout {model.dropout:g}",
            "memory": f"about {_megabytes(trainer, material):,.0f} MB",
            "speed": f"{rate / 1000:.1f}k characters/s in {processes} of {os.cpu_count()} cores",
            "plan": f"{config.steps:,} steps of {config.batch} × {config.seq_length} characters, "
            f"{epochs:.2f} epochs",
            "time": f"about {duration(_seconds(config.steps, speed, trainer, material))}",
            "folder": str(self.folder.path),
            "chosen": explicit_options(trainer),
        }
        self.display.console().print(facts_table(facts))

    def _report(self, reason: str) -> None:
        """Score the best checkpoint as one stream beside the baselines; say what to type next."""
        best = load_checkpoint(self.folder.path / "best.npz")
        held = self.material.held[:LONGEST_VALIDATION]
        nats: float | None = None
        table: Baselines | None = None
        if len(held) >= 2:
            if not self.habits.quiet:
                say(f"{reason}; scoring {len(held):,} held-out characters as one stream ...")
            nats = evaluate(best.config, best.parameters, held, stop=self.stop)
            table = baselines(
                self.material.train,
                held,
                len(self.material.vocabulary),
                corpora.spelling(self.material.vocabulary),
                stop=self.stop,
            )
        result = self._result(reason, best.step, nats, table)
        if self.habits.json:
            print(to_json(result))
        elif not self.habits.quiet:
            self._print_report(best.step, nats, table)
        if self.stop():
            raise typer.Exit(self.stop.exit_code)

    def _result(
        self, reason: str, best_step: int, nats: float | None, table: Baselines | None
    ) -> dict[str, JSON]:
        progress = self.trainer.progress
        return {
            "run": str(self.folder.path),
            "best": str(self.folder.path / "best.npz"),
            "reason": reason,
            "steps": progress.step,
            "best_step": best_step,
            "train_nats_per_char": progress.smooth_nats,
            "train_bits_per_char": progress.smooth_nats / LN2,
            "validation_nats_per_char": nats,
            "validation_bits_per_char": None if nats is None else nats / LN2,
            "validation_characters": len(self.material.held[:LONGEST_VALIDATION]),
            "parameters": len(self.trainer.parameters.vector),
            "seconds": round(clock(), 1),
            "baselines": None if table is None else table.as_dict(),
        }

    def _print_report(self, best_step: int, nats: float | None, table: Baselines | None) -> None:
        rows: dict[str, float | None] = {
            f"validation, best (step {best_step:,})": nats,
            "training, smoothed": self.trainer.progress.smooth_nats,
        }
        sampled = ""
        if table is not None:
            rows |= baseline_rows(table)
            sampled = ", baselines fitted on a part of the text" if table.sampled else ""
        answer(loss_table(rows, f"validation, best (step {best_step:,})"))
        if nats is not None and table is not None:
            answer(Text(verdict(nats, table) + sampled))
        path = self.folder.path
        hint = f"charrnn sample {one_line(str(path))} --temp 0.8"
        answer(Text(f"{duration(clock())} in all. Next: {hint}"))


LN2 = 0.6931471805599453


def verdict(nats: float, table: Baselines) -> str:
    """Say in a sentence whether the model has learnt more than counting would have."""
    rivals = {"5-gram counts": table.five_gram, "gzip": table.gzip, "xz": table.xz}
    name = min(rivals, key=lambda key: rivals[key])
    gap = rivals[name] - nats
    if gap > 0:
        return f"The model beats the best of them, {name}, by {gap:.3f} nats per character."
    return (
        f"The model does not beat {name} yet ({-gap:.3f} nats behind): "
        "try more --minutes, or more text"
    )


def explicit_options(trainer: Trainer) -> str:
    """Return the options that repeat this run whatever is measured next time."""
    model, config = trainer.model_config, trainer.config
    options: dict[str, object] = {
        "cell": model.cell,
        "layers": model.layers,
        "hidden": model.hidden,
        "dropout": model.dropout,
        "optimiser": config.optimiser,
        "lr": config.lr,
        "seq-length": config.seq_length,
        "batch": config.batch,
        "steps": config.steps,
        "threads": config.workers,
        "seed": config.seed,
    }
    return " ".join(f"--{name} {value}" for name, value in options.items())


def _prepare(corpus: Corpus, request: Request, parent: Checkpoint | None) -> Material:
    """Make ids of a text, with its own vocabulary or the parent's."""
    if parent is not None:
        vocabulary = parent.vocabulary
        if vocabulary.as_bytes != request.text.as_bytes:
            raise UsageError("bytes and characters do not mix; try --bytes as the old run did")
    else:
        vocabulary = Vocabulary.from_text(corpus.text, request.min_count, request.text.as_bytes)
    if unknown := vocabulary.unknown(corpus.text):
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
    return _split(corpus, vocabulary, record)


def _split(corpus: Corpus, vocabulary: Vocabulary, record: CorpusRecord) -> Material:
    ids = vocabulary.encode(corpus.text, "skip")
    begin = split(len(ids), record.val_fraction)
    return Material(vocabulary, ids[:begin], ids[begin:], record)


def _parent(path: str) -> Path:
    place = Path(path)
    return place / "best.npz" if place.is_dir() else place


def _inherit(given: dict[str, Any], parent: Checkpoint) -> dict[str, Any]:
    """Take the model from the parent; `UsageError` if an option asks for another one."""
    config = parent.config.as_dict()
    for key in ("cell", "layers", "hidden"):
        if given.get(key, config[key]) != config[key]:
            raise UsageError(
                f"--{key} {given[key]} does not fit the checkpoint's {config[key]}; try without it"
            )
    return config | given


def _hire(
    planned: Plan, material: Material, threads: int | None, parent: Checkpoint | None
) -> tuple[Trainer, Speed]:
    """Make the trainer with as many workers as were asked for, or as pay off when measured."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}; it must be at least 1")
    most = threads or os.cpu_count() or 1
    workers = max(1, min(most, planned.training.batch))
    if parent is None:
        rng = generator(planned.training.seed, Purpose.WEIGHTS)
        initial = initialise(planned.model, rng)
    else:
        initial = parent.parameters
    while True:
        config = replace(planned.training, workers=workers)
        trainer = Trainer(planned.model, config, material.train, initial)
        try:
            speed = measure(trainer, material.train)
        except BaseException:
            trainer.close()
            raise
        if workers == 1 or threads is not None or speed.sharing_pays:
            return trainer, speed
        trainer.close()
        workers = 1


def _fix_steps(planned: Plan, trainer: Trainer, material: Material, speed: Speed) -> Any:
    """Turn the budget into a number of steps, evaluations and baselines included."""
    steps = planned.budget.steps_of(trainer.steps_per_epoch)
    if steps is not None:
        return with_steps(trainer.config, steps, EVALUATIONS)
    left = 60 * (planned.budget.minutes or 0) - clock() - _closing_seconds(speed, material)
    once = _validated(material) * speed.validation_character
    evaluations = round(EVALUATION_SHARE * left / once) if once > 0 else EVALUATIONS
    evaluations = max(2, min(EVALUATIONS, evaluations))
    steps = max(1, int((left - evaluations * once) / speed.step))
    return with_steps(trainer.config, steps, evaluations)


def _validated(material: Material) -> int:
    return len(material.held[:LONGEST_VALIDATION])


def _closing_seconds(speed: Speed, material: Material) -> float:
    """Return what the final scoring and the baselines will take."""
    read = min(len(material.train), 10_000_000) + _validated(material)
    return _validated(material) * speed.stream_character + read * BASELINE_SECONDS + 0.5


def _seconds(steps: int, speed: Speed, trainer: Trainer, material: Material) -> float:
    every = trainer.config.eval_every
    evaluations = steps / every if every else 0
    once = _validated(material) * speed.validation_character
    return steps * speed.step + evaluations * once + _closing_seconds(speed, material)


def _megabytes(trainer: Trainer, material: Material) -> float:
    """Estimate the memory of a run: window buffers, five times the weights, the ids twice."""
    model, config = trainer.model_config, trainer.config
    window = config.characters_per_step * (model.layers * model.hidden * 24 + 3 * model.outputs)
    ids = 2 * (material.train.nbytes + material.held.nbytes)
    return (4 * (window + 5 * len(trainer.parameters.vector)) + ids) / 1e6 + 60 * config.workers
