"""A training run under way: listens to training, shows, logs, saves, and says how it ended."""

import math
from collections.abc import Callable

import typer

from charrnn.analysis.gradient_monitor import GradientMonitor
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checkpoint_in
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.gradient_panel import GradientPanel
from charrnn.cli.output.safe_text import shell_command, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.runs.run_status import DIVERGED, ENDED
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.train.early_annealing import EarlyAnnealing
from charrnn.cli.train.network_plans import PLANNED, NetworkPlan
from charrnn.cli.train.networks import FurtherNetworks
from charrnn.cli.train.pair_report import PairResult
from charrnn.cli.train.planning import ScoringLimits
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.cli.train.replanning import Replanning
from charrnn.cli.train.reports import reports_of
from charrnn.cli.train.rounds import Rounds
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.saves import Saves
from charrnn.errors import DivergedError, StorageError, WorkerError
from charrnn.training.events import Evaluation, GradientSnapshot, NonFinite, Step, Stopped
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.prepared_data import PreparedData
from charrnn.training.trainer import Trainer, train
from charrnn.types import JSON

LN2 = math.log(2)
SAVE_SECONDS = 30.0
MAX_ROWS = 5_000
MAX_NONFINITE_NOTES = 5
"""Notes about steps without an update; further ones go to metrics.jsonl only."""

RESUME = ("charrnn", "train", "--resume")


