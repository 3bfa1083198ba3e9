"""Symbols: the protocol of what a model reads and predicts, for texts and for pairs."""

from typing import ClassVar, Protocol

from charrnn.types import JSON, Ids


class Symbols(Protocol):
    """Numbered symbols of a model; implemented by `Vocabulary` and by `PairVocabulary`."""

    format_version: ClassVar[int]
    """Version of the checkpoint format that stores them."""
    metadata_key: ClassVar[str]
    """Key under which a checkpoint stores them."""
    size_advice: ClassVar[str]
    """What to try if there are too many of them for a checkpoint."""

    @property
    def of_pairs(self) -> bool:
        """Whether inputs and answers have symbols of their own."""

    @property
    def as_bytes(self) -> bool:
        """Whether symbols stand for bytes."""

    @property
    def inputs(self) -> int:
        """Number of symbols that can be read."""

    @property
    def outputs(self) -> int:
        """Number of symbols that can be predicted."""

    def typed_prompt(self, text: str, normalise: str | None) -> tuple[str, Ids]:
        """Return a typed text as the model reads it, and the ids before its prediction."""

    def describe(self) -> dict[str, JSON]:
        """Return the symbols as JSON values, for `charrnn info`."""

    def name_of(self, output: int) -> str:
        """Return the name of a prediction: a character, an answer, or the end."""
