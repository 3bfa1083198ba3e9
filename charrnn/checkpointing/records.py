"""Checkpoint records: a model, its symbols, its corpus, and the state of its training."""

from dataclasses import dataclass, field

from charrnn.data.layouts import Pairing
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training_config import Progress, TrainingConfig


@dataclass(frozen=True)
class CorpusRecord:
    """Which text a model was trained on, and how it was read: enough to know it again."""

    name: str
    sha256: str
    characters: int
    val_fraction: float
    min_count: int = 1
    encoding: str = "utf-8"
    as_bytes: bool = False
    normalise: str | None = None
    built_in: str | None = None


@dataclass(frozen=True)
class TrainingState:
    """All that continues a run, apart from its text."""

    config: TrainingConfig
    progress: Progress
    updates: int
    parameters: Parameters | None
    optimiser: dict[str, Parameters]
    states: Parameters

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to resume."""
        return self.progress.finished(self.config)


@dataclass(frozen=True)
class Checkpoint:
    """A model with its symbols, and, if it can be resumed, its training state."""

    config: ModelConfig
    symbols: Vocabulary | Pairing
    parameters: Parameters
    corpus: CorpusRecord
    step: int
    validation: dict[str, float] = field(default_factory=dict)
    training: TrainingState | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of a language model; `UsageError` for one of pairs."""
        if isinstance(self.symbols, Vocabulary):
            return self.symbols
        raise UsageError(
            f"this model learnt pairs ({self.symbols.layout}), not a text", "charrnn predict"
        )

    @property
    def pairing(self) -> Pairing:
        """The layout and symbols of a model of pairs; `UsageError` for a language model."""
        if isinstance(self.symbols, Pairing):
            return self.symbols
        raise UsageError("this model learnt a text, not pairs", "charrnn sample")
