"""Further networks of a run on pairs, merged, and n-grams that are mixed in: merged.npz."""

from dataclasses import replace

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import MERGED
from charrnn.checkpointing.records import Checkpoint, networks_title
from charrnn.cli.output.console import say, warn
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.network_plans import BETWEEN_NETWORKS, NetworkPlan, StepPlan
from charrnn.cli.train.pair_comparison import own_figures
from charrnn.cli.train.pair_metrics import pair_metrics
from charrnn.cli.train.pair_report import ModelParts
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.cli.train.replanning import Replanning
from charrnn.data.label_ngrams import MODEL_CELLS, LabelCounts
from charrnn.data.pair_ngrams import Ngrams
from charrnn.errors import DivergedError
from charrnn.evaluation.label_scores import label_logits, labels_of, score_of_logits
from charrnn.evaluation.pair_baselines import PairBaseline
from charrnn.evaluation.pairs import score
from charrnn.inference.label_mixture import FEWEST, ValidationLogits, fit_label_ngrams
from charrnn.nn.merging import merge
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.events import Evaluation, Step, Stopped
from charrnn.training.networks import (
    NetworkTraining,
    TrainedNetwork,
    plan_of_another,
    planned_again,
)
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.presets import MAX_WARMUP_SHARE
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import JSON, StopFlag

SPARE = 1.15
"""Factor on the seconds that another network is expected to take."""


def plan_of(network: TrainedNetwork) -> StepPlan:
    """Return the plan that a network was trained with."""
    return StepPlan(network.config.earlier_plans, network.config.steps)


