"""Further networks of a run on labels, merged, and n-grams that are mixed in: merged.npz."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import MERGED
from charrnn.checkpointing.records import Checkpoint, networks_title
from charrnn.cli.output.console import say, warn
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.pair_comparison import own_figures
from charrnn.cli.train.pair_metrics import pair_metrics
from charrnn.cli.train.pair_report import ModelParts
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.data.label_ngrams import MODEL_CELLS, LabelCounts
from charrnn.data.pair_ngrams import DEFAULT_ORDER, Ngrams
from charrnn.errors import DivergedError, UsageError
from charrnn.evaluation.label_scores import label_logits, labels_of, score_of_logits
from charrnn.evaluation.pair_baselines import PairBaseline
from charrnn.evaluation.pairs import score
from charrnn.inference.label_mixture import FEWEST, ValidationLogits, fit_label_ngrams
from charrnn.limits import MAX_SIZE
from charrnn.nn.merging import merge
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.events import Step, Stopped
from charrnn.training.networks import (
    NetworkTraining,
    TrainedNetwork,
    plan_of_another,
)
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.presets import Budget
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import JSON, StopFlag

DEFAULT_NETWORKS = 4
"""Networks of a run in rounds at most."""

MAX_NETWORKS = 16
"""Most networks that can be asked for."""

DEFAULT_NGRAMS = DEFAULT_ORDER
"""N of the longest n-grams of a run on labels with `--minutes`."""

NGRAMS = "ngrams"
"""Key of run.json: n of the longest n-grams."""

SPARE = 1.15
"""Factor on the seconds that another network is expected to take."""


@dataclass(frozen=True)
class NetworkPlan:
    """How many networks a run has, and whether n-grams are mixed in.

    Args:
        count: networks at most, the first one included.
        until: seconds since the command was started by which the last must be trained; None: no
            limit.
        ngrams: n of the longest n-grams; 0: none.
        clock: returns the seconds since the command was started.
    """

    count: int
    until: float | None = None
    ngrams: int = 0
    clock: Callable[[], float] = seconds_since_start

    @property
    def is_plain(self) -> bool:
        """Whether the model is the first network alone."""
        return self.count < 2 and not self.ngrams


def networks_in(
    wanted: int | None,
    hidden: int,
    budget: Budget,
    *,
    in_rounds: bool,
    closing_seconds: float,
    ngrams: int | None = None,
    classifies: bool = True,
) -> NetworkPlan:
    """Return how many networks a run has, and whether n-grams are mixed in.

    Args:
        wanted: the number asked for; None: by default.
        hidden: the units of each. The merged network has those of all, up to `MAX_SIZE`.
        budget: the time, epochs or steps of the run.
        in_rounds: whether it is trained in rounds, which may leave time.
        closing_seconds: seconds of the final scoring.
        ngrams: n of the n-grams asked for; None: by default.
        classifies: whether answers are labels of texts.

    Raises `UsageError` for more units than a network can have.
    """
    most = max(1, MAX_SIZE // hidden)
    if wanted is not None and wanted > most:
        raise UsageError(
            f"--networks {wanted} of {hidden:,} units are more than the {MAX_SIZE:,} that one "
            "network can have",
            f"--networks {most}",
        )
    count = wanted or (min(most, DEFAULT_NETWORKS) if in_rounds else 1)
    until = None if budget.minutes is None else 60 * budget.minutes - closing_seconds
    if ngrams is None:
        ngrams = DEFAULT_NGRAMS if classifies and until is not None else 0
    return NetworkPlan(count, until, ngrams)


class FurtherNetworks:
    """Trains the networks after the first, and writes what is better than the first alone.

    Args:
        plan: how many there are to be.
        folder: the folder of the run, in which best.npz is the first network.
        trainer: that of the first network, at its end.
        dataset: the pairs.
    """

    def __init__(
        self, plan: NetworkPlan, folder: RunFolder, trainer: Trainer, dataset: PairDataset
    ) -> None:
        self.plan, self.folder, self.trainer, self.dataset = plan, folder, trainer, dataset
        self.best = load_checkpoint(folder.path / "best.npz")
        first, step = trainer.config, self.best.step
        nats = trainer.progress.best_nats
        plan_of_first = plan_of_another(first, step, 0)
        self.networks = [
            TrainedNetwork(first.seed, step, plan_of_first.steps, nats, self.best.parameters)
        ]

    def train(self, stop: StopFlag, *, quiet: bool) -> bool:
        """Train networks while there is time for one; return False if `stop` ended that."""
        clock, until = self.plan.clock, self.plan.until
        step = self.networks[0].step
        first = plan_of_another(self.trainer.config, step, 0)
        seconds = clock() * first.steps / max(1, self.trainer.progress.step)
        while len(self.networks) < self.plan.count:
            began = clock()
            if until is not None and began + SPARE * seconds > until:
                break
            number = len(self.networks)
            config = plan_of_another(self.trainer.config, step, number)
            try:
                found = self._one(config, stop, quiet=quiet)
            except DivergedError as error:
                warn(f"network {number + 1} is left out: {error.problem}")
                break
            if found is None:
                return False
            self.networks.append(found)
            seconds = clock() - began
        return True

    def _one(self, config: TrainingConfig, stop: StopFlag, *, quiet: bool) -> TrainedNetwork | None:
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
                    elif isinstance(event, Stopped) and event.reason == "interrupted":
                        return None
            finally:
                display.close()
        return training.found

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
            {"seed": one.seed, "step": one.step, "steps": one.steps, "nats_per_symbol": one.nats}
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
            title = f"network {number}, seed {one.seed}"
            row = figures(title, self.best.config, one.parameters)
            if row is None:
                return None
            rows.append(row)
        order = 0 if model.ngrams is None else model.ngrams.order
        return ModelParts(self.folder.path / MERGED, len(used), order, without, tuple(rows))
