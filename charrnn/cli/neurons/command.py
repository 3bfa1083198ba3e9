"""`charrnn neurons`: text coloured by hidden units, and the units that follow its features."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from charrnn.analysis.unit_features import (
    SHIFTS,
    UNTRAINED,
)
from charrnn.checkpointing.lookup import find_checkpoint, is_checkpoint_argument
from charrnn.checkpointing.npz_file import write_archive
from charrnn.cli.compressed_files import check_output
from charrnn.cli.neurons.measurement import (
    MAX_SEARCHED,
    Measured,
    chosen_units,
    headline,
    measure,
    search_notes,
    sections,
)
from charrnn.cli.neurons.reading import ReadText, TextChoice, read_text
from charrnn.cli.neurons.view import (
    CONTROLS,
    EXCERPT_CHARS,
    PAGE_EXCERPT_CHARS,
    UNIT_CHARS,
    features_table,
    legend,
    page_parts,
    show_span,
    show_unit,
)
from charrnn.cli.options import Encoding, Json, OnUnknown, Unknown, on_the_command_line, option
from charrnn.cli.output.console import answer, say
from charrnn.cli.output.output_files import check_endings, save
from charrnn.cli.output.safe_text import label, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.errors import UsageError
from charrnn.inference.model import Model, load_network
from charrnn.limits import SEED, Limits
from charrnn.types import Array

NEURONS_SCHEMA = 1
MEASURING, SHOWING, OUTPUT = "Measuring", "Showing", "Output"
DEFAULT_LENGTH = 20_000
LENGTH = Limits(1, 1_000_000, DEFAULT_LENGTH)


def neurons(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT] [FILE]",
            help="First an .npz file or the folder of a run (default: the newest run), then the "
            "text: files, folders, or - for standard input (default: the validation part of the "
            "text of the run).",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        int | None,
        option(SHOWING, "Colour the text by this unit, from 0, instead of a search.", min=0),
    ] = None,
    layer: Annotated[
        int | None,
        option(
            SHOWING, "Only units of this layer, from 0. Default: all; with --unit the last.", min=0
        ),
    ] = None,
    span: Annotated[
        str | None,
        option(
            SHOWING,
            "Units that are active over a span, and other places where they are: positions A:B "
            "from 0, before B, or a text, of which the first occurrence is meant.",
            metavar="A:B|TEXT",
        ),
    ] = None,
    state: Annotated[
        str | None,
        option(MEASURING, "State of the units: h, or c of an LSTM. Default: c of an LSTM, else h."),
    ] = None,
    length: Annotated[
        int, option(MEASURING, "Characters to read, from the beginning of the text.")
    ] = DEFAULT_LENGTH,
    seed: Annotated[int, option(MEASURING, "Seed of the shifts and the untrained networks.")] = 0,
    on_unknown: OnUnknown = Unknown.ERROR,
    encoding: Encoding = "utf-8",
    json: Json = False,
    html: Annotated[
        Path | None, option(OUTPUT, "Write the coloured text as a web page.", metavar="FILE")
    ] = None,
    states: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write all states as FILE.npz: arrays layers.0.h and so on, a row a character and a "
            "column a unit, and the ids of the characters.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[bool, option(OUTPUT, "Overwrite the file of --states if it exists.")] = False,
) -> None:
    """Colour a text by hidden units, and find those that follow the text: charrnn neurons.

    For each feature (position in the line, quotes, brackets, indentation, capitals, words) the unit
    with the largest correlation, beside what chance and untrained networks reach.
    """
    SEED.check("--seed", seed)
    LENGTH.check("--length", length)
    check_endings((("--html", html),), "units")
    if states is not None:
        if states.suffix.lower() != ".npz":
            raise UsageError("--states is for a file that ends in .npz", "--states states.npz")
        check_output(str(states), force=force, option="--states")
    given = list(arguments or ())
    checkpoint = given.pop(0) if given and is_checkpoint_argument(given[0]) else None
    path = find_checkpoint(checkpoint)
    model = load_network(path)
    if checkpoint is None:
        say(f"charrnn: reading with {label(str(path))}")
    chosen = chosen_units(model, unit, layer, state)
    read = read_text(
        model,
        path,
        given,
        TextChoice(encoding, "encoding" in dict(on_the_command_line(context)), on_unknown, length),
    )
    measured = measure(model, read, chosen, span, seed, all_states=states is not None)
    if states is not None:
        write_states(states, model, read, measured.states)
    if html is not None:
        write_page(html, model, read, measured, path)
    if json:
        write_plain(f"{to_json(as_json(model, path, read, measured, seed))}\n")
    else:
        show(model, path, read, measured)


def write_states(path: Path, model: Model, read: ReadText, states: Mapping[str, Array]) -> None:
    """Write the states, and what is needed to know which character belongs to a row."""
    facts = {"text": label(read.name), "characters": list(model.vocabulary.characters)}
    write_archive(path, {"ids": np.asarray(read.ids), **states}, facts)


def write_page(path: Path, model: Model, read: ReadText, measured: Measured, source: Path) -> None:
    """Write the web page of --html."""
    parts = sections(read, measured, PAGE_EXCERPT_CHARS)
    save(
        "--html",
        path,
        lambda: page_parts(
            f"Units of {label(source.parent.name or source.name)}",
            headline(model, read, measured),
            measured.found,
            parts,
            read.text,
            as_bytes=model.vocabulary.as_bytes,
        ),
    )


def show(model: Model, path: Path, read: ReadText, measured: Measured) -> None:
    """Print the tables and the coloured text."""
    as_bytes = model.vocabulary.as_bytes
    answer(Text(headline(model, read, measured)))
    answer("")
    if measured.span is not None:
        show_span(measured.span, read.text, as_bytes=as_bytes)
        if measured.chosen.unit is None:
            return
        answer("")
    if measured.found:
        answer(features_table(measured.found))
        answer(Text(CONTROLS + search_notes(read, measured) + "\n"))
    parts = sections(read, measured, EXCERPT_CHARS)
    if not parts:
        answer(Text("no unit is above both controls; --unit N colours the text by any unit"))
        return
    answer(Text(legend() + "\n"))
    for heading, shown, (begin, end) in parts:
        answer(Text(f"{heading}: {shown.title}" if heading else shown.title, "bold"))
        show_unit(shown, read.text, (begin, min(end, begin + UNIT_CHARS)), as_bytes=as_bytes)
        if not heading and end > begin + UNIT_CHARS:
            answer(Text(f"the first {UNIT_CHARS:,} of {end:,} characters; --html shows more"))


def as_json(
    model: Model, path: Path, read: ReadText, measured: Measured, seed: int
) -> dict[str, Any]:
    """Return what was measured as JSON values."""
    config, chosen = model.config, measured.chosen
    found: dict[str, Any] = {
        "schema": NEURONS_SCHEMA,
        "checkpoint": str(path),
        "text": read.name,
        "characters": len(read.ids),
        "skipped_characters": read.skipped,
        "cell": config.cell,
        "layers": config.layers,
        "hidden": config.hidden,
        "state": chosen.state,
        "features": None,
        "unit": None,
        "span": None if measured.span is None else asdict(measured.span),
    }
    if chosen.unit is not None:
        shown = measured.unit(chosen.layers[0], chosen.unit)
        values = [float(value) for value in shown.values]
        found["unit"] = {"layer": shown.layer, "unit": shown.unit, "values": values}
    elif measured.span is None:
        found |= {"shifts": SHIFTS, "untrained_networks": UNTRAINED, "seed": seed}
        found["searched_characters"] = min(len(read.ids), MAX_SEARCHED)
        found["features"] = [
            {"name": feature.name, "followed": feature.followed, **asdict(feature)}
            for feature in measured.found
        ]
    return found
