"""A metric of `inspect-gradients`: how it is measured, listed, and written as JSON and CSV."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from rich.console import RenderableType

from charrnn.analysis.gradient_profile import GradientProfile
from charrnn.analysis.memory_lengths import MemoryLengths
from charrnn.cli.inspect.models import InspectedModel
from charrnn.types import JSON


@dataclass(frozen=True)
class MetricInput:
    """What a metric is measured from."""

    model: InspectedModel
    """The model and the data to measure it on."""
    profile: GradientProfile
    """The gradient profile of the model, which is always measured first."""
    lengths: MemoryLengths
    """Its memory lengths, which are always measured too."""
    seed: int
    """Chooses positions in the text."""
    everything: bool
    """Whether `--all` was given."""


class MetricRow(NamedTuple):
    """One row of `--csv`, without the model's name; a field that does not apply is empty."""

    quantity: str
    value: float | int | None
    """None for a number that is not finite or not known."""
    layer: int | str = ""
    state: int | str = ""
    """Name of a state or gate, or number of a unit."""
    lag: int | str = ""


class Metric(ABC):
    """A measurement of one model; an instance holds the values that were measured."""

    title: ClassVar[str]
    """Noun phrase for the help of `--all`."""
    always: ClassVar[bool] = False
    """Whether it is measured without `--all` too."""

    @classmethod
    @abstractmethod
    def measure(cls, given: MetricInput) -> Self:
        """Measure a model."""

    @abstractmethod
    def as_json(self) -> JSON:
        """Return the values for `--json`; None for numbers that are not finite."""

    @abstractmethod
    def rows(self) -> Iterable[MetricRow]:
        """Yield the values for `--csv`, one number each."""

    def lines(self) -> Iterable[tuple[str, str]]:
        """Yield labels and texts for the table of `--all`."""
        return ()

    def drawings(self, unicode: bool, width: int) -> Iterable[RenderableType]:
        """Yield what `--all` draws below that table, at most `width` columns wide."""
        return ()

    @classmethod
    def comparison(
        cls, found: Sequence[tuple[InspectedModel, Self]], unicode: bool
    ) -> RenderableType | None:
        """Return a table of this metric for all models, or None if it has none."""
        return None
