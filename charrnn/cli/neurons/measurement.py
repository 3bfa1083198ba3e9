"""What `charrnn neurons` measures: states of a text, features that units follow, a span."""

from collections.abc import Mapping
from dataclasses import dataclass

from charrnn.analysis.text_features import text_features
from charrnn.analysis.unit_features import FollowedFeature, correlated_features
from charrnn.analysis.unit_spans import SpanActivity, span_activity
from charrnn.analysis.unit_states import unit_states
from charrnn.cli.neurons.reading import ReadText, span_of
from charrnn.cli.neurons.view import ShownUnit, excerpt
from charrnn.cli.output.safe_text import label
from charrnn.errors import UsageError
from charrnn.inference.model import Model
from charrnn.nn.cells import CELLS
from charrnn.types import Array

MAX_SEARCHED = 100_000
"""Characters that correlations are computed on, at most."""


@dataclass(frozen=True)
class ChosenUnits:
    """The options --state, --layer and --unit, checked.

    Attributes:
        state: name of the state.
        layers: numbers of the layers to measure.
        unit: the unit to show, in the only layer of `layers`; None for a search.
    """

    state: str
    layers: tuple[int, ...]
    unit: int | None


@dataclass(frozen=True)
class Measured:
    """What the command shows.

    Attributes:
        states: arrays (N, H) by name, those of other states too if they are to be written.
        chosen: state, layers and unit.
        features: values (N,) of each feature by name; empty without a search.
        found: best unit of each feature.
        span: what is active over the span of --span.
    """

    states: Mapping[str, Array]
    chosen: ChosenUnits
    features: Mapping[str, Array]
    found: tuple[FollowedFeature, ...]
    span: SpanActivity | None

    def unit(self, layer: int, unit: int) -> ShownUnit:
        """Return a unit with its states."""
        name = self.chosen.state
        return ShownUnit(layer, unit, name, self.states[f"layers.{layer}.{name}"][:, unit])


def chosen_units(
    model: Model, unit: int | None, layer: int | None, state: str | None
) -> ChosenUnits:
    """Return what to measure; `UsageError` for a state, layer or unit that the model lacks."""
    config, cell = model.config, CELLS[model.config.cell]
    if state is not None and state not in cell.states:
        known = [f"--state {name}" for name in cell.states]
        raise UsageError(f"the cell {config.cell} has no state {label(state)!r}", *known)
    for name, number, count in (
        ("--layer", layer, config.layers),
        ("--unit", unit, config.hidden),
    ):
        if number is not None and number >= count:
            raise UsageError(f"{name} is {number}; this model has 0 to {count - 1}")
    layers = tuple(range(config.layers)) if layer is None else (layer,)
    if unit is not None:
        layers = layers[-1:]
    return ChosenUnits(state or cell.reported_states()[0], layers, unit)


def measure(
    model: Model,
    read: ReadText,
    chosen: ChosenUnits,
    span: str | None,
    seed: int,
    *,
    all_states: bool,
) -> Measured:
    """Read the text; search features, unless a unit or a span is asked for."""
    place = None if span is None else span_of(span, read.text, model)
    names = None if all_states else (chosen.state,)
    states = unit_states(model.config, model.parameters, read.ids, names)
    used = {key: states[key] for key in (f"layers.{n}.{chosen.state}" for n in chosen.layers)}
    activity = None if place is None else span_activity(used, *place)
    if chosen.unit is not None or activity is not None:
        return Measured(states, chosen, {}, (), activity)
    searched = slice(0, MAX_SEARCHED)
    features = text_features(read.text[searched], as_bytes=model.vocabulary.as_bytes)
    beginning = {key: array[searched] for key, array in used.items()}
    found = correlated_features(model.config, beginning, read.ids[searched], features, seed=seed)
    return Measured(states, chosen, features, found, None)


def headline(model: Model, read: ReadText, measured: Measured) -> str:
    """Return what was read with what, in one line."""
    config = model.config
    kind = "bytes" if model.vocabulary.as_bytes else "characters"
    left = f", {read.skipped:,} unknown ones left out" if read.skipped else ""
    layers = f"{config.layers} × " if config.layers > 1 else ""
    return (
        f"{label(read.name)}: {len(read.ids):,} {kind}{left}; "
        f"{config.cell} of {layers}{config.hidden} units, state {measured.chosen.state}"
    )


def search_notes(read: ReadText, measured: Measured) -> str:
    """Return what a reader of the table should know of this text, each a sentence after a blank."""
    notes = ""
    if len(read.ids) > MAX_SEARCHED:
        notes = f" Over the first {MAX_SEARCHED:,} characters."
    varying = {feature.name for feature in measured.found}
    constant = [name for name in measured.features if name not in varying]
    return f"{notes} Not in this text: {', '.join(constant)}." if constant else notes


def sections(
    read: ReadText, measured: Measured, length: int
) -> list[tuple[str, ShownUnit, tuple[int, int]]]:
    """Return a heading, a unit and a part of the text for each text to be coloured."""
    chosen = measured.chosen
    if chosen.unit is not None:
        shown = measured.unit(chosen.layers[0], chosen.unit)
        return [("", shown, (0, len(read.text)))]
    found = []
    for feature in measured.found:
        if feature.followed:
            shown = measured.unit(feature.best.layer, feature.best.unit)
            part = excerpt(measured.features[feature.name], read.text, length)
            found.append((feature.name, shown, (part[0], min(part[1], len(read.text)))))
    return found
