"""Several networks of one run: the same settings and data, other seeds, one merged network.

The mean of networks that were trained from other initial weights has a lower loss than each of them
(Hansen & Salamon 1990, IEEE TPAMI 12(10)), most of all where pairs are few.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.optim.schedules import parse_plans
from charrnn.randomness import Purpose, generator
from charrnn.training.dataset import Dataset
from charrnn.training.events import Evaluation, Event
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import StopFlag


@dataclass(frozen=True)
class TrainedNetwork:
    """One network of several.

    Args:
        config: its settings, with its seed.
        step: the step of its best validation; the last one without a validation set.
        nats: the loss of that validation in nats per symbol; None without a validation set.
        parameters: its weights at that step.
    """

    config: TrainingConfig
    step: int
    nats: float | None
    parameters: Parameters


def plan_of_another(config: TrainingConfig, best_step: int, number: int) -> TrainingConfig:
    """Return the settings of another network: the rounds up to that of the best validation.

    Args:
        config: the settings of the first network, whose training has ended.
        best_step: the step of its best validation.
        number: how many networks there are so far; added to the seed.

    Example:
        >>> rounds = TrainingConfig(steps=2100, earlier_plans="300:300,900:900")
        >>> another = plan_of_another(rounds, best_step=700, number=2)
        >>> another.steps, another.earlier_plans, another.seed
        (900, '300:300', 2)
    """
    steps = min(end for end in (*config.completed_plans, config.steps) if end >= best_step)
    plans = [plan for plan in parse_plans(config.earlier_plans) if plan[0] < steps]
    kept = ",".join(f"{until}:{total}" for until, total in plans)
    return replace(config, steps=steps, earlier_plans=kept, seed=config.seed + number)


def planned_again(
    config: TrainingConfig, number: int, steps: int, earlier_plans: str = ""
) -> TrainingConfig:
    """Return the settings of another network with a plan of its own.

    Args:
        config: the settings of the first network.
        number: how many networks there are so far; added to the seed.
        steps: the steps of its plan.
        earlier_plans: see `TrainingConfig.earlier_plans`.

    Example:
        >>> another = planned_again(TrainingConfig(steps=900), 1, 850, "300:900")
        >>> another.steps, another.earlier_plans, another.seed
        (850, '300:900', 1)
    """
    return replace(config, steps=steps, earlier_plans=earlier_plans, seed=config.seed + number)


class NetworkTraining:
    """Training of one more network; a context manager that stops its worker processes.

    Args:
        model: the shape of the network.
        config: its settings; see `plan_of_another`.
        dataset: the data of the first network, with the same validation set.
    """

    def __init__(self, model: ModelConfig, config: TrainingConfig, dataset: Dataset) -> None:
        initial = initialise(model, generator(config.seed, Purpose.WEIGHTS))
        self.trainer = Trainer(model, config, dataset, initial)
        self._best: tuple[int, float | None, Parameters] | None = None

    def events(self, stop: StopFlag) -> Iterator[Event]:
        """Train, and yield the events; see `train` for errors."""
        for event in train(self.trainer, stop):
            if isinstance(event, Evaluation) and event.best:
                self._keep(event.nats)
            yield event
        if not self.trainer.dataset.validation_size:
            self._keep(None)

    @property
    def found(self) -> TrainedNetwork | None:
        """The network at its best validation so far, and the settings of its training."""
        return None if self._best is None else TrainedNetwork(self.trainer.config, *self._best)

    def _keep(self, nats: float | None) -> None:
        trainer, model = self.trainer, self.trainer.model
        weights = model.like(model.vector.copy())
        step = trainer.progress.step
        self._best = step, nats, weights

    def __enter__(self) -> "NetworkTraining":
        return self

    def __exit__(self, *_: object) -> None:
        self.trainer.close()
