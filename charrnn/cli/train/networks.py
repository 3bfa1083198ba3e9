"""Further networks of a run on labels, trained in the time that is left, and merged."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import MERGED
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import say, warn
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.pair_comparison import own_figures
from charrnn.cli.train.pair_metrics import pair_metrics
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.data.layouts import PairVocabulary
from charrnn.errors import DivergedError, UsageError
from charrnn.evaluation.pair_baselines import PairBaseline
from charrnn.evaluation.pairs import score
from charrnn.limits import MAX_SIZE
from charrnn.nn.merging import merge
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

SPARE = 1.15
"""Factor on the seconds that another network is expected to take."""


@dataclass(frozen=True)
class NetworkPlan:
    """How many networks a run has.

    Args:
        count: networks at most, the first one included.
        until: seconds since the command was started by which the last must be trained; None: no
            limit.
        clock: returns the seconds since the command was started.
    """

    count: int
    until: float | None = None
    clock: Callable[[], float] = seconds_since_start


def networks_in(
    wanted: int | None, hidden: int, budget: Budget, *, in_rounds: bool, closing_seconds: float
) -> NetworkPlan:
    """Return how many networks a run has.

    Args:
        wanted: the number asked for; None: by default.
        hidden: the units of each. The merged network has those of all, up to `MAX_SIZE`.
        budget: the time, epochs or steps of the run.
        in_rounds: whether it is trained in rounds, which may leave time.
        closing_seconds: seconds of the final scoring.

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
    return NetworkPlan(count, until)


class FurtherNetworks:
    """Trains the networks after the first, and writes the merged one.

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
        """Write merged.npz if its validation loss is lower than that of the first network.

        Returns the merged network, or None if there is none or it is no better. Raises
        `StorageError` if it cannot be written.
        """
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
        merged = replace(
            best, config=config, parameters=parameters, validation=metrics, training=None
        )
        self.folder.save(MERGED, merged)
        return merged

    def facts(self) -> list[JSON]:
        """Return what run.json tells of each network."""
        return [
            {"seed": one.seed, "step": one.step, "steps": one.steps, "nats_per_symbol": one.nats}
            for one in self.networks
        ]

    def figures(self, pairing: PairVocabulary, stop: StopFlag) -> list[PairBaseline]:
        """Return the figures of each network alone on the validation pairs; none after `stop`."""
        rows = []
        for number, one in enumerate(self.networks, 1):
            found = pair_metrics(
                self.best.config, one.parameters, pairing, self.dataset.validation, stop
            )
            if found is None:
                return []
            rows.append(replace(own_figures(found), name=f"network {number}, seed {one.seed}"))
        return rows
