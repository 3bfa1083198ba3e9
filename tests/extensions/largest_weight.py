"""The largest weight, a metric of `inspect-gradients` registered from outside the package."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from charrnn.cli.inspect.metric import Metric, MetricInput, MetricRow
from charrnn.cli.inspect.metrics import METRICS
from charrnn.types import JSON


@dataclass(frozen=True)
class LargestWeight(Metric):
    """max |w| over all parameters."""

    value: float
    title = "largest weight"

    @classmethod
    def measure(cls, given: MetricInput) -> Self:
        """Read the parameters of the model."""
        return cls(float(np.abs(given.model.parameters.vector).max()))

    def as_json(self) -> JSON:
        """Return the number."""
        return self.value

    def rows(self) -> Iterator[MetricRow]:
        """Yield one row for the whole model."""
        yield MetricRow("largest_weight", self.value)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield one line."""
        yield "largest weight", f"{self.value:.3f}"


METRICS["largest_weight"] = LargestWeight
