"""`charrnn info`: contents of a checkpoint."""

from typing import Annotated, Any

import typer

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.mixture_file import load_any
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.options import CheckpointArgument, Json
from charrnn.cli.output.console import answer, facts_table
from charrnn.cli.output.safe_text import label, write_plain
from charrnn.cli.output.text_columns import (
    MAX_HIDDEN,
    listed,
    listed_bytes,
    side_by_side,
    split_hidden,
)
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.characters import code_name, enumerated, quoted
from charrnn.inference.description import (
    describe,
    describe_mixture,
    description_lines,
    mixture_lines,
)

MAX_LABELS = 100
"""Labels of a model of pairs that are shown."""


def info(
    checkpoint: CheckpointArgument = None,
    json: Json = False,
    arrays: Annotated[bool, typer.Option("--arrays", help="Also list every array.")] = False,
) -> None:
    """Show the contents of a checkpoint: model, vocabulary, corpus, training, losses."""
    path = find_checkpoint(checkpoint)
    loaded = load_any(path)
    facts: dict[str, Any] = {"path": str(path)}
    facts |= describe(loaded) if isinstance(loaded, Checkpoint) else describe_mixture(loaded)
    if json:
        write_plain(f"{to_json(facts)}\n")
        return
    answer(facts_table(readable(facts)))
    if arrays:
        answer(facts_table({name: str(tuple(shape)) for name, shape in facts["arrays"].items()}))


def readable(facts: dict[str, Any]) -> dict[str, str]:
    """Return the description of a checkpoint as lines of text, by their titles."""
    lines_of = mixture_lines if "mixture" in facts else description_lines
    return {"checkpoint": facts["path"]} | lines_of(facts, readable_symbols(facts))


def readable_symbols(facts: dict[str, Any]) -> dict[str, str]:
    """Return the symbols as lines of text: the first ones in full, invisible ones by name."""
    if "vocabulary" in facts:
        vocabulary = facts["vocabulary"]
        return readable_vocabulary(vocabulary["characters"], as_bytes=vocabulary["as_bytes"])
    pairs = facts["pairs"]
    return {
        "layout": pairs["layout"],
        "reads": readable_side(pairs["sources"]),
        "answers": readable_side(pairs["answers"]),
    } | ({"unseen": f"read as {quoted(pairs['unknown'])}"} if "unknown" in pairs else {})


def readable_vocabulary(characters: str, *, as_bytes: bool) -> dict[str, str]:
    """Return lines for the characters or bytes of a model; invisible ones have their own line."""
    if as_bytes:
        return {"vocabulary": f"{len(characters)} bytes: {listed_bytes(characters)}"}
    seen, hidden = split_hidden(characters)
    shown = {"vocabulary": f"{len(characters):,} characters: {side_by_side(seen)}"}
    if hidden:
        names = enumerated(map(code_name, hidden[:MAX_HIDDEN]), len(hidden))
        shown["not visible"] = f"{len(hidden):,} of them: {names}"
    return shown


def readable_side(symbols: list[str]) -> str:
    """Return the symbols of one side: characters side by side, labels separated by commas."""
    if all(len(symbol) == 1 for symbol in symbols):
        return f"{len(symbols):,}: {listed(symbols)}"
    return f"{len(symbols):,}: {enumerated(map(label, symbols[:MAX_LABELS]), len(symbols))}"
