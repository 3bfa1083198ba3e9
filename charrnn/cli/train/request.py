"""Request for a new run: from the options of `train`, and back to words that ask for the same."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import typer

from charrnn.cli.options import on_the_command_line
from charrnn.cli.runs.load_text import DEFAULT_CORPUS
from charrnn.cli.train.network_plans import StepPlan, parse_network_plans
from charrnn.cli.train.repeat_options import typed
from charrnn.data.builtin_pairs import natural_layout
from charrnn.data.builtin_texts import folder_name
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import name_of, place
from charrnn.nn.model_config import ModelConfig
from charrnn.training.backends import default_backend
from charrnn.training.presets import Budget
from charrnn.training_config import TrainingConfig

DEFAULT_MINUTES = 3.0
"""`--minutes` of a run without a budget."""

SETTING_FIELDS = {field.name for field in (*fields(ModelConfig), *fields(TrainingConfig))} - {
    "steps",
    "workers",
}
"""Names of the options that set a field; `planning` fixes the steps and the workers."""


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


def request_of(context: typer.Context) -> TrainRequest:
    """Return the new run that a command line asks for, before `--like` completes it."""
    values = context.params
    built_in, layout, plans = values["built_in"], values["layout"], values["network_plans"]
    if layout is None and built_in is not None:
        layout = natural_layout(built_in)
    given_options = dict(on_the_command_line(context))
    return TrainRequest(
        paths=values["corpus"] or [],
        built_in=built_in,
        layout=layout,
        text=TextOptions(values["encoding"], values["as_bytes"], values["normalise"]),
        min_count=values["min_count"],
        val_fraction=values["val_fraction"] if "val_fraction" in given_options else None,
        preset=values["preset"],
        given=settings_given(values),
        budget=budget_given(values["minutes"], values["epochs"], values["steps"]),
        workers=values["workers"],
        out=values["out"],
        name=values["name"],
        init_from=values["init_from"],
        networks=values["networks"],
        ngrams=values["ngrams"],
        teachers=tuple(values["teacher"] or ()),
        generated=values["generated"],
        train_teachers=values["train_teachers"],
        network_plans=parse_network_plans(plans) if plans is not None else (),
    )


def settings_given(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both configurations that the parameters of the command set."""
    said = {name: value for name, value in params.items() if value is not None}
    given = {name: value for name, value in said.items() if name in SETTING_FIELDS}
    given.setdefault("backend", default_backend())
    return given


def budget_given(minutes: float | None, epochs: float | None, steps: int | None) -> Budget:
    """Return the budget of a run: `DEFAULT_MINUTES` unless one is given."""
    budgeted = any(value is not None for value in (minutes, epochs, steps))
    return Budget(minutes if budgeted else DEFAULT_MINUTES, epochs, steps)
