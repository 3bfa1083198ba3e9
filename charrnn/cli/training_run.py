"""A training run under way: listens to training, shows, logs, saves, and says how it ended."""

import math
import time
from dataclasses import dataclass

import typer

from charrnn.checkpoint import load as load_checkpoint
from charrnn.cli.corpus import TextMaterial
from charrnn.cli.display import TrainingDisplay, say, warn
from charrnn.cli.pair_material import Material
from charrnn.cli.pair_report import PairResult, pair_result, quoted
from charrnn.cli.report import TextResult, text_result
from charrnn.cli.run import RunFolder, Signals, to_json
from charrnn.cli.terminal import one_line, write_plain
from charrnn.cli.text_display import decoded_text
from charrnn.cli.watch import WatchedRun
from charrnn.errors import DivergedError, StorageError
from charrnn.events import Evaluation, Look, Step, Stopped
from charrnn.model import Model
from charrnn.npz import JSON
from charrnn.prediction import Predictor
from charrnn.sampling import Sampling
from charrnn.snapshot import Checkpoint, snapshot
from charrnn.training import Trainer, train
from charrnn.watching import Watcher

LN2 = math.log(2)
SAVE_SECONDS = 30.0
MOST_ROWS = 5_000
MOST_FAILED_SAVES = 3
PREVIEW = Sampling(temperature=0.8)
PREVIEW_LENGTH = 140


@dataclass(frozen=True)
class Habits:
    """How a run behaves while it trains; nothing here changes a single weight."""

    sample_every: int | None
    save_every: int | None
    keep: int
    watch_gradients: bool
    json: bool
    quiet: bool


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
        self.watched = WatchedRun()
        if habits.watch_gradients:
            trainer.watch = Watcher(trainer)
        self._saved_at = time.monotonic()
        self._failed_saves = 0
        self._log_every = max(1, trainer.config.steps // MOST_ROWS)

    def go(self) -> None:
        """Train; on every way out the last good checkpoint is on disk."""
        try:
            reason = self._listen()
        except DivergedError as error:
            self.display.close()
            kept = " (last.npz is from before)" if (self.folder.path / "last.npz").exists() else ""
            raise DivergedError(f"{error}{kept}") from error
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
        for event in train(self.trainer, self.stop):
            match event:
                case Step():
                    self._on_step(event)
                case Evaluation():
                    self._on_evaluation(event)
                case Look():
                    self._on_look(event)
                case Stopped():
                    return event.reason
        raise RuntimeError("training ended without saying so")

    def _on_step(self, event: Step) -> None:
        self.display.step(event)
        if event.step % self._log_every == 0 or event.step == event.steps:
            row: dict[str, JSON] = {
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
            self.folder.log(row)
            self.watched.add(row)
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

    def _on_look(self, event: Look) -> None:
        row: dict[str, JSON] = {
            "step": event.step,
            "gradient_norms": event.gradient_norms,
            "update_to_weight": event.update_to_weight,
            "profile_every": event.profile_every,
        }
        if event.gradient_by_lag is not None:
            row["gradient_by_lag"] = event.gradient_by_lag
        self.folder.log(row)
        self.watched.add(row)

    def _on_evaluation(self, event: Evaluation) -> None:
        row: dict[str, JSON] = {"step": event.step}
        for name, value in event.figures.items():
            row[f"validation_{name}"] = value
            if name.startswith("nats"):
                row[f"validation_{name.replace('nats', 'bits')}"] = value / LN2
        self.folder.log(row)
        self.watched.add(row)
        self.folder.flush()
        epoch = event.step / self.trainer.steps_per_epoch
        sample = self._preview() if self.habits.sample_every is None else ""
        self.display.evaluation(event, epoch, sample)
        if self.habits.watch_gradients:
            self.display.panel(self.watched)
        if event.best:
            self._save("best.npz", resumable=False)

    def _preview(self) -> str:
        """Return what the model writes now, or answers to a few examples that are held out."""
        if self.habits.quiet:
            return ""
        now, material = self._checkpoint(resumable=False), self.material
        if isinstance(material, TextMaterial):
            written = "".join(next(Model(now).samples("", PREVIEW_LENGTH, PREVIEW)))
            return decoded_text(written, as_bytes=material.symbols.as_bytes).strip()
        predictor = Predictor(now.config, now.parameters, now.pairing)
        answers = predictor.answer([pair.input for pair in material.shown])
        return "\n".join(
            quoted(pair.input, pair.output, one.text)
            for pair, one in zip(material.shown, answers, strict=True)
        )

    def _checkpoint(self, *, resumable: bool) -> Checkpoint:
        material = self.material
        return snapshot(self.trainer, material.symbols, material.record, resumable=resumable)

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

    def _report(self, reason: str) -> None:
        """Score the best checkpoint on what is held out."""
        best = load_checkpoint(self.folder.path / "best.npz")
        material, trainer, folder = self.material, self.trainer, self.folder.path
        result: TextResult | PairResult
        if isinstance(material, TextMaterial):
            if material.lessons.held_out and not self.habits.quiet:
                count = material.lessons.held_out
                say(f"{reason}; scoring {count:,} held-out characters as one stream ...")
            result = text_result(folder, reason, trainer, material, best, self.stop)
        else:
            result = pair_result(folder, reason, trainer, material, best, self.stop)
        if self.habits.json:
            write_plain(f"{to_json(result.as_dict())}\n")
        elif not self.habits.quiet:
            result.show()
        if self.stop():
            raise typer.Exit(self.stop.exit_code)
