"""Checkpoint records: a model, its symbols, its corpus, the state of its training, mixtures."""

from dataclasses import dataclass, field, fields

from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training_config import Progress, TrainingConfig
from charrnn.types import JSON, Ids


@dataclass(frozen=True)
class CorpusRecord:
    """Identifies the training text and how it was decoded, so that it can be verified later.

    Args:
        name: the name that is shown, for instance of the file without its ending.
        sha256: hexadecimal SHA-256 of the text in UTF-8.
        characters: number of characters.
        val_fraction: fraction of the text, from its end, that is the validation set.
        min_count: characters that occur less often are left out.
        encoding: encoding of the files.
        as_bytes: whether the text was read as bytes, with a vocabulary of bytes.
        normalise: Unicode normal form that was applied, or None.
        built_in: name of the built-in corpus, or None for files.
        imported: name of the file that the weights were imported from, or None if charrnn trained
            them. If nothing is known of their corpus, it is the empty text.
        generated: hexadecimal SHA-256 of the ids that teachers generated to be learned too, or None
            without teachers.
    """

    name: str
    sha256: str
    characters: int
    val_fraction: float
    min_count: int = 1
    encoding: str = "utf-8"
    as_bytes: bool = False
    normalise: str | None = None
    built_in: str | None = None
    imported: str | None = None
    generated: str | None = None


MAX_ROLLBACK_POINTS = 2
"""Rollback points that a run keeps."""


@dataclass(frozen=True)
class RollbackPoint:
    """Weights and optimiser of an earlier step, to return to from a loss that is not finite.

    Args:
        step: the step.
        updates: number of updates of the parameters until then.
        parameters: the parameters in training.
        average: their average, if the model is their average, else None.
        optimiser: the accumulators of the optimiser by slot.
    """

    step: int
    updates: int
    parameters: Parameters
    average: Parameters | None
    optimiser: dict[str, Parameters]

    def arrays(self) -> dict[str, Parameters]:
        """Return all its arrays, by the prefix of their names in a checkpoint."""
        found = {"parameters": self.parameters}
        if self.average is not None:
            found["average"] = self.average
        return found | {f"optimiser.{slot}": array for slot, array in self.optimiser.items()}


@dataclass(frozen=True)
class TrainingState:
    """State of a training run: with the training data, all that is needed to resume it exactly.

    Args:
        config: the settings of the run.
        progress: steps taken, and the best validation so far.
        updates: number of updates of the parameters.
        parameters: the parameters in training if the model is their average, else None.
        optimiser: the accumulators of the optimiser by slot.
        states: the carried states (B, H) by name.
        rollback: the points that training can return to, the older one first.
    """

    config: TrainingConfig
    progress: Progress
    updates: int
    parameters: Parameters | None
    optimiser: dict[str, Parameters]
    states: Parameters
    rollback: tuple[RollbackPoint, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run has reached its end."""
        return self.progress.finished(self.config)


@dataclass(frozen=True)
class Checkpoint:
    """A model with its symbols, and its training state if it can be resumed.

    Args:
        config: the network.
        symbols: the vocabulary of a language model, or the layout and symbols of a model of pairs.
        parameters: the parameters of the model, float32.
        corpus: what the model was trained on.
        step: number of training steps taken.
        validation: validation metrics by name; losses are in nats.
        training: the state to resume from, or None.
        ngrams: n-grams that are mixed into the answers of a model of labels, or None.
    """

    config: ModelConfig
    symbols: Vocabulary | PairVocabulary
    parameters: Parameters
    corpus: CorpusRecord
    step: int
    validation: dict[str, float] = field(default_factory=dict)
    training: TrainingState | None = None
    ngrams: LabelNgrams | None = None

    @property
    def validation_nats(self) -> float | None:
        """The loss of the validation, in nats per character or symbol; None before the first."""
        losses = (value for name, value in self.validation.items() if name.startswith("nats_per_"))
        return next(losses, None)

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of a language model. Raises `UsageError` for a model of pairs."""
        if isinstance(self.symbols, Vocabulary):
            return self.symbols
        raise UsageError(
            f"this model was trained on pairs ({self.symbols.layout}), not on a text",
            "charrnn predict",
        )

    @property
    def pairing(self) -> PairVocabulary:
        """The layout and symbols of a model of pairs. Raises `UsageError` for a language model."""
        if isinstance(self.symbols, PairVocabulary):
            return self.symbols
        raise UsageError("this model was trained on a text, not on pairs", "charrnn sample")


@dataclass(frozen=True)
class NgramRecord:
    """Text whose n-grams are part of a mixture, and the exponents of the mixture.

    Args:
        ids: the counted text as ids (N,) of the vocabulary.
        order: n of the longest n-grams.
        network_unmatched: exponent of the network where no context occurs in the counted text.
        network_matched: exponent of the network where the longest context occurs.
        ngrams_unmatched: exponent of the n-grams where no context occurs.
        ngrams_matched: exponent of the n-grams where the longest context occurs.
        fitted: validation characters that the exponents were fitted on; 0 for default exponents.
    """

    ids: Ids
    order: int
    network_unmatched: float
    network_matched: float
    ngrams_unmatched: float
    ngrams_matched: float
    fitted: int

    def settings(self) -> dict[str, JSON]:
        """Return everything except the text, by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "ids"}


@dataclass(frozen=True)
class MixtureRecord:
    """Networks of one vocabulary that are used together, with or without n-grams.

    Args:
        members: the networks, without training state.
        ngrams: the n-grams, or None.
    """

    members: tuple[Checkpoint, ...]
    ngrams: NgramRecord | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that all members have."""
        return self.members[0].vocabulary

    @property
    def title(self) -> str:
        """What the mixture consists of, such as `mixture of 2 networks and 8-grams`."""
        ngrams = "" if self.ngrams is None else f" and {self.ngrams.order}-grams"
        return f"mixture of {networks_title(len(self.members))}{ngrams}"


def networks_title(count: int) -> str:
    """Return a number of networks as text: `1 network`, `2 networks`."""
    return "1 network" if count == 1 else f"{count} networks"