class FurtherNetworks:
    """Trains the networks after the first, and writes what is better than the first alone.

    Args:
        plan: how many there are to be.
        folder: the folder of the run, in which best.npz is the first network.
        trainer: that of the first network, at its end.
        dataset: the pairs.
        replanning: that of the first network, which knows the speed; for networks that share the
            time.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        folder: RunFolder,
        trainer: Trainer,
        dataset: PairDataset,
        replanning: Replanning | None = None,
    ) -> None:
        self.plan, self.folder, self.trainer, self.dataset = plan, folder, trainer, dataset
        self.replanning = replanning
        self.best = load_checkpoint(folder.path / "best.npz")
        first, step = trainer.config, self.best.step
        nats = trainer.progress.best_nats
        self.networks = [
            TrainedNetwork(plan_of_another(first, step, 0), step, nats, self.best.parameters)
        ]
        self._seconds = plan.clock() * self.networks[0].config.steps / max(1, trainer.progress.step)

    def train(self, stop: StopFlag, *, quiet: bool) -> bool:
        """Train networks while there is time for one; return False if `stop` ended that."""
        while len(self.networks) < self.plan.count:
            number, began = len(self.networks), self.plan.clock()
            planned = self._planned(number)
            if planned is None:
                break
            config, replanning = planned
            try:
                found = self._one(config, replanning, stop, quiet=quiet)
            except DivergedError as error:
                warn(f"network {number + 1} is left out: {error.problem}")
                break
            if found is None:
                return False
            self.networks.append(found)
            self._seconds = self.plan.clock() - began
        return True

    def _planned(self, number: int) -> tuple[TrainingConfig, Replanning | None] | None:
        """Return the settings of the next network; None if there is no time for it.

        Networks that share the time have what is left in equal parts, and are planned again to keep
        it. Others repeat the plan of the first one, if there is time.
        """
        plan, first = self.plan, self.trainer.config
        if plan.given:
            given = plan.given[number - 1]
            return planned_again(first, number, given.steps, given.earlier_plans), None
        now = plan.clock()
        if plan.shares_time and plan.until is not None and self.replanning is not None:
            last = number == plan.count - 1
            end = plan.until if last else now + (plan.until - now) / (plan.count - number)
            replanning = self.replanning.of_another(end)
            steps = replanning.fitting_steps(first.eval_every)
            if steps < max(1.0, first.warmup_steps / MAX_WARMUP_SHARE):
                return None
            return planned_again(first, number, steps), replanning
        if plan.until is not None and now + SPARE * self._seconds > plan.until:
            return None
        return plan_of_another(first, self.networks[0].step, number), None

    def _one(
        self,
        config: TrainingConfig,
        replanning: Replanning | None,
        stop: StopFlag,
        *,
        quiet: bool,
    ) -> TrainedNetwork | None:
        """Train one network; None if `stop` said so. Raises `DivergedError`."""
        if not quiet:
            number = len(self.networks) + 1
            say(f"network {number} of at most {self.plan.count}, seed {config.seed}")
        display = TrainingDisplay(config.steps, 0, quiet)
        with NetworkTraining(self.trainer.model_config, config, self.dataset) as training:
            try:
                for event in training.events(stop):
                    if isinstance(event, Step):
                        display.step(event)
                        self._replan(replanning, training.trainer, event)
                    elif isinstance(event, Evaluation) and replanning is not None:
                        replanning.validated()
                    elif isinstance(event, Stopped) and event.reason == "interrupted":
                        return None
            finally:
                display.close()
        return training.found

    @staticmethod
    def _replan(replanning: Replanning | None, trainer: Trainer, event: Step) -> None:
        """Change the number of steps of a network that would miss its time."""
        if replanning is None:
            return
        replanning.stepped(event.seconds)
        steps = replanning.steps(event.step, event.steps, trainer.config.eval_every)
        if steps is not None:
            trainer.replan(steps)

    @property
    def repeating(self) -> str:
        """The options that repeat the networks, besides those of the first one."""
        words = f"--networks {len(self.networks)} --ngrams {self.plan.ngrams}"
        if not (self.plan.shares_time or self.plan.given) or len(self.networks) < 2:
            return words
        plans = BETWEEN_NETWORKS.join(str(plan_of(one)) for one in self.networks[1:])
        return f"{words} --network-plans {plans}"

    def save(self, stop: StopFlag) -> Checkpoint | None:
        """Write merged.npz if it is better than the first network.

        It holds the mean of the networks, if that has a lower validation loss than the first one,
        else the first one; and n-grams, if they make either better. Returns it, or None if there is
        nothing better or `stop` said so. Raises `StorageError` if it cannot be written.
        """
        model = self._merged(stop) or replace(self.best, training=None)
        if self.plan.ngrams and len(self.dataset.validation):
            model = self._with_ngrams(model, stop)
        if "networks" not in model.validation and model.ngrams is None:
            return None
        self.folder.save(MERGED, model)
        return model

    def _merged(self, stop: StopFlag) -> Checkpoint | None:
        """Return the mean of the networks; None if it is no better than the first one."""
        if len(self.networks) < 2:
            return None
        best = self.best
        config, parameters = merge(best.config, [one.parameters for one in self.networks])
        metrics = dict(best.validation)
        if self.dataset.validation_size:
            found = score(config, parameters, self.dataset.validated, stop)
            nats = self.networks[0].nats
            if found is None or (nats is not None and found.nats_per_symbol >= nats):
                return None
            metrics = found.metrics()
        metrics["networks"] = float(len(self.networks))
        return replace(
            best, config=config, parameters=parameters, validation=metrics, training=None
        )

    def _with_ngrams(self, model: Checkpoint, stop: StopFlag) -> Checkpoint:
        """Return a model with n-grams mixed in; the model itself if that is no better."""
        validation, train, pairing = self.dataset.validation, self.dataset.train, model.pairing
        logits = label_logits(model.config, model.parameters, validation, stop)
        if logits is None:
            return model
        known = Ngrams.of(train.inputs, train.starts, pairing.inputs, self.plan.ngrams)
        counts = LabelCounts.of(known, labels_of(train), pairing.outputs, MODEL_CELLS)
        fitted = fit_label_ngrams(ValidationLogits(logits, counts, pairing.inputs, validation))
        if fitted is None:
            return model
        ngrams, mixture = fitted
        metrics = score_of_logits(mixture, labels_of(validation)).metrics()
        kept = {name: value for name, value in model.validation.items() if name == "networks"}
        return replace(model, ngrams=ngrams, validation=metrics | kept)

    def left_out(self, model: Checkpoint | None) -> list[str]:
        """Say what `save` did not use, since it makes the model no better."""
        notes = []
        if len(self.networks) > 1 and (model is None or "networks" not in model.validation):
            notes.append("the mean of the networks is no better than the first one, which is kept")
        if self.plan.ngrams and (model is None or model.ngrams is None):
            few = len(self.dataset.validation) < FEWEST
            why = f"need {FEWEST} validation pairs" if few else "make the model no better"
            notes.append(f"n-grams of the inputs {why}, and are left out")
        return notes

    def facts(self) -> list[JSON]:
        """Return what run.json tells of each network."""
        return [
            {
                "seed": one.config.seed,
                "step": one.step,
                "steps": one.config.steps,
                "nats_per_symbol": one.nats,
                "plan": str(plan_of(one)),
            }
            for one in self.networks
        ]

    def parts(self, model: Checkpoint, stop: StopFlag) -> ModelParts | None:
        """Return what a model consists of, with figures of its parts; None after `stop`."""
        merged = "networks" in model.validation
        used = self.networks if merged else self.networks[:1]

        def figures(title: str, config: ModelConfig, parameters: Parameters) -> PairBaseline | None:
            data = self.dataset.validation
            found = pair_metrics(config, parameters, model.pairing, data, stop)
            return None if found is None else replace(own_figures(found), name=title)

        without = None
        if model.ngrams is not None:
            title = f"{networks_title(len(used))} without n-grams"
            without = figures(title, model.config, model.parameters)
        rows = []
        for number, one in enumerate(used if merged else [], 1):
            title = f"network {number}, seed {one.config.seed}"
            row = figures(title, self.best.config, one.parameters)
            if row is None:
                return None
            rows.append(row)
        order = 0 if model.ngrams is None else model.ngrams.order
        return ModelParts(self.folder.path / MERGED, len(used), order, without, tuple(rows))
