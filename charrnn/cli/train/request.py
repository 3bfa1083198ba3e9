"""Request for a new run: what the options of `train` ask for, and the words that ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charrnn.cli.runs.load_text import DEFAULT_CORPUS
from charrnn.cli.train.network_plans import StepPlan
from charrnn.cli.train.repeat_options import typed
from charrnn.data.builtin_texts import folder_name
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import name_of, place
from charrnn.training.presets import Budget


@dataclass(frozen=True)
class TrainRequest:
    """A new run, as asked for."""

    paths: list[str]
    built_in: str | None
    layout: str | None
    text: TextOptions
    min_count: int
    val_fraction: float | None
    """None for the default."""
    preset: str
    given: dict[str, Any]
    budget: Budget
    workers: int | None
    out: str | None
    name: str | None
    init_from: str | None
    networks: int | None = None
    """Networks to train and to merge; None for the default."""
    ngrams: int | None = None
    """N of the longest n-grams to mix into labels; 0: none; None for the default."""
    network_plans: tuple[StepPlan, ...] = ()
    """The plans of the networks after the first; empty for the default."""
    teachers: tuple[str, ...] = ()
    """Checkpoints of the models whose probabilities are learned."""
    generated: int | None = None
    """Characters that teachers generate; None for the default."""
    train_teachers: int | None = None
    """Teachers to train first; None for the default."""
    sha256: str | None = None
    """That of the training data of another run, if they are to be the same; see `like`."""

    @property
    def sources(self) -> list[str]:
        """The absolute paths of the files."""
        return [place(path) for path in self.paths]

    @property
    def corpus_name(self) -> str:
        """The name of the text, which is that of the run by default."""
        return name_of(self.paths) if self.paths else folder_name(self.built_in or DEFAULT_CORPUS)

    def reading_words(self) -> list[str]:
        """Return the words of `train` that name the text and say how it is read."""
        options = {
            "encoding": self.text.encoding,
            "normalise": self.text.normalise,
            "min_count": self.min_count,
            "val_fraction": self.val_fraction,
            "backend": self.given["backend"],
        }
        if not self.paths:
            options["built_in"] = self.built_in or DEFAULT_CORPUS
        return [*self.sources, *typed_options(options), *["--bytes"] * self.text.as_bytes]

    def words(self) -> list[str]:
        """Return words of `train` that ask for the same run on a text, in a folder not named."""
        budget = self.budget
        options = {
            **{name: value for name, value in self.given.items() if name != "backend"},
            "preset": self.preset,
            "minutes": budget.minutes,
            "epochs": budget.epochs,
            "steps": budget.steps,
            "workers": self.workers,
            "train_teachers": self.train_teachers,
            "generated": self.generated,
        }
        return self.reading_words() + typed_options(options)


def typed_options(options: Mapping[str, object]) -> list[str]:
    """Return options as they are typed; None stands for an option that is not given."""
    return [
        word for name, value in options.items() if value is not None for word in typed(name, value)
    ]
