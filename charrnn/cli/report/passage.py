"""Passage of a report: a piece of held-out text by surprisal, with the activity of every unit."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from charrnn.analysis.text_features import text_features
from charrnn.analysis.unit_features import (
    MIN_CHARACTERS,
    FollowedFeature,
    correlated_features,
)
from charrnn.analysis.unit_states import unit_states
from charrnn.cli.report.content import Figures, Paragraph, Passage, Section, Units
from charrnn.cli.report.run_data import TextParts
from charrnn.cli.surprisal_output import Scored, glyphs_of
from charrnn.inference.model import Model
from charrnn.types import Array, Ids

PASSAGE_CHARACTERS = 1_500
MIN_PASSAGE_CHARACTERS = 500

MAX_UNIT_VALUES = 600_000
"""States in a page, a byte each; base64 makes 800 kB of them."""

FEATURE_CHARACTERS = 20_000
"""Characters of the text on which the units that follow features are looked for."""

SURPRISES, CONTEXT = 8, 20
"""Most surprising characters that are listed, and characters before each that are shown."""

NO_BREAK = "\N{NO-BREAK SPACE}"

STATE = "h"
"""The state that is shown: it lies between −1 and 1 in every cell."""


def passage_section(model: Model, parts: TextParts, seed: int) -> Section:
    """Show the beginning of the held-out part, or of the text if nothing was held out."""
    held_out = len(parts.validation) >= 2
    text = (parts.validation if held_out else parts.train)[:FEATURE_CHARACTERS]
    title = "The text as the model sees it"
    if len(text) < 2:
        return Section.missing("text", title, "The text is too short to show.")
    T, L = passage_size(model.config.layers, model.config.hidden)
    ids = text[:T]
    glyphs = tuple(glyphs_of(model, ids))
    states = unit_states(model.config, model.parameters, text, (STATE,))
    features = followed(model, text, states, seed)
    part = "held-out part" if held_out else "text that the model was trained on"
    about = (
        f"The first {len(ids):,} characters of the {part}, read from the zero state. The colour "
        "is the surprisal of a character, −log₂ p of the probability p that the model gave it."
    )
    return Section(
        "text",
        title,
        (
            Paragraph(about),
            Passage(glyphs, units_of(model, states, glyphs, L, features)),
            surprises(glyphs),
            *feature_blocks(features, len(text), model.config.layers),
        ),
    )


def passage_size(layers: int, hidden: int) -> tuple[int, int]:
    """Return the characters of the passage, and how many layers, from the last, fit the page."""
    for shown in range(layers, 0, -1):
        T = min(PASSAGE_CHARACTERS, MAX_UNIT_VALUES // (shown * hidden))
        if T >= MIN_PASSAGE_CHARACTERS:
            return T, shown
    return MIN_PASSAGE_CHARACTERS, 1


def followed(
    model: Model, ids: Ids, states: dict[str, Array], seed: int
) -> tuple[FollowedFeature, ...]:
    """Return the features of the text with the units that correlate with them; none if short."""
    if len(ids) < MIN_CHARACTERS:
        return ()
    features = text_features(model.vocabulary.decode(ids), as_bytes=model.vocabulary.as_bytes)
    return correlated_features(model.config, states, ids, features, seed=seed)


def units_of(
    model: Model,
    states: dict[str, Array],
    glyphs: Sequence[Scored],
    layers: int,
    features: Sequence[FollowedFeature],
) -> Units:
    """Return the states after each glyph of the last `layers` layers, as far as they fit."""
    hidden, first = model.config.hidden, model.config.layers - layers
    ends = np.array(list(accumulate(glyph.symbols for glyph in glyphs))) - 1
    columns = [states[f"layers.{layer}.{STATE}"][ends] for layer in range(first, first + layers)]
    values = np.concatenate(columns, axis=1)[:, : MAX_UNIT_VALUES // len(ends)]
    names = [
        unit_name(layer, unit, model.config.layers)
        for layer in range(first, first + layers)
        for unit in range(hidden)
    ][: values.shape[1]]
    numbers = (
        (one.name, (one.best.layer - first) * hidden + one.best.unit)
        for one in features
        if one.followed
    )
    known = tuple((name, number) for name, number in numbers if 0 <= number < len(names))
    everything = model.config.layers * hidden
    note = "all units" if len(names) == everything else f"{len(names):,} of {everything:,} units"
    return Units(tuple(names), np.rint(127 * values).astype(np.int8), known, note)


def unit_name(layer: int, unit: int, layers: int) -> str:
    """Return the name of a unit of a network with so many layers."""
    return f"unit {unit}" if layers == 1 else f"layer {layer + 1}, unit {unit}"


def surprises(glyphs: Sequence[Scored]) -> Figures:
    """Return the characters with the largest surprisal, in the order of the text."""
    order = sorted(range(1, len(glyphs)), key=lambda at: -glyphs[at].bits)[:SURPRISES]
    rows = []
    for at in sorted(order):
        before = "".join(glyph.text for glyph in glyphs[max(0, at - CONTEXT) : at])
        best = ", ".join(f"{other}{NO_BREAK}{p:.0%}" for other, p in glyphs[at].likeliest)
        rows.append((before, glyphs[at].text, best, f"{glyphs[at].bits:.1f}"))
    return Figures(
        ("after", "came", "likeliest instead", "bits"),
        tuple(rows),
        texts=3,
        title="Where it was most surprised",
    )


def feature_blocks(
    features: Sequence[FollowedFeature], characters: int, layers: int
) -> tuple[Paragraph | Figures, ...]:
    """Return a table of the features and the unit that follows each best."""
    if not features:
        short = "The text is too short to look for units that follow features of it."
        return (Paragraph(short, missing=True),)
    rows = []
    for one in features:
        correlation, control = f"{one.best.correlation:+.2f}", f"{one.control:.2f}"
        place = unit_name(one.best.layer, one.best.unit, layers).replace(" ", NO_BREAK)
        rows.append((one.name, place, "yes" if one.followed else "no", correlation, control))
    about = (
        f"Correlation of the state h with features of {characters:,} characters. A unit follows a "
        "feature if it exceeds both controls: every unit with the text shifted, and the units of "
        "untrained networks."
    )
    columns = ("feature", "best unit", "follows it", "correlation", "control")
    return (
        Figures(columns, tuple(rows), texts=3, title="Units that follow features of the text"),
        Paragraph(about),
    )