class Run:
    """Listens to training: shows, logs, saves, and says how it ended."""

    def __init__(
        self,
        folder: RunFolder,
        trainer: Trainer,
        prepared: PreparedData,
        run_options: RunOptions,
        stop: StopOnSignal,
        limits: ScoringLimits,
        replanning: Replanning | None = None,
        repeating: Callable[[], str] | None = None,
        rounds: Rounds | None = None,
        networks: NetworkPlan | None = None,
        annealing: EarlyAnnealing | None = None,
    ) -> None:
        self.rounds, self.networks, self.annealing = rounds, networks, annealing
        self.further: FurtherNetworks | None = None
        self.limits, self.replanning, self.repeating = limits, replanning, repeating
        self.folder, self.trainer, self.prepared = folder, trainer, prepared
        self.run_options, self.stop = run_options, stop
        self.reports = reports_of(prepared)
        self.display = TrainingDisplay(
            trainer.config.steps, trainer.progress.step, run_options.quiet
        )
        self.watched = GradientPanel()
        if run_options.watch_gradients:
            trainer.watch = GradientMonitor(trainer)
        self.saves = Saves(folder, trainer, prepared)
        self._metrics_failed = False
        self._nonfinite = 0
        self._best: Evaluation | None = None
        """The best validation since the command was started."""
        self._log_every = max(1, trainer.config.steps // MAX_ROWS)

    def go(self) -> None:
        """Train to the planned end; on every way out the last good state is on disk.

        Any exception except `DivergedError` is raised again after last.npz was saved.
        """
        try:
            reason = self._listen()
        except DivergedError as error:
            self.display.close()
            self.folder.update_facts({ENDED: DIVERGED})
            kept = " (last.npz is from before)" if (self.folder.path / "last.npz").exists() else ""
            raise DivergedError(f"{error.problem}{kept}", *error.advice) from error
        except WorkerError as error:
            if not self._rescue():
                raise
            raise WorkerError(
                f"{error.problem}; saved at step {self.trainer.progress.step:,}",
                self._resume_command(),
            ) from error
        except BaseException:
            if self._rescue():
                say(f"saved at step {self.trainer.progress.step:,}; {self._resume_hint()}")
            raise
        finally:
            self.display.close()
        if reason == "interrupted":
            self.saves.interrupted()
            say(f"stopped at step {self.trainer.progress.step:,}; {self._resume_hint()}")
            raise typer.Exit(self.stop.exit_code)
        try:
            self.saves.finished()
        except StorageError:
            if (self.folder.path / "last.npz").exists():
                say(self._resume_hint())
            raise
        self._tell_plan()
        self.finish(reason)

    def finish(self, reason: str) -> None:
        """Train what follows the first network, then score and show the model."""
        self._train_further_networks(reason)
        self.report(reason)

    def _tell_plan(self) -> None:
        """Say with which options a run that was planned again can be repeated."""
        config = self.trainer.config
        if config.earlier_plans and self.repeating is not None:
            options = self.repeating()
            self.folder.update_facts({"steps": config.steps, "chosen": options})
            if not self.run_options.quiet:
                times = config.earlier_plans.count(",") + 1
                again = "planned again" if self.rounds is None else "continued from a full --lr"
                why = " to keep --minutes" if self.rounds is None else ""
                if self.annealing is not None and self.annealing.started:
                    why += ", and to end soon since nearly all answers were right"
                say(
                    f"{again} {times} time{'s' * (times > 1)}{why}: "
                    f"{config.steps:,} steps; what repeats the run is in run.json (chosen)"
                )

    def _train_further_networks(self, reason: str) -> None:
        """Train the networks that are planned after the first, and save what is better than it.

        A network that makes no mistake needs no others and no n-grams, unless they were asked for
        and not by time.
        """
        dataset = self.prepared.dataset
        if self.networks is None or self.networks.is_plain or not isinstance(dataset, PairDataset):
            return
        if reason == "solved" and self.networks.until is not None:
            self.folder.update_facts({PLANNED: 1})
            return
        quiet = self.run_options.quiet
        replanning = self.replanning
        further = FurtherNetworks(self.networks, self.folder, self.trainer, dataset, replanning)
        if not further.train(self.stop, quiet=quiet):
            goes_on = self.networks.planned > 1
            hint = self._resume_hint() if goes_on else f"score it with: {self._resume_command()}"
            number = len(further.networks) + 1
            say(f"stopped in network {number}; the first one is complete and saved; {hint}")
            raise typer.Exit(self.stop.exit_code)
        facts: dict[str, JSON] = {"networks": further.facts()}
        chosen = self._chosen()
        if chosen:
            facts["chosen"] = f"{chosen} {further.repeating}"
        self.folder.update_facts(facts)
        merged = further.save(self.stop)
        if not quiet:
            for note in further.left_out(merged):
                say(note)
        self.further = None if merged is None else further

    def _chosen(self) -> str:
        """Return the options that repeat the first network; empty if run.json has none."""
        if self.repeating is not None:
            return self.repeating()
        stored = self.folder.read_facts().get("chosen")
        return stored if isinstance(stored, str) else ""

    def _rescue(self) -> bool:
        """Save the state before an unexpected end; return whether that was possible."""
        if self.trainer.updating:  # then last.npz of before is the newest state there is
            return False
        try:
            self.saves.interrupted()
        except (StorageError, DivergedError, MemoryError):
            return False
        return True

    def _resume_hint(self) -> str:
        return f"go on with: {self._resume_command()}"

    def _resume_command(self) -> str:
        return shell_command(*RESUME, str(self.folder.path))

    def _listen(self) -> str:
        for event in train(self.trainer, self.stop):
            match event:
                case Step():
                    self._on_step(event)
                case NonFinite():
                    self._on_nonfinite(event)
                case Evaluation():
                    self._on_evaluation(event)
                case GradientSnapshot():
                    self._on_look(event)
                case Stopped():
                    return event.reason
        raise RuntimeError("training ended without saying so")

    def _on_step(self, event: Step) -> None:
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
            self._log(row)
        self.display.step(event)
        if self.replanning is not None:
            self._replan(self.replanning, event)
        every = self.run_options.sample_every
        if every and event.step % every == 0:
            self.display.sample(event.step, self._preview())
        self._save_if_due()

    def _save_if_due(self) -> None:
        step, every = self.trainer.progress.step, self.run_options.save_every
        due = step % every == 0 if every else self.saves.seconds_since_last >= SAVE_SECONDS
        if due and step < self.trainer.config.steps:
            self.saves.last(self.run_options.keep)

    def _replan(self, replanning: Replanning, event: Step) -> None:
        """Change the number of steps if the run would miss its time, unless it ends early."""
        replanning.stepped(event.seconds)
        if self.annealing is not None and self.annealing.active:
            return
        steps = replanning.steps(event.step, event.steps, self.trainer.config.eval_every)
        if steps is not None:
            self.trainer.replan(steps)

    def _on_nonfinite(self, event: NonFinite) -> None:
        """Log a step without an update, and say so for the first few of them."""
        self._log(
            {
                "step": event.step,
                "nonfinite": event.problem,
                "restored_step": event.restored,
                "lr_scale": event.lr_scale,
            }
        )
        self._nonfinite += 1
        if self._nonfinite <= MAX_NONFINITE_NOTES:
            done = (
                "no update was made"
                if event.restored is None
                else f"went back to the weights of step {event.restored:,}, learning rate "
                f"× {event.lr_scale:g}"
            )
            last = self._nonfinite == MAX_NONFINITE_NOTES
            warn(f"{event.problem}; {done}{'; further ones are only logged' if last else ''}")
        self._save_if_due()

    def _on_look(self, event: GradientSnapshot) -> None:
        row: dict[str, JSON] = {
            "step": event.step,
            "gradient_norms": event.gradient_norms,
            "update_to_weight": event.update_to_weight,
            "profile_every": event.profile_every,
        }
        if event.gradient_by_lag is not None:
            row["gradient_by_lag"] = event.gradient_by_lag
        self._log(row)

    def _on_evaluation(self, event: Evaluation) -> None:
        if self.replanning is not None:
            self.replanning.validated()
        if event.best:
            self._best = event
        row: dict[str, JSON] = {"step": event.step}
        for name, value in event.metrics.items():
            row[f"validation_{name}"] = value
            if name.startswith("nats"):
                row[f"validation_{name.replace('nats', 'bits')}"] = value / LN2
        self._log(row)
        self.folder.metrics.flush()
        epoch = event.step / self.trainer.steps_per_epoch
        sample = self._preview() if self.run_options.sample_every is None else ""
        self.display.evaluation(event, epoch, sample)
        if self.run_options.watch_gradients:
            self.display.panel(self.watched)
        self.saves.validated(event)
        steps = None
        if self.rounds is not None and event.step >= self.trainer.config.steps:
            steps = self.rounds.steps(self.trainer)
        elif self.annealing is not None:
            steps = self.annealing.steps(event, self.trainer.config)
        if steps is not None:
            self.trainer.replan(steps)

    def _preview(self) -> str:
        """Return a sample of the model, or its answers to a few validation inputs."""
        if self.run_options.quiet:
            return ""
        return self.reports.preview(self.saves.model())

    def _log(self, row: dict[str, JSON]) -> None:
        """Log a row; that metrics.jsonl cannot be written is said once, and training goes on."""
        self.watched.add(row)
        metrics = self.folder.metrics
        metrics.add(row)
        if metrics.failure is not None and not self._metrics_failed:
            warn(f"metrics.jsonl cannot be written ({metrics.failure}); training goes on")
        self._metrics_failed = metrics.failure is not None

    def report(self, reason: str) -> None:
        """Score the best checkpoint on the validation set, and print the result."""
        best = load_checkpoint(checkpoint_in(self.folder.path))
        trainer = self.trainer
        scored = self._best
        if scored is not None and not (scored.is_one_stream and scored.step == best.step):
            scored = None
        result = self.reports.result(
            self.folder.path,
            reason,
            trainer,
            best,
            self.limits,
            self.stop,
            None if scored is None else scored.nats,
            quiet=self.run_options.quiet,
        )
        if self.further is not None and isinstance(result, PairResult):
            result = result.with_parts(self.further.parts(best, self.stop))
        if self.stop():
            nats = trainer.progress.best_nats
            known = "" if nats is None else f" (best validation {nats:.4f} nats)"
            say(
                f"stopped while scoring; the run is complete and saved{known}; score it with: "
                f"{self._resume_command()}"
            )
            raise typer.Exit(self.stop.exit_code)
        self.folder.update_facts({"scored": True})
        if self.run_options.json:
            write_plain(f"{to_json(result.as_dict())}\n")
        elif not self.run_options.quiet:
            result.show()
