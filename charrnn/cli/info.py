"""`charrnn info`: contents of a checkpoint."""

import math
from typing import Annotated, Any

import typer

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint
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
from charrnn.data.characters import code_name, enumerated
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary

MAX_LABELS = 100
"""Labels of a model of pairs that are shown."""


def info(
    checkpoint: CheckpointArgument = None,
    json: Json = False,
    arrays: Annotated[bool, typer.Option("--arrays", help="Also list every array.")] = False,
) -> None:
    """Show the contents of a checkpoint: model, vocabulary, corpus, training, losses."""
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    facts = {"path": str(path)} | describe(loaded)
    if json:
        write_plain(f"{to_json(facts)}\n")
        return
    answer(facts_table(readable(facts)))
    if arrays:
        answer(facts_table({name: str(value.shape) for name, value in loaded.parameters.items()}))


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return everything in a checkpoint except the arrays, as JSON values."""
    training = checkpoint.training
    return {
        "step": checkpoint.step,
        "parameters": len(checkpoint.parameters.vector),
        "model": checkpoint.config.as_dict(),
        **describe_symbols(checkpoint.symbols),
        "corpus": vars(checkpoint.corpus),
        "validation": checkpoint.validation,
        "training": None if training is None else training.config.as_dict(),
        "progress": None if training is None else vars(training.progress),
        "finished": None if training is None else training.finished,
        "arrays": {name: list(array.shape) for name, array in checkpoint.parameters.items()},
    }


def describe_symbols(symbols: Vocabulary | PairVocabulary) -> dict[str, Any]:
    """Return the input and output symbols of a network."""
    return {symbols.metadata_key: symbols.describe()}


def readable(facts: dict[str, Any]) -> dict[str, str]:
    """Return the description of a checkpoint as lines of text, by their titles."""
    model, corpus = facts["model"], facts["corpus"]
    layers = f"{model['layers']} × {model['hidden']} {model['cell']}"
    layers += ", bidirectional" if model["bidirectional"] else ""
    dropout = f"dropout {model['dropout']:g}"
    if model["recurrent_dropout"]:
        dropout += f", recurrent {model['recurrent_dropout']:g}"
    per = "byte" if corpus["as_bytes"] else "character"
    lines = {
        "checkpoint": facts["path"],
        "model": f"{layers}, {facts['parameters']:,} parameters, {dropout}",
        "initialised": f"{model['init']}, inputs {model['input_init'] or 'as the cell declares'}",
        **readable_symbols(facts),
        "corpus": f"{corpus['name']}, {corpus['characters']:,} {per}s",
        "fingerprint": f"sha256 {corpus['sha256'][:16]}…",
        "step": f"{facts['step']:,}",
    }
    if corpus["imported"] is not None:
        lines |= imported_lines(corpus)
        del lines["initialised"], lines["step"]  # neither came with the weights
        if not corpus["characters"]:
            del lines["fingerprint"]
    for unit, name in (("char", per), ("symbol", "symbol")):
        nats = facts["validation"].get(f"nats_per_{unit}")
        if nats is not None:
            lines["validation"] = f"{nats:.4f} nats, {nats / math.log(2):.4f} bits per {name}"
    for name in ("exact_match", "symbol_accuracy"):
        if name in facts["validation"]:
            lines[name.replace("_", " ")] = f"{facts['validation'][name]:.2%}"
    if facts["training"] is None:
        lines["training"] = "no training state: can be sampled, evaluated, or used for --init-from"
        return lines
    run = facts["training"]
    each = f"sequences of {run['seq_length']}" if "vocabulary" in facts else "pairs per batch"
    lines["training"] = (
        f"{run['optimiser']}, lr {run['lr']:g} {run['schedule']}, "
        f"{run['batch']} {each}, seed {run['seed']}, backend {run['kernel']}"
    )
    place = f"step {facts['step']:,} of {run['steps']:,}"
    lines["state"] = (
        f"finished, {place}"
        if facts["finished"]
        else f"{place}: charrnn train --resume continues it"
    )
    return lines


def imported_lines(corpus: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a model that charrnn did not train, or that was elsewhere meanwhile."""
    lines = {"imported": f"from {corpus['imported']}"}
    if not corpus["characters"]:
        lines["corpus"] = "not known"
    return lines


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
    }


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
